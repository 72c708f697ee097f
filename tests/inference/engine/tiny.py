"""Tiny random models of several families, and a byte tokenizer to go with them."""

from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    DeepseekV3Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    Phi3Config,
    PhiConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
    Starcoder2Config,
)

from inference.engine.block_pool import BlockPool
from inference.engine.fake_codec import FakeCodec
from inference.engine.family import take_weights
from inference.engine.grammar import Grammars, read_vocabulary
from inference.engine.grammar_masks import GrammarMasks
from inference.engine.kv_cache import KVCache
from inference.engine.lean import LeanModel
from inference.engine.limits import SchedulerLimits
from inference.engine.model import CausalModel, HuggingFaceModel
from inference.engine.runner import ModelRunner
from inference.engine.sampler import Sampler
from inference.engine.scheduler import Scheduler
from tests.inference.engine.rig import Bench

VOCAB_SIZE = FakeCodec.vocab_size
Form = Callable[[KVCache], CausalModel]
_SIZES: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": [256, 258],
    "pad_token_id": None,
    # Large enough that random logits are far apart and greedy ties do not occur.
    "initializer_range": 0.3,
}
CONFIGS: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(**_SIZES, num_key_value_heads=2, head_dim=16),
    "llama-tied": LlamaConfig(
        **_SIZES, num_key_value_heads=4, head_dim=16, tie_word_embeddings=True
    ),
    "llama-biased": LlamaConfig(**_SIZES, attention_bias=True, mlp_bias=True, head_dim=20),
    "qwen2": Qwen2Config(**_SIZES, num_key_value_heads=1, head_dim=16, use_sliding_window=False),
    "qwen3": Qwen3Config(**_SIZES, num_key_value_heads=2, head_dim=16),
    "mistral": MistralConfig(**_SIZES, num_key_value_heads=2, head_dim=16, sliding_window=None),
    "mixtral": MixtralConfig(
        **_SIZES,
        num_key_value_heads=2,
        num_local_experts=4,
        num_experts_per_tok=2,
        sliding_window=None,
    ),
    # Its keys are wider than its values.
    "deepseek-v3": DeepseekV3Config(
        **_SIZES,
        num_key_value_heads=4,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_group=1,
        topk_group=1,
        moe_intermediate_size=32,
        first_k_dense_replace=1,
        kv_lora_rank=16,
        q_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=12,
    ),
    "cohere": CohereConfig(**_SIZES, num_key_value_heads=2),
    "gpt-neox": GPTNeoXConfig(**_SIZES),
    "gpt2": GPT2Config(**_SIZES, n_embd=48, n_layer=3, n_head=4, n_positions=512),
    "gemma": GemmaConfig(**_SIZES, num_key_value_heads=1, head_dim=16),
    # Its layers rotate in two ways, and some have a window.
    "gemma3": Gemma3TextConfig(
        **_SIZES,
        num_key_value_heads=2,
        head_dim=16,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        sliding_window=512,
    ),
    "granite": GraniteConfig(**_SIZES, num_key_value_heads=2, embedding_multiplier=3.0),
    "olmo2": Olmo2Config(**_SIZES, num_key_value_heads=2),
    "phi": PhiConfig(**_SIZES, partial_rotary_factor=0.5),
    "phi3": Phi3Config(
        **{**_SIZES, "pad_token_id": 0}, num_key_value_heads=2, head_dim=16, sliding_window=None
    ),
    "starcoder2": Starcoder2Config(**_SIZES, num_key_value_heads=2, sliding_window=None),
}


def random_module(name: str, seed: int = 0) -> Any:
    """Make a model of the family with random weights, float32."""
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(CONFIGS[name], dtype=torch.float32).eval()


def reference_greedy(module: Any, prompt: list[int], num_tokens: int) -> list[int]:
    """Generate with transformers itself."""
    implementation = module.config._attn_implementation
    module.set_attn_implementation("sdpa")
    with torch.inference_mode():
        out = module.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
            max_new_tokens=num_tokens,
            do_sample=False,
            eos_token_id=[256, 258],
            pad_token_id=256,
        )
    module.set_attn_implementation(implementation)
    return out[0, len(prompt) :].tolist()


def lean_form(model: HuggingFaceModel) -> LeanModel:
    """Return the model as a lean one in PyTorch operators."""
    return LeanModel(take_weights(model), model.shapes)


def make_bench(
    model: HuggingFaceModel,
    num_blocks: int = 256,
    block_size: int = 8,
    codec: Any = None,
    form: Form | None = None,
    runs: type[ModelRunner] = ModelRunner,
    cache_dtype: torch.dtype | None = None,
    **limits: int,
) -> Bench:
    """Put an engine around a model, driven by hand; `form` makes what runs instead of it."""
    codec = codec or FakeCodec()
    sizes: dict[str, int] = {"max_model_len": 256, "token_budget": 64, "max_running": 32, **limits}
    cache = model.new_cache(num_blocks, block_size, cache_dtype or model.dtype)
    sampler = Sampler(model.vocab_size, codec.eos_token_ids, model.device)
    grammars = Grammars(read_vocabulary(codec, model.vocab_size))
    masks = GrammarMasks(grammars)
    runner = runs(form(cache) if form else model, cache, sampler, masks, model.device)
    scheduler = Scheduler(SchedulerLimits(**sizes), BlockPool(num_blocks, block_size))
    return Bench(scheduler, runner, codec, model.vocab_size, grammars)
