"""The engine's greedy tokens are those of `transformers.generate`, whatever happens around them."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from inference.engine.build import eos_token_ids
from inference.engine.kv_cache import KVCache
from inference.engine.model import HuggingFaceModel, load_model
from inference.engine.tokenizer import load_codec
from tests.inference.engine.tiny import (
    CONFIGS,
    VOCAB_SIZE,
    make_bench,
    random_module,
    reference_greedy,
)

STARTER = Path(__file__).parents[3] / "inference" / "starter"


@pytest.fixture(scope="module", params=sorted(CONFIGS))
def module(request: pytest.FixtureRequest) -> Any:
    return random_module(request.param)


@pytest.fixture(scope="module")
def model(module: Any) -> HuggingFaceModel:
    return HuggingFaceModel(module)


def random_prompts(count: int, longest: int, seed: int = 1) -> list[list[int]]:
    draw = random.Random(seed)
    return [[draw.randrange(250) for _ in range(draw.randint(1, longest))] for _ in range(count)]


def check(model: HuggingFaceModel, prompts: list[list[int]], num_tokens: int, **sizes: int) -> Any:
    module = model._module
    bench = make_bench(model, **sizes)
    outcomes = [bench.submit(prompt, max_tokens=num_tokens) for prompt in prompts]
    bench.run()
    for prompt, outcome in zip(prompts, outcomes, strict=True):
        assert outcome.token_ids == reference_greedy(module, prompt, num_tokens)
    return bench


def test_it_equals_generate_for_many_sequences_of_mixed_lengths(model: HuggingFaceModel) -> None:
    check(model, random_prompts(12, 60), 16)


def test_it_equals_generate_when_prompts_are_prefilled_in_chunks(model: HuggingFaceModel) -> None:
    check(model, random_prompts(5, 90, seed=2), 8, token_budget=7, max_running=6)


def test_it_equals_generate_with_shared_prefixes(model: HuggingFaceModel) -> None:
    common = random_prompts(1, 1, seed=3)[0] * 3 + list(range(40))
    prompts = [common + tail for tail in random_prompts(6, 12, seed=4)]
    bench = check(model, prompts, 8)
    assert sum(o.cached_tokens > 0 for o in bench.outcomes.values()) == len(prompts) - 1


def test_it_equals_generate_when_sequences_are_preempted(model: HuggingFaceModel) -> None:
    bench = check(
        model, random_prompts(6, 24, seed=5), 40, num_blocks=16, block_size=8, max_model_len=128
    )
    assert bench.scheduler.num_preemptions > 0


def test_it_proves_itself_before_serving(model: HuggingFaceModel) -> None:
    model.verify(KVCache(model.shapes, 8, 16, model.dtype, model.device))


def test_it_refuses_a_model_whose_attention_it_does_not_reproduce() -> None:
    model = HuggingFaceModel(random_module("llama"))
    for layer in model._module.model.layers:
        layer.self_attn.scaling *= 3  # stands for a feature that only eager attention knows

        def eager_only(*args: Any, attn: Any = layer.self_attn, **kwargs: Any) -> Any:
            attn.scaling = attn.scaling / 3 if "paged" not in kwargs else attn.scaling
            return type(attn).forward(attn, *args, **kwargs)

        layer.self_attn.forward = eager_only
    with pytest.raises(ValueError, match="does not compute the same"):
        model.verify(KVCache(model.shapes, 8, 16, model.dtype, model.device))


def test_it_pads_the_vocabulary_of_the_tiny_models_like_the_fake() -> None:
    assert all(config.vocab_size == VOCAB_SIZE for config in CONFIGS.values())


@pytest.mark.skipif(
    not list(STARTER.glob("*.safetensors")), reason="the starter model has no weights yet"
)
def test_it_equals_generate_on_the_starter() -> None:
    model = load_model(str(STARTER), torch.device("cpu"), torch.float32)
    codec = load_codec(str(STARTER), eos_token_ids(model))
    reference = AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(STARTER)
    texts = ["Once upon a time", "What is the capital of France?", "Grüße! 你好", "def add(a, b):"]
    prompts = [codec.encode_text(text) for text in texts]
    bench = make_bench(model, codec=codec, max_model_len=256)
    outcomes = [bench.submit(prompt, max_tokens=32, ignore_eos=True) for prompt in prompts]
    bench.run()
    for text, prompt, outcome in zip(texts, prompts, outcomes, strict=True):
        assert prompt == tokenizer(text)["input_ids"]
        with torch.inference_mode():
            out = reference.generate(
                torch.tensor([prompt]),
                max_new_tokens=32,
                min_new_tokens=0,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
                repetition_penalty=1.0,
            )
        expected = out[0, len(prompt) :].tolist()
        assert outcome.token_ids == expected
        assert outcome.text == tokenizer.decode(expected, skip_special_tokens=True)
