"""A decoder of the Llama kind, run by `decoder.c`: one call for all layers of a step.

Owns the weights in the form that the C code reads, and its working memory. Keys and values are in
the cache's memory, but not in its order: nothing else may read or write the same cache.
"""

import ctypes
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference.engine import huge_pages
from inference.engine.batch import Batch
from inference.engine.family import DecoderWeights, LayerWeights, Projection
from inference.engine.kv_cache import KVCache
from inference.engine.native.compiler import load_library

PADDING = 16
PANEL = 32
LARGEST_HEAD = 256  # MOST_DIM in the source
PHASES_OF_A_LAYER = 8
FURTHER_PHASES = 4
FLOATS, BFLOAT_WEIGHTS, BFLOATS, BFLOAT_TILES = range(4)  # enum kind
TILE_ROWS, TILE_INPUTS = 16, 32

FloatWeights = DecoderWeights[Tensor, Projection]
_number, _pointer, _real = ctypes.c_int64, ctypes.c_void_p, ctypes.c_float


class _Product(ctypes.Structure):
    _fields_ = (
        ("weights", _pointer),
        ("bias", _pointer),
        ("inputs", _number),
        ("outputs", _number),
    )


class _Layer(ctypes.Structure):
    _fields_ = (
        *((name, _pointer) for name in ("input_norm", "output_norm", "query_norm", "key_norm")),
        *((name, _Product) for name in ("qkv", "out", "gate_up", "down")),
        ("keys", _pointer),
        ("values", _pointer),
    )


class _Decoder(ctypes.Structure):
    _fields_ = (
        *((name, _number) for name in ("hidden", "width", "heads", "kv_heads", "dim", "half")),
        *((name, _number) for name in ("inner", "num_layers", "kind")),
        *((name, _number) for name in ("bfloats", "cached_bfloats")),
        ("epsilon", _real),
        ("scale", _real),
        *((name, _pointer) for name in ("cosines", "sines", "embedding", "norm")),
        ("head", _Product),
        ("layers", ctypes.POINTER(_Layer)),
    )


class _Step(ctypes.Structure):
    _fields_ = (
        *((name, _number) for name in ("tokens", "rows", "wanted")),
        *((name, _number) for name in ("block_size", "table_width", "longest")),
        *((name, _pointer) for name in ("ids", "positions", "slots", "starts", "offsets")),
        *((name, _pointer) for name in ("tables", "places", "logits", "x", "added", "wide")),
        *((name, _pointer) for name in ("input", "inner", "scores", "counters")),
        ("phases", _number),
        ("threads", _number),
    )


class NativeDecoder:
    """Runs batches on the CPU. Weights and cache are float32 or bfloat16, each for itself."""

    def __init__(self, weights: FloatWeights, cache: KVCache, library: ctypes.CDLL) -> None:
        """Pack the weights for caches like this; run with as many threads as PyTorch does now."""
        self._threads = torch.get_num_threads()
        self._decode = library.decode
        self._decode.argtypes = [ctypes.POINTER(_Decoder), ctypes.POINTER(_Step)]
        self._decode.restype = None
        self._kind = _choose_kind(weights, library.multiplies_bfloats())
        self._kept: list[Tensor] = []  # what the structures point to
        self.vocab_size = weights.vocab_size
        self._layers = (_Layer * len(weights.layers))(
            *(self._layer(layer) for layer in weights.layers)
        )
        self._decoder = self._pack(weights, cache)
        self._cache: KVCache | None = None  # whose memory the structures point to
        self._memory: dict[str, Tensor] = {}

    def logits(self, batch: Batch, cache: KVCache) -> Tensor:
        """Run a batch; return the logits (N, V) of the positions it wants, in float32."""
        if cache is not self._cache:
            self._point_to(cache)
        layout, decoder = batch.layout, self._decoder
        tokens, wanted = len(layout.positions), len(batch.logit_index)
        logits = torch.empty(wanted, self.vocab_size, dtype=torch.float32)
        longest = int(layout.kv_lens.max())
        widest = max(decoder.width, decoder.heads * decoder.dim)
        wide = _padded(self._layers[0].qkv.outputs, PANEL)
        scores = self._threads * TILE_ROWS * _padded(longest, PADDING)
        rows = _padded(tokens, 2 * TILE_ROWS)  # two tiles are read whole
        phases = PHASES_OF_A_LAYER * decoder.num_layers + FURTHER_PHASES
        counters = np.zeros((2, phases), dtype=np.int64)
        step = _Step(
            tokens=tokens,
            rows=len(layout.counts),
            wanted=wanted,
            block_size=layout.block_size,
            table_width=layout.block_tables.shape[1],
            longest=longest,
            ids=batch.input_ids.data_ptr(),
            positions=layout.positions.ctypes.data,
            slots=layout.slots.ctypes.data,
            starts=layout.starts.ctypes.data,
            offsets=layout.offsets.ctypes.data,
            tables=layout.block_tables.ctypes.data,
            places=batch.logit_index.data_ptr(),
            logits=logits.data_ptr(),
            x=self._room("x", tokens * decoder.width),
            added=self._room("added", tokens * decoder.width),
            wide=self._room("wide", tokens * wide),
            input=self._room("input", rows * widest),
            inner=self._room("inner", rows * decoder.inner),
            scores=self._room("scores", scores),
            counters=counters.ctypes.data,
            phases=phases,
            threads=self._threads,
        )
        self._decode(decoder, step)
        return logits

    def _point_to(self, cache: KVCache) -> None:
        self._cache = cache
        self._decoder.cached_bfloats = cache.dtype is torch.bfloat16
        for layer, keys, values in zip(self._layers, cache.keys, cache.values, strict=True):
            layer.keys, layer.values = keys.data_ptr(), values.data_ptr()

    def _room(self, name: str, count: int) -> int:
        """Return the address of working memory for `count` floats; it is kept for later steps."""
        memory = self._memory.get(name)
        if memory is None or memory.numel() < count:
            memory = self._memory[name] = huge_pages.empty((count,), torch.float32)
        return memory.data_ptr()

    # Packing.

    def _pack(self, weights: FloatWeights, cache: KVCache) -> _Decoder:
        _, _, kv_heads, dim = cache.keys[0].shape
        hidden = weights.embedding.shape[1]
        first = weights.layers[0]
        return _Decoder(
            hidden=hidden,
            width=_padded(hidden, PADDING),
            heads=first.out.weight.shape[1] // dim,
            kv_heads=kv_heads,
            dim=dim,
            half=weights.cosines.shape[1],
            inner=_padded(first.down.weight.shape[1], PADDING),
            num_layers=len(weights.layers),
            kind=self._kind,
            bfloats=weights.embedding.dtype is torch.bfloat16,
            epsilon=weights.epsilon,
            scale=weights.scale,
            cosines=self._keep(weights.cosines),
            sines=self._keep(weights.sines),
            embedding=self._keep(weights.embedding.detach()),
            norm=self._keep(_floats(weights.norm)),
            head=self._product(weights.head),
            layers=self._layers,
        )

    def _layer(self, layer: LayerWeights[Projection]) -> _Layer:
        query_norm, key_norm = layer.head_norms or (None, None)
        gate_up = Projection(
            _by_turns(layer.gate_up.weight),
            None if layer.gate_up.bias is None else _by_turns(layer.gate_up.bias),
        )
        return _Layer(
            input_norm=self._keep(_floats(layer.input_norm)),
            output_norm=self._keep(_floats(layer.output_norm)),
            query_norm=None if query_norm is None else self._keep(_floats(query_norm)),
            key_norm=None if key_norm is None else self._keep(_floats(key_norm)),
            qkv=self._product(layer.qkv),
            out=self._product(layer.out),
            gate_up=self._product(gate_up),
            down=self._product(layer.down),
        )

    def _product(self, projection: Projection) -> _Product:
        outputs, inputs = projection.weight.shape
        bias = projection.bias
        return _Product(
            weights=self._keep(
                huge_pages.copied(in_panels(projection.weight.detach(), self._kind))
            ),
            bias=None if bias is None else self._keep(_floats(bias, PANEL)),
            inputs=_padded(inputs, PADDING),
            outputs=outputs,
        )

    def _keep(self, tensor: Tensor) -> int:
        tensor = tensor.contiguous()
        self._kept.append(tensor)
        return tensor.data_ptr()


def native_decoder(weights: DecoderWeights[Any, Any], cache: KVCache) -> NativeDecoder | None:
    """Return the decoder for these weights and caches like this; None where it cannot be had."""
    library = load_library() if _fits(weights, cache) else None
    return NativeDecoder(weights, cache, library) if library is not None else None


def _fits(weights: DecoderWeights[Any, Any], cache: KVCache) -> bool:
    keys = cache.keys[0]
    dim = keys.shape[-1]
    return (
        keys.device.type == "cpu"
        and isinstance(weights.embedding, Tensor)  # int8 weights are not for this form
        and isinstance(weights.head, Projection)
        and weights.embedding.dtype in (torch.float32, torch.bfloat16)
        and all(key.shape == keys.shape for key in (*cache.keys, *cache.values))
        and cache.dtype in (torch.float32, torch.bfloat16)
        and dim % PADDING == 0
        and dim <= LARGEST_HEAD
        and cache.block_size % PADDING == 0
    )


def _choose_kind(weights: FloatWeights, multiplies_bfloats: int) -> int:
    """Return how products are computed; the number is that of the function in `decoder.c`.

    Weights that are bfloats by value, as most checkpoints' are, need no more memory in float32.
    """
    products = [weights.head]
    for layer in weights.layers:
        products += [layer.qkv, layer.out, layer.gate_up, layer.down]
    if weights.embedding.dtype is torch.bfloat16:
        fits_tiles = all(product.weight.shape[1] % TILE_INPUTS == 0 for product in products)
        kinds = (BFLOAT_WEIGHTS, BFLOATS, BFLOAT_TILES if fits_tiles else BFLOATS)
        return kinds[multiplies_bfloats]
    exact = all(torch.equal(p.weight, p.weight.bfloat16().float()) for p in products)
    return BFLOAT_WEIGHTS if exact else FLOATS


def in_panels(weight: Tensor, kind: int) -> Tensor:
    """Lay weights (N, K) out as `products.h` reads them, padded with zeros."""
    outputs, inputs = weight.shape
    padded = weight.new_zeros(_padded(outputs, PANEL), _padded(inputs, PADDING))
    padded[:outputs, :inputs] = weight
    if kind == FLOATS:
        panels = padded.float().view(-1, PANEL, padded.shape[1])
    else:
        panels = padded.bfloat16().view(-1, PANEL, padded.shape[1] // 2, 2)
    return panels.transpose(1, 2).contiguous()


def _by_turns(both: Tensor) -> Tensor:
    """Turn (2 F, …), gates first, into panels of 16 gates and their 16 ups; F is padded."""
    gate, up = both.detach().chunk(2)
    room = both.new_zeros(_padded(len(gate), PADDING), 2, *both.shape[1:])
    room[: len(gate), 0], room[: len(gate), 1] = gate, up
    by_turns = room.view(-1, PADDING, *room.shape[1:]).transpose(1, 2)
    return by_turns.reshape(-1, *both.shape[1:])


def _floats(vector: Tensor, multiple: int = PADDING) -> Tensor:
    room = torch.zeros(_padded(len(vector), multiple))
    room[: len(vector)] = vector.detach()
    return room


def _padded(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
