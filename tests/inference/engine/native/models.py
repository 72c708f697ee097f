"""Random models of many shapes for the decoder in C, and steps to run them by."""

import copy
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, Phi3Config, Qwen3Config

from inference.engine.batch import build_batch
from inference.engine.kv_cache import KVCache
from inference.engine.model import HuggingFaceModel
from inference.engine.native.decoder import NativeDecoder, Weights, native_decoder
from inference.engine.params import SamplingParams
from inference.engine.plan import Plan, Row
from inference.engine.quantised import quantise

CPU = torch.device("cpu")
PARAMS = SamplingParams(max_tokens=1)
BASE: dict[str, Any] = {
    "vocab_size": 77, "num_hidden_layers": 2, "max_position_embeddings": 512,
    "initializer_range": 0.2, "rms_norm_eps": 0.05,  # or nothing would show that it is there
}  # fmt: skip
SHAPES = {
    "one head": LlamaConfig(**BASE, hidden_size=16, intermediate_size=16, num_attention_heads=1),
    "odd widths": LlamaConfig(
        **BASE, hidden_size=72, intermediate_size=50, num_attention_heads=3, head_dim=16
    ),
    "wide heads": LlamaConfig(
        **BASE, hidden_size=64, intermediate_size=96, num_attention_heads=2, head_dim=80
    ),
    "widest heads": LlamaConfig(
        **BASE, hidden_size=64, intermediate_size=96, num_attention_heads=1, head_dim=256
    ),
    "large groups": Qwen3Config(
        **BASE, hidden_size=96, intermediate_size=160, num_attention_heads=12,
        num_key_value_heads=1, head_dim=32,
    ),
    "many heads": LlamaConfig(
        **BASE, hidden_size=64, intermediate_size=96, num_attention_heads=8, head_dim=16
    ),
    "small groups": LlamaConfig(
        **BASE, hidden_size=64, intermediate_size=96, num_attention_heads=8,
        num_key_value_heads=4, head_dim=48,
    ),
    "heads of their own": LlamaConfig(
        **BASE, hidden_size=64, intermediate_size=96, num_attention_heads=4, head_dim=96
    ),
    "groups of three": LlamaConfig(
        **BASE, hidden_size=96, intermediate_size=96, num_attention_heads=6,
        num_key_value_heads=2, head_dim=160,
    ),
    "biases": LlamaConfig(
        **BASE, hidden_size=64, intermediate_size=32, num_attention_heads=4, head_dim=16,
        attention_bias=True, mlp_bias=True,
    ),
    "turned in part": Phi3Config(
        **BASE, pad_token_id=0, eos_token_id=None, hidden_size=64, intermediate_size=96,
        num_attention_heads=2, num_key_value_heads=1, head_dim=64, partial_rotary_factor=0.625,
        sliding_window=None,
    ),
}  # fmt: skip


def random_model(name: str, dtype: torch.dtype, seed: int = 0) -> HuggingFaceModel:
    torch.manual_seed(seed)
    module = AutoModelForCausalLM.from_config(copy.deepcopy(SHAPES[name]), dtype=torch.float32)
    for parameter in module.parameters():
        if parameter.ndim == 1:  # norms of all ones and biases of all zeros would hide mistakes
            parameter.data.add_(0.3 * torch.randn_like(parameter))
    return HuggingFaceModel(module.to(dtype))


def rounded_model(name: str, dtype: torch.dtype, seed: int = 0) -> HuggingFaceModel:
    model = random_model(name, dtype, seed)
    quantise(model.module)
    return HuggingFaceModel(model.module)


def cache_of(model: HuggingFaceModel, block_size: int, dtype: torch.dtype | None = None) -> KVCache:
    return KVCache(model.shapes, 40, block_size, dtype or model.dtype, CPU)


def row(key: int, ids: list[int], start: int, end: int, blocks: list[int]) -> Row:
    return Row(key, ids, len(ids), start, end - start, blocks, PARAMS, 0, samples=True)


def steps_of(block_size: int) -> list[Plan]:
    """Prompts in chunks, one of them long, with single tokens and a row of drafts beside them."""
    ids = torch.randint(0, 77, (3, 140), generator=torch.Generator().manual_seed(1)).tolist()
    free = iter(torch.randperm(39, generator=torch.Generator().manual_seed(2)).add(1).tolist())
    tables = [[next(free) for _ in range(-(-140 // block_size))] for _ in ids]
    cuts = [[(0, 100), (100, 101), (101, 140)], [(0, 3), (3, 4), (4, 9)], [(0, 37), (37, 38)]]
    plans = []
    for step in range(3):
        rows = [
            row(key, ids[key], *cuts[key][step], tables[key])
            for key in range(3)
            if step < len(cuts[key])
        ]
        plans.append(Plan(step, tuple(rows)))
    return plans


def logits_of(model: Any, cache: KVCache, plans: list[Plan]) -> list[Tensor]:
    return [model.logits(build_batch(plan, cache.block_size, CPU), cache) for plan in plans]


def native(weights: Weights, cache: KVCache) -> NativeDecoder:
    made = native_decoder(weights, cache)
    assert made is not None
    return made
