"""The engine's greedy tokens are those of `transformers.generate`, whatever happens around them."""

import copy
import random
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PretrainedConfig

from inference.engine import family, lean
from inference.engine.batch import Batch
from inference.engine.build import EngineSizes, assemble, eos_token_ids
from inference.engine.fake_codec import FakeCodec
from inference.engine.family import FAMILIES, DecoderWeights, misfit, take_weights
from inference.engine.family import _rotations as rotations
from inference.engine.kv_cache import KVCache
from inference.engine.lean import lean_model
from inference.engine.model import HuggingFaceModel, load_model
from inference.engine.native.decoder import native_decoder
from inference.engine.tokenizer import load_codec
from tests.inference.engine.tiny import (
    CONFIGS,
    VOCAB_SIZE,
    Form,
    lean_form,
    make_bench,
    random_module,
    reference_greedy,
)

STARTER = Path(__file__).parents[3] / "inference" / "starter"


# Every way in which the engine may run a model.
LEAN = [name for name, config in CONFIGS.items() if config.model_type in FAMILIES]
NATIVE = [name for name in LEAN if name != "llama-biased"]  # whose heads have 20 numbers
FORMS = [
    *((name, "transformers") for name in CONFIGS),
    *((name, "native") for name in NATIVE),
    *((name, "torch operations") for name in LEAN),
]


@dataclass(frozen=True)
class Case:
    """A model, and one of the ways to run it."""

    name: str
    model: HuggingFaceModel
    form: Form


@pytest.fixture(scope="module", params=FORMS, ids=" in ".join)
def case(request: pytest.FixtureRequest) -> Case:
    name, form = request.param
    model = HuggingFaceModel(random_module(name))
    if form == "transformers":
        return Case(name, model, lambda _: model)
    assert misfit(model) == ""
    weights = take_weights(model)
    if form == "torch operations":
        return Case(name, model, lambda _: lean_form(model))
    return Case(name, model, lambda cache: native_decoder(weights, cache))


@cache
def expected(name: str, prompt: tuple[int, ...], num_tokens: int) -> list[int]:
    """The tokens of `generate`: asked once for all forms of a model."""
    return reference_greedy(reference(name), list(prompt), num_tokens)


@cache
def reference(name: str) -> Any:
    return random_module(name)


def random_prompts(count: int, longest: int, seed: int = 1) -> list[list[int]]:
    draw = random.Random(seed)
    return [[draw.randrange(250) for _ in range(draw.randint(1, longest))] for _ in range(count)]


def check(case: Case, prompts: list[list[int]], num_tokens: int, **sizes: int) -> Any:
    bench = make_bench(case.model, form=case.form, block_size=16, **sizes)
    outcomes = [bench.submit(prompt, max_tokens=num_tokens) for prompt in prompts]
    bench.run()
    for prompt, outcome in zip(prompts, outcomes, strict=True):
        assert outcome.token_ids == expected(case.name, tuple(prompt), num_tokens)
    return bench


def test_it_equals_generate_for_many_sequences_of_mixed_lengths(case: Case) -> None:
    check(case, random_prompts(12, 60), 16)


def test_it_equals_generate_when_prompts_are_prefilled_in_chunks(case: Case) -> None:
    check(case, random_prompts(5, 90, seed=2), 8, token_budget=7, max_running=6)


def test_it_equals_generate_with_shared_prefixes(case: Case) -> None:
    common = random_prompts(1, 1, seed=3)[0] * 3 + list(range(40))
    prompts = [common + tail for tail in random_prompts(6, 12, seed=4)]
    bench = check(case, prompts, 8)
    assert sum(o.cached_tokens > 0 for o in bench.outcomes.values()) == len(prompts) - 1


def test_it_equals_generate_when_sequences_are_preempted(case: Case) -> None:
    sizes = {"num_blocks": 5, "max_model_len": 80}
    bench = check(case, random_prompts(4, 24, seed=5), 32, **sizes)
    assert bench.scheduler.num_preemptions > 0


def test_it_equals_generate_when_all_of_that_happens_at_once(case: Case) -> None:
    """Mixed lengths, shared beginnings, chunks that cut them, guesses, and too few blocks."""
    common = list(range(30)) * 2
    prompts = [
        *(common + tail for tail in random_prompts(4, 12, seed=6)),
        *random_prompts(3, 50, seed=7),
        common[:33],
    ]
    sizes = {"num_blocks": 8, "max_model_len": 128, "token_budget": 13, "max_running": 8}
    bench = check(case, prompts, 32, **sizes, max_drafts=4)
    assert bench.scheduler.num_preemptions > 0
    assert sum(o.cached_tokens > 0 for o in bench.outcomes.values()) >= 3


def test_it_proves_itself_before_serving(case: Case) -> None:
    model = case.model
    model.verify(16)
    cache = model.exact_cache(16)
    assert model.disagreement(case.form(cache), cache) == ""


def test_it_agrees_with_itself_over_a_cache_of_half_the_bits(case: Case) -> None:
    cache = case.model.new_cache(8, 16, torch.bfloat16)
    form = case.form(cache)
    assert case.model.distance(form, cache) <= 0.06  # granite's; no other is beyond 0.015
    if not misfit(case.model):
        assert case.model.disagreement(form, cache) == ""
    whole = case.model.new_cache(8, 16, torch.float32)
    assert case.model.disagreement(form, whole) == ""
    assert not torch.equal(cache.keys[0][1:3].float(), whole.keys[0][1:3])


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_lean_form_is_used_where_there_is_one_that_agrees(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = HuggingFaceModel(random_module(name))
    cache = KVCache(model.shapes, 8, 16, model.dtype, model.device)
    assert (lean_model(model, cache) is not None) == (name in LEAN)
    monkeypatch.setattr(family, "_rotations", lambda base: [t.flip(0) for t in rotations(base)])
    assert lean_model(model, cache) is None


def with_scale_off(base: HuggingFaceModel, factor: float) -> DecoderWeights[Any, Any]:
    weights = take_weights(base)
    return replace(weights, scale=weights.scale * factor)


def with_angles_off(base: HuggingFaceModel, factor: float) -> DecoderWeights[Any, Any]:
    rotation = base.module.model.rotary_emb
    rotation.inv_freq *= factor
    weights = take_weights(base)
    rotation.inv_freq /= factor
    return weights


@pytest.mark.parametrize(
    ("take", "factor"),
    [(with_scale_off, 1.1), (with_scale_off, 1.01), (with_angles_off, 1.05)],
)
@pytest.mark.parametrize("name", LEAN)
def test_a_small_fault_of_the_lean_form_shows_beside_a_cache_of_half_the_bits(
    name: str, take: Any, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = HuggingFaceModel(random_module(name))
    cache = model.new_cache(8, 16, torch.bfloat16)
    assert lean_model(model, cache) is not None
    monkeypatch.setattr(lean, "take_weights", lambda base: take(base, factor))
    assert lean_model(model, cache) is None


@pytest.mark.parametrize("faulty", [None, torch.float32, torch.bfloat16], ids=str)
def test_the_lean_form_has_to_agree_in_the_cache_that_rounds_and_in_one_that_does_not(
    faulty: torch.dtype | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = HuggingFaceModel(random_module("llama"))
    right = lean_form(model)

    class Faulty:
        vocab_size = right.vocab_size

        def logits(self, batch: Batch, cache: KVCache) -> Tensor:
            return right.logits(batch, cache) * (1.1 if cache.dtype is faulty else 1)

    monkeypatch.setattr(lean, "native_decoder", lambda *_: Faulty())
    form = lean_model(model, model.new_cache(8, 16, torch.bfloat16))
    assert (form is None) == (faulty is not None)


@pytest.mark.parametrize("name", LEAN)
def test_the_lean_form_agrees_in_half_the_bits(name: str) -> None:
    model = HuggingFaceModel(random_module(name).to(torch.bfloat16))
    cache = KVCache(model.shapes, 8, 16, model.dtype, model.device)
    weights = take_weights(model)
    assert model.disagreement(lean_form(model), cache) == ""
    if name in NATIVE:
        native = native_decoder(weights, cache)
        assert native is not None
        assert model.disagreement(native, cache) == ""


@pytest.mark.parametrize("cached", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("factor", [3, 1.1])
def test_it_refuses_a_model_whose_attention_it_does_not_reproduce(
    factor: float, cached: torch.dtype
) -> None:
    model = HuggingFaceModel(random_module("llama"))
    for layer in model.module.model.layers:
        # Stands for a feature that only eager attention knows.
        layer.self_attn.scaling *= factor

        def eager_only(*args: Any, attn: Any = layer.self_attn, **kwargs: Any) -> Any:
            attn.scaling = attn.scaling / factor if "paged" not in kwargs else attn.scaling
            return type(attn).forward(attn, *args, **kwargs)

        layer.self_attn.forward = eager_only
    sizes = EngineSizes(kv_blocks=32, kv_cache_dtype=cached)
    with pytest.raises(ValueError, match="cannot be served"):
        assemble("tiny", "1", model, FakeCodec(), sizes)


def _rotating_anew() -> PretrainedConfig:
    config = copy.deepcopy(CONFIGS["phi3"])
    config.original_max_position_embeddings = 64
    config.rope_parameters = {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "factor": 8.0,
        "original_max_position_embeddings": 64,
        "short_factor": [1 + n / 20 for n in range(8)],
        "long_factor": [2 + 3 * n for n in range(8)],
    }
    return config


def _with_a_window(name: str) -> PretrainedConfig:
    config = copy.deepcopy(CONFIGS[name])
    config.sliding_window = 64
    return config


@pytest.mark.parametrize(
    "config",
    [
        _rotating_anew(),
        _with_a_window("mistral"),
        _with_a_window("starcoder2"),
        _with_a_window("gemma3"),
    ],
    ids=lambda config: config.model_type,
)
def test_it_is_served_as_far_as_tokens_are_made_of_those_before_them_alone(
    config: PretrainedConfig,
) -> None:
    torch.manual_seed(0)
    module = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    prompts = [list(range(54)), [5, 9, 2]]
    expected = [reference_greedy(module, prompt, 10) for prompt in prompts]
    model = HuggingFaceModel(module)
    served = assemble("tiny", "1", model, FakeCodec(), EngineSizes(kv_blocks=32))
    assert served.scheduler.limits.max_model_len == 64
    with pytest.raises(ValueError, match="at most 64 tokens"):
        assemble("tiny", "1", model, FakeCodec(), EngineSizes(max_model_len=65))
    for form in (lambda _: model, lambda cache: lean_model(model, cache) or model):
        bench = make_bench(model, form=form, max_model_len=64)
        outcomes = [bench.submit(prompt, max_tokens=10) for prompt in prompts]
        bench.run()
        assert [outcome.token_ids for outcome in outcomes] == expected


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
