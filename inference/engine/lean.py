"""The lean path: decoders of the Llama kind, in a handful of operations per layer.

transformers' modules spend most of a small model's time in calling operators. Here the projections
that share an input are one matrix, and what lies between two matrices is one function: `kernels.py`
on CPUs, `triton_kernels.py` on GPUs, `TorchOperations` where neither can be had (and as the
reference of both in tests).

A `LeanModel` is made from a loaded `HuggingFaceModel` and has to agree with it before it takes its
place (`lean_model`); every model that is not of this kind stays as transformers wrote it.
"""

import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import rms_norm, silu

from inference.engine.attention import DecodeAttention, StoredAttention, paged_context
from inference.engine.batch import Batch
from inference.engine.kernels import LARGEST_HEAD, Kernels, load_kernels
from inference.engine.kv_cache import KVCache
from inference.engine.linear import Linear
from inference.engine.model import HuggingFaceModel
from inference.engine.quantised import Int8Embedding, Int8Linear

logger = logging.getLogger(__name__)

# model_type of configurations whose layers are what `_Layer` holds and nothing else.
FAMILIES = frozenset({"llama", "mistral", "qwen2", "qwen3", "phi3"})
# Rotary embeddings that are the same whatever the length of the sequence.
STEADY_ROTATIONS = frozenset({"default", "linear", "llama3", "yarn"})

Product = Linear | Int8Linear


class Operations(Protocol):
    """What happens between matrix products. Shapes as in `Kernels`, where each is described."""

    def add_rms_norm(
        self, x: Tensor, added: Tensor | None, weight: Tensor, epsilon: float
    ) -> Tensor: ...

    def silu_product(self, both: Tensor) -> Tensor: ...

    def rotate_and_store(
        self,
        qkv: Tensor,
        cosines: Tensor,
        sines: Tensor,
        positions: Tensor,
        slots: Tensor,
        norms: tuple[Tensor, Tensor] | None,
        epsilon: float,
        keys: Tensor,
        values: Tensor,
    ) -> Tensor: ...


class TorchOperations:
    """The operations in PyTorch, for any device."""

    def add_rms_norm(
        self, x: Tensor, added: Tensor | None, weight: Tensor, epsilon: float
    ) -> Tensor:
        """Add to x (T, H) in place; return the normalised sum."""
        if added is not None:
            x += added
        return rms_norm(x, (x.shape[-1],), weight, epsilon)

    def silu_product(self, both: Tensor) -> Tensor:
        """Return silu(gate) · up of both (T, 2 F), gate first."""
        gate, up = both.chunk(2, dim=-1)
        return silu(gate) * up

    def rotate_and_store(
        self,
        qkv: Tensor,
        cosines: Tensor,
        sines: Tensor,
        positions: Tensor,
        slots: Tensor,
        norms: tuple[Tensor, Tensor] | None,
        epsilon: float,
        keys: Tensor,
        values: Tensor,
    ) -> Tensor:
        """Store keys and values in the cache; return queries (T, Hq, D)."""
        _, _, kv_heads, dim = keys.shape
        heads = qkv.shape[1] // dim - 2 * kv_heads
        query, key, value = torch.split(qkv.view(len(qkv), -1, dim), [heads, kv_heads, kv_heads], 1)
        if norms is not None:
            query = rms_norm(query, (dim,), norms[0], epsilon)
            key = rms_norm(key, (dim,), norms[1], epsilon)
        cosine, sine = cosines[positions].unsqueeze(1), sines[positions].unsqueeze(1)
        keys.flatten(0, 1).index_copy_(0, slots, _rotate(key, cosine, sine))
        values.flatten(0, 1).index_copy_(0, slots, value)
        return _rotate(query, cosine, sine)


def _rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate x (T, heads, D) by float32 (T, 1, half); what lies beyond 2 · half stays."""
    half = cosine.shape[-1]
    a, b, rest = torch.split(x.float(), [half, half, x.shape[-1] - 2 * half], -1)
    return torch.cat((a * cosine - b * sine, b * cosine + a * sine, rest), -1).to(x.dtype)


@dataclass(frozen=True, slots=True)
class _Layer:
    input_norm: Tensor
    qkv: Product
    head_norms: tuple[Tensor, Tensor] | None
    out: Product
    output_norm: Tensor
    gate_up: Product
    down: Product


@dataclass(frozen=True, slots=True)
class Tokens:
    """What goes through the model; int64, on the device."""

    ids: Tensor  # (T,)
    positions: Tensor  # (T,)
    slots: Tensor  # (T,)
    wanted: Tensor  # (N,) which of the T need logits


class LeanModel:
    """A decoder of the Llama kind."""

    def __init__(self, base: HuggingFaceModel) -> None:
        """Take the weights of a model for which `misfit` finds no reason against it."""
        module = base.module
        self.vocab_size = base.vocab_size
        self._kernels = _kernels(base)
        self._operations: Operations = self._kernels or _operations(base.device)
        self._embed: Callable[[Tensor], Tensor] = _embedding(module.model.embed_tokens)
        self._layers = [_take_layer(layer) for layer in module.model.layers]
        self._norm: Tensor = module.model.norm.weight
        self._head = _fused(module, ("lm_head",))
        self._epsilon: float = base.config.rms_norm_eps
        self._scale: float = module.model.layers[0].self_attn.scaling
        self._cosines, self._sines = _rotations(base)
        self._shapes = base.shapes

    @torch.inference_mode()
    def logits(self, batch: Batch, cache: KVCache) -> Tensor:
        """Run a batch; return the logits (N, V) of the positions it wants."""
        tokens = Tokens(batch.input_ids[0], batch.position_ids[0], batch.slots, batch.logit_index)
        return self.forward(tokens, cache, self._context(cache, batch))

    @torch.inference_mode()
    def forward(self, tokens: Tokens, cache: KVCache, context: StoredAttention) -> Tensor:
        """Run tokens that attend by `context`; return the logits (N, V) of those wanted."""
        steps = self._operations
        x = self._embed(tokens.ids)  # (T, H)
        added: Tensor | None = None
        for index, layer in enumerate(self._layers):
            normed = steps.add_rms_norm(x, added, layer.input_norm, self._epsilon)
            queries = steps.rotate_and_store(
                layer.qkv(normed),
                self._cosines,
                self._sines,
                tokens.positions,
                tokens.slots,
                layer.head_norms,
                self._epsilon,
                cache.keys[index],
                cache.values[index],
            )
            mixed = context.attend(index, queries, self._scale).flatten(1)
            if index == len(self._layers) - 1:  # from here on only what becomes logits
                if not len(tokens.wanted):
                    return x.new_empty(0, self.vocab_size)
                mixed, x = mixed[tokens.wanted], x[tokens.wanted]
            normed = steps.add_rms_norm(x, layer.out(mixed), layer.output_norm, self._epsilon)
            added = layer.down(steps.silu_product(layer.gate_up(normed)))
        return self._head(steps.add_rms_norm(x, added, self._norm, self._epsilon))

    def _context(self, cache: KVCache, batch: Batch) -> StoredAttention:
        if self._kernels is not None:
            return DecodeAttention(cache, batch, self._kernels)
        return paged_context(cache, batch, self._shapes)


def lean_model(base: HuggingFaceModel, cache: KVCache) -> LeanModel | None:
    """Return the lean form of a model if it has one that gives the same logits."""
    reason = misfit(base)
    if not reason:
        model = LeanModel(base)
        reason = base.disagreement(model, cache)
        if not reason:
            return model
    logger.info("%s runs as transformers wrote it: %s", base.config.model_type, reason)
    return None


def misfit(base: HuggingFaceModel) -> str:
    """Return why a model has no lean form; "" if it has one."""
    config: Any = base.config
    rotation = (
        getattr(base.module.model, "rotary_emb", None) if hasattr(base.module, "model") else None
    )
    if config.model_type not in FAMILIES:
        return f"there is no lean form of {config.model_type}"
    if config.hidden_act != "silu":
        return f"its activation is {config.hidden_act}"
    if getattr(rotation, "rope_type", None) not in STEADY_ROTATIONS:
        return "its rotary embedding depends on the length"
    return ""


def _kernels(base: HuggingFaceModel) -> Kernels | None:
    fits = all(s.key_dim == s.value_dim <= LARGEST_HEAD for s in base.shapes)
    return load_kernels(base.dtype) if base.device.type == "cpu" and fits else None


def _operations(device: torch.device) -> Operations:
    if device.type == "cuda" and importlib.util.find_spec("triton") is not None:
        from inference.engine.triton_kernels import TritonOperations

        return TritonOperations()
    return TorchOperations()


def _take_layer(layer: Any) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    query_norm, key_norm = getattr(attention, "q_norm", None), getattr(attention, "k_norm", None)
    return _Layer(
        input_norm=layer.input_layernorm.weight,
        qkv=_fused(attention, ("qkv_proj",), ("q_proj", "k_proj", "v_proj")),
        head_norms=(query_norm.weight, key_norm.weight) if query_norm and key_norm else None,
        out=_fused(attention, ("o_proj",)),
        output_norm=layer.post_attention_layernorm.weight,
        gate_up=_fused(mlp, ("gate_up_proj",), ("gate_proj", "up_proj")),
        down=_fused(mlp, ("down_proj",)),
    )


def _embedding(module: Any) -> Callable[[Tensor], Tensor]:
    if isinstance(module, Int8Embedding):
        return module
    weight: Tensor = module.weight
    return weight.__getitem__


def _fused(parent: Any, *choices: tuple[str, ...]) -> Product:
    """Return one product for the first choice of names that the module has.

    The module's own parameters become parts of the fused one, so nothing is held twice.
    """
    names = next(names for names in choices if hasattr(parent, names[0]))
    parts = [getattr(parent, name) for name in names]
    if isinstance(parts[0], Int8Linear):
        return Int8Linear.joined(parts)
    if len(parts) == 1:
        return Linear(parts[0].weight, parts[0].bias)
    weight = torch.cat([part.weight for part in parts])
    views = torch.split(weight, [len(part.weight) for part in parts])
    for part, view in zip(parts, views, strict=True):
        part.weight.data = view
    biases = [part.bias for part in parts]
    return Linear(weight, torch.cat(biases) if biases[0] is not None else None)


def _rotations(base: HuggingFaceModel) -> tuple[Tensor, Tensor]:
    """Return float32 cosines and sines (positions, half) for every position of the model."""
    length = base.config.max_position_embeddings
    positions = torch.arange(length, device=base.device).unsqueeze(0)
    like = torch.empty(0, dtype=torch.float32, device=base.device)
    cosines, sines = base.module.model.rotary_emb(like, positions)  # (1, positions, 2 half)
    half = cosines.shape[-1] // 2
    return cosines[0, :, :half].contiguous(), sines[0, :, :half].contiguous()
