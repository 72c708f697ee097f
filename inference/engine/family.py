"""Decoders of the Llama kind: which models are, and their weights as every form of them needs them.

Projections that share an input are one matrix.
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from inference.engine.model import HuggingFaceModel
from inference.engine.quantised import Int8Embedding, Int8Linear
from inference.engine.support import longest_text

# model_type of configurations whose layers are what `LayerWeights` holds and nothing else.
FAMILIES = frozenset({"llama", "mistral", "qwen2", "qwen3", "phi3"})
# Rotary embeddings that are the same whatever the length of the sequence, up to `longest_text`.
STEADY_ROTATIONS = frozenset({"default", "linear", "llama3", "longrope", "yarn"})

# What holds numbers: tensors, or their rounded kinds.
E = TypeVar("E")
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Projection:
    """x ↦ x · weightᵀ + bias: weight (N, K), bias (N,)."""

    weight: Tensor
    bias: Tensor | None = None


@dataclass(frozen=True, slots=True)
class LayerWeights(Generic[P]):
    """One layer, its products of kind P. H hidden, F inside the feed-forward part, D of a head."""

    input_norm: Tensor  # (H,)
    qkv: P  # ((Hq + 2 Hk) D, H)
    head_norms: tuple[Tensor, Tensor] | None  # of queries and keys, (D,) each
    out: P  # (H, Hq D)
    output_norm: Tensor  # (H,)
    gate_up: P  # (2 F, H), gates first
    down: P  # (H, F)


@dataclass(frozen=True, slots=True)
class DecoderWeights(Generic[E, P]):
    """A whole decoder, its embedding of kind E."""

    vocab_size: int
    embedding: E  # (V, H)
    layers: tuple[LayerWeights[P], ...]
    norm: Tensor  # (H,)
    head: P  # (V, H)
    cosines: Tensor  # float32 (positions, half of the rotated part of a head)
    sines: Tensor
    epsilon: float
    scale: float  # of the scores


def misfit(base: HuggingFaceModel) -> str:
    """Return why a model is not of this kind; "" if it is."""
    config: Any = base.config
    rotation = (
        getattr(base.module.model, "rotary_emb", None) if hasattr(base.module, "model") else None
    )
    if base.num_ranks > 1:
        return f"its weights are divided among {base.num_ranks} processes"
    if config.model_type not in FAMILIES:
        return f"there is no lean form of {config.model_type}"
    if config.hidden_act != "silu":
        return f"its activation is {config.hidden_act}"
    if getattr(rotation, "rope_type", None) not in STEADY_ROTATIONS:
        return "its rotary embedding depends on the length"
    return ""


def take_weights(base: HuggingFaceModel) -> DecoderWeights[Any, Any]:
    """Return the weights of a model for which `misfit` finds no reason against it.

    Tensors and Projections, or Int8Embedding and Int8Linear where they are rounded.
    """
    module = base.module
    cosines, sines = _rotations(base)
    return DecoderWeights(
        vocab_size=base.vocab_size,
        embedding=_embedding(module.model.embed_tokens),
        layers=tuple(_take_layer(layer) for layer in module.model.layers),
        norm=module.model.norm.weight,
        head=_fused(module, ("lm_head",)),
        cosines=cosines,
        sines=sines,
        epsilon=base.config.rms_norm_eps,
        scale=module.model.layers[0].self_attn.scaling,
    )


def _take_layer(layer: Any) -> LayerWeights[Any]:
    attention, mlp = layer.self_attn, layer.mlp
    query_norm, key_norm = getattr(attention, "q_norm", None), getattr(attention, "k_norm", None)
    return LayerWeights(
        input_norm=layer.input_layernorm.weight,
        qkv=_fused(attention, ("qkv_proj",), ("q_proj", "k_proj", "v_proj")),
        head_norms=(query_norm.weight, key_norm.weight) if query_norm and key_norm else None,
        out=_fused(attention, ("o_proj",)),
        output_norm=layer.post_attention_layernorm.weight,
        gate_up=_fused(mlp, ("gate_up_proj",), ("gate_proj", "up_proj")),
        down=_fused(mlp, ("down_proj",)),
    )


def _embedding(module: Any) -> Tensor | Int8Embedding:
    if isinstance(module, Int8Embedding):
        return module
    weight: Tensor = module.weight
    return weight


def _fused(parent: Any, *choices: tuple[str, ...]) -> Projection | Int8Linear:
    """Return one product for the first choice of names that the module has.

    The module's own parameters become parts of the fused one, so nothing is held twice.
    """
    names = next(names for names in choices if hasattr(parent, names[0]))
    parts = [getattr(parent, name) for name in names]
    if isinstance(parts[0], Int8Linear):
        return Int8Linear.joined(parts)
    if len(parts) == 1:
        return Projection(parts[0].weight, parts[0].bias)
    weight = torch.cat([part.weight for part in parts])
    views = torch.split(weight, [len(part.weight) for part in parts])
    for part, view in zip(parts, views, strict=True):
        part.weight.data = view
    biases = [part.bias for part in parts]
    return Projection(weight, torch.cat(biases) if biases[0] is not None else None)


def _rotations(base: HuggingFaceModel) -> tuple[Tensor, Tensor]:
    """Return float32 cosines and sines (positions, half) for every position of a text."""
    positions = torch.arange(longest_text(base.config), device=base.device).unsqueeze(0)
    like = torch.empty(0, dtype=torch.float32, device=base.device)
    cosines, sines = base.module.model.rotary_emb(like, positions)  # (1, positions, 2 half)
    half = cosines.shape[-1] // 2
    return cosines[0, :, :half].contiguous(), sines[0, :, :half].contiguous()
