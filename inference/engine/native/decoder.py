"""A decoder of the Llama kind, run by `decoder.c`: one call for all layers of a step.

Owns the weights in the form that the C code reads, and its working memory. Keys and values are in
the cache's memory, but not in its order: nothing else may read or write the same cache.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference.engine import huge_pages
from inference.engine.batch import Batch
from inference.engine.family import DecoderWeights, LayerWeights, Projection
from inference.engine.kv_cache import KVCache
from inference.engine.native.compiler import load_library
from inference.engine.quantised import Int8Embedding, Int8Linear

PADDING = 16
PANEL = 32
LARGEST_HEAD = 256  # MOST_DIM in the source
PHASES_OF_A_LAYER = 8
FURTHER_PHASES = 4
FLOATS, BFLOAT_WEIGHTS, BFLOATS, BFLOAT_TILES = range(4)  # enum kind
TILE_ROWS, TILE_INPUTS = 16, 32

MOST_PANELS = 4  # of a piece; without tiles a single one is widened at a time

AnyProjection = Projection | Int8Linear
Weights = DecoderWeights[Tensor | Int8Embedding, AnyProjection]
_number, _pointer, _real = ctypes.c_int64, ctypes.c_void_p, ctypes.c_float


class _Product(ctypes.Structure):
    _fields_ = (
        ("weights", _pointer),
        ("scales", _pointer),
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
        *((name, _pointer) for name in ("cosines", "sines")),
        *((name, _pointer) for name in ("embedding", "embedding_scales", "norm")),
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
        ("rooms", _pointer),
        ("room_size", _number),
    )


class NativeDecoder:
    """Runs batches on the CPU.

    Weights and cache are float32 or bfloat16, each for itself; all products may be int8.
    """

    def __init__(self, weights: Weights, cache: KVCache, library: ctypes.CDLL) -> None:
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
        self._room_size = self._widest_product() if isinstance(weights.head, Int8Linear) else 0

    def _widest_product(self) -> int:
        """Return the bytes of int8 weights that a thread widens at a time."""
        products = [p for layer in self._layers for p in (layer.qkv, layer.out, layer.down)]
        inputs: int = max(product.inputs for product in products)
        return inputs * PANEL * 2 * (MOST_PANELS if self._kind == BFLOAT_TILES else 1)

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
            rooms=self._room("rooms", self._threads * self._room_size // 4),
            room_size=self._room_size,
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

    def _pack(self, weights: Weights, cache: KVCache) -> _Decoder:
        _, _, kv_heads, dim = cache.keys[0].shape
        embedding, scales = _split(weights.embedding)
        hidden = embedding.shape[1]
        first = weights.layers[0]
        return _Decoder(
            hidden=hidden,
            width=_padded(hidden, PADDING),
            heads=_split(first.out)[0].shape[1] // dim,
            kv_heads=kv_heads,
            dim=dim,
            half=weights.cosines.shape[1],
            inner=_padded(_split(first.down)[0].shape[1], PADDING),
            num_layers=len(weights.layers),
            kind=self._kind,
            bfloats=embedding.dtype is torch.bfloat16,
            epsilon=weights.epsilon,
            scale=weights.scale,
            cosines=self._keep(weights.cosines),
            sines=self._keep(weights.sines),
            embedding=self._keep(embedding.detach()),
            embedding_scales=None if scales is None else self._keep(scales),
            norm=self._keep(_floats(weights.norm)),
            head=self._product(weights.head),
            layers=self._layers,
        )

    def _layer(self, layer: LayerWeights[AnyProjection]) -> _Layer:
        query_norm, key_norm = layer.head_norms or (None, None)
        return _Layer(
            input_norm=self._keep(_floats(layer.input_norm)),
            output_norm=self._keep(_floats(layer.output_norm)),
            query_norm=None if query_norm is None else self._keep(_floats(query_norm)),
            key_norm=None if key_norm is None else self._keep(_floats(key_norm)),
            qkv=self._product(layer.qkv),
            out=self._product(layer.out),
            gate_up=self._product(layer.gate_up, _by_turns),
            down=self._product(layer.down),
        )

    def _product(
        self, projection: AnyProjection, order: Callable[[Tensor], Tensor] = lambda each: each
    ) -> _Product:
        """Pack a projection, its outputs in another `order`."""
        numbers, scales = _split(projection)
        numbers, bias = order(numbers.detach()), projection.bias
        outputs, inputs = numbers.shape
        return _Product(
            weights=self._keep(huge_pages.copied(in_panels(numbers, self._kind))),
            scales=None if scales is None else self._keep(_floats(order(scales), PANEL)),
            bias=None if bias is None else self._keep(_floats(order(bias), PANEL)),
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
        and weights.embedding.dtype in (torch.float32, torch.bfloat16)
        and all(key.shape == keys.shape for key in (*cache.keys, *cache.values))
        and cache.dtype in (torch.float32, torch.bfloat16)
        and dim % PADDING == 0
        and dim <= LARGEST_HEAD
        and cache.block_size % PADDING == 0
    )


def _choose_kind(weights: Weights, multiplies_bfloats: int) -> int:
    """Return how products are computed; the number is that of the function in `decoder.c`.

    Weights that are bfloats by value, as most checkpoints' are, need no more memory in float32.
    """
    products = [weights.head]
    for layer in weights.layers:
        products += [layer.qkv, layer.out, layer.gate_up, layer.down]
    if weights.embedding.dtype is torch.bfloat16:
        fits_tiles = all(_split(product)[0].shape[1] % TILE_INPUTS == 0 for product in products)
        kinds = (BFLOAT_WEIGHTS, BFLOATS, BFLOAT_TILES if fits_tiles else BFLOATS)
        return kinds[multiplies_bfloats]
    return BFLOAT_WEIGHTS if all(map(_are_bfloats, products)) else FLOATS


def _are_bfloats(projection: AnyProjection) -> bool:
    numbers, scales = _split(projection)
    return scales is not None or torch.equal(numbers, numbers.bfloat16().float())


def _split(weights: Tensor | Int8Embedding | AnyProjection) -> tuple[Tensor, Tensor | None]:
    """Return numbers (N, K) and, of those that are int8, their scales (N,)."""
    if isinstance(weights, Int8Embedding):
        weights = weights.head
    if isinstance(weights, Int8Linear):
        return weights.values, weights.scales
    return (weights.weight if isinstance(weights, Projection) else weights), None


def in_panels(weight: Tensor, kind: int) -> Tensor:
    """Lay weights (N, K) out as `products.h` reads them, padded with zeros; int8 remain so."""
    outputs, inputs = weight.shape
    padded = weight.new_zeros(_padded(outputs, PANEL), _padded(inputs, PADDING))
    padded[:outputs, :inputs] = weight
    if kind == FLOATS:
        panels = padded.float().view(-1, PANEL, padded.shape[1])
    else:
        padded = padded if padded.dtype is torch.int8 else padded.bfloat16()
        panels = padded.view(-1, PANEL, padded.shape[1] // 2, 2)
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
