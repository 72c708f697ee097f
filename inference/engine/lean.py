"""The lean path: decoders of the Llama kind, in a handful of operations per layer.

transformers' modules spend most of a small model's time in calling operators. Here the projections
that share an input are one matrix, and what lies between two matrices is one function
(`operations.py`). On CPUs all of a step is one function, `native/`, where there is a compiler.

A lean form is made from a loaded `HuggingFaceModel` and has to agree with it before it takes its
place (`lean_model`); every model that is not of this kind stays as transformers wrote it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from inference.engine import kernels
from inference.engine.attention import StoredAttention, paged_context
from inference.engine.batch import Batch
from inference.engine.family import DecoderWeights, LayerWeights, Projection, misfit, take_weights
from inference.engine.kv_cache import KVCache, LayerShape
from inference.engine.linear import Linear
from inference.engine.model import CausalModel, HuggingFaceModel
from inference.engine.native.decoder import native_decoder
from inference.engine.operations import Operations, Product, TorchOperations
from inference.engine.quantised import Int8Embedding, Int8Linear

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What goes through the model; int64, on the device."""

    ids: Tensor  # (T,)
    positions: Tensor  # (T,)
    slots: Tensor  # (T,)
    wanted: Tensor  # (N,) which of the T need logits


class LeanModel:
    """A decoder of the Llama kind."""

    def __init__(self, weights: DecoderWeights[Any, Any], shapes: list[LayerShape]) -> None:
        """Run with these weights; `shapes` are those of the cache."""
        self.vocab_size = weights.vocab_size
        self._operations = _operations(weights.norm.device)
        self._weights = weights
        self._embed = _embedding(weights.embedding)
        self._layers = [_layer(layer) for layer in weights.layers]
        self._head = _product(weights.head)
        self._shapes = shapes

    @torch.inference_mode()
    def logits(self, batch: Batch, cache: KVCache) -> Tensor:
        """Run a batch; return the logits (N, V) of the positions it wants."""
        tokens = Tokens(batch.input_ids[0], batch.position_ids[0], batch.slots, batch.logit_index)
        return self.forward(tokens, cache, paged_context(cache, batch, self._shapes))

    @torch.inference_mode()
    def forward(self, tokens: Tokens, cache: KVCache, context: StoredAttention) -> Tensor:
        """Run tokens that attend by `context`; return the logits (N, V) of those wanted."""
        steps, weights = self._operations, self._weights
        epsilon = weights.epsilon
        x = self._embed(tokens.ids)  # (T, H)
        added: Tensor | None = None
        for index, layer in enumerate(self._layers):
            x, qkv = steps.normed_product(x, added, layer.input_norm, epsilon, layer.qkv)
            queries = steps.rotate_and_store(
                qkv,
                weights.cosines,
                weights.sines,
                tokens.positions,
                tokens.slots,
                layer.head_norms,
                epsilon,
                cache.keys[index],
                cache.values[index],
            )
            mixed = context.attend(index, queries, weights.scale).flatten(1)
            if index == len(self._layers) - 1:  # from here on only what becomes logits
                if not len(tokens.wanted):
                    return x.new_empty(0, self.vocab_size)
                mixed, x = mixed[tokens.wanted], x[tokens.wanted]
            added = steps.product(mixed, layer.out)
            x, gated = steps.gated_product(x, added, layer.output_norm, epsilon, layer.gate_up)
            added = steps.product(gated, layer.down)
        return steps.normed_product(x, added, weights.norm, epsilon, self._head)[1]


def lean_model(base: HuggingFaceModel, cache: KVCache) -> CausalModel | None:
    """Return the lean form of a model if it has one that gives the same logits.

    Where the cache has another dtype, the form has to agree in one of the model's own, too: what
    rounding keys and values changes would hide a small fault.
    """
    reason = misfit(base)
    if not reason:
        weights = take_weights(base)
        model = native_decoder(weights, cache) or LeanModel(weights, base.shapes)
        if cache.dtype is not base.dtype:
            reason = base.disagreement(model, base.exact_cache(cache.block_size))
        reason = reason or base.disagreement(model, cache)
        if not reason:
            return model
    logger.info("%s runs as transformers wrote it: %s", base.config.model_type, reason)
    return None


def _layer(weights: LayerWeights[Any]) -> LayerWeights[Product]:
    return LayerWeights(
        input_norm=weights.input_norm,
        qkv=_product(weights.qkv),
        head_norms=weights.head_norms,
        out=_product(weights.out),
        output_norm=weights.output_norm,
        gate_up=_product(weights.gate_up),
        down=_product(weights.down),
    )


def _product(projection: Projection | Int8Linear) -> Product:
    if isinstance(projection, Int8Linear):
        return projection
    return Linear(projection.weight, projection.bias)


def _embedding(embedding: Tensor | Int8Embedding) -> Callable[[Tensor], Tensor]:
    return embedding if isinstance(embedding, Int8Embedding) else embedding.__getitem__


def _operations(device: torch.device) -> Operations:
    if kernels.available(device):
        from inference.engine.kernels.layer import TritonOperations

        return TritonOperations()
    return TorchOperations()
