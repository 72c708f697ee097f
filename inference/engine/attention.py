"""Attention over the paged cache, as a function transformers' models can call.

Owns the one attention implementation registered with transformers. A model runs on a flat (1, T)
batch of many sequences and passes our context object down as the keyword `paged`; here keys and
values are written to their slots, and each sequence attends to its own blocks.

Two ways to attend. `PaddedAttention` gathers the blocks of rows of similar size into padded
batches for PyTorch's scaled dot-product attention: CPU, and what those kernels do not take.
`TritonAttention` (`kernels/attention.py`) walks the block table itself, on GPUs.
Decoders of the Llama kind on CPUs have their own attention, in `native/`.
"""

from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from inference.engine import kernels
from inference.engine.batch import Batch, Layout
from inference.engine.kv_cache import KVCache, LayerShape
from inference.engine.spans import Dealer, Spans, deal, spans_of

IMPLEMENTATION = "parlance_paged"
# Extras some models pass that change the result and that neither way implements.
UNSUPPORTED_ARGUMENTS = ("softcap", "s_aux", "sinks", "position_bias")
SMALLEST_BUCKET = 64


class StoredAttention(Protocol):
    """Attention to what the cache holds: one object per forward pass."""

    def attend(self, layer: int, query: Tensor, scale: float) -> Tensor:
        """Return (T, query heads, value dim) for query (T, query heads, dim)."""
        ...


class PagedContext(StoredAttention, Protocol):
    """What transformers' layers need: it stores as well."""

    def store(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Put keys and values (T, heads, dim) of this step into their slots."""
        ...


def paged_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Answer transformers' call: (1, heads, T, dim) in, (1, T, heads, dim) out."""
    if "paged" not in kwargs:
        raise ValueError("The model's layers do not hand extra arguments to their attention.")
    context: PagedContext = kwargs["paged"]
    if attention_mask is not None:  # transformers makes none for an implementation like ours
        raise ValueError("The model's attention has a mask of its own, which is not supported.")
    for name in UNSUPPORTED_ARGUMENTS:
        if kwargs.get(name) is not None:
            raise ValueError(f"The model's attention needs {name}, which is not supported.")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    layer: int = module.layer_idx
    if isinstance(context, RecordingAttention):
        context.check_window(kwargs.get("sliding_window"))  # the same in every later pass
    context.store(layer, key[0].transpose(0, 1), value[0].transpose(0, 1))
    return context.attend(layer, query[0].transpose(0, 1), scale).unsqueeze(0), None


def register() -> None:
    """Make the implementation known to transformers. Doing it again changes nothing."""
    AttentionInterface.register(IMPLEMENTATION, paged_attention)


class RecordingAttention:
    """Plain causal attention over one fresh sequence; notes each layer's shape."""

    def __init__(self, longest: int) -> None:
        """Nothing seen yet; `longest` is how long texts may be by the configuration."""
        self._longest = longest
        self.shapes: dict[int, LayerShape] = {}
        self._stored: tuple[Tensor, Tensor] | None = None

    def check_window(self, window: int | None) -> None:
        """Raise ValueError when a layer sees less than the longest text."""
        if window is not None and window < self._longest:
            raise ValueError(
                "The model's attention has a window of which its configuration is silent."
            )

    def store(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Note the shape, and keep both for `attend`."""
        self.shapes[layer] = LayerShape(key.shape[1], key.shape[2], value.shape[2])
        self._stored = key, value

    def attend(self, layer: int, query: Tensor, scale: float) -> Tensor:
        """Attend without a cache."""
        assert self._stored is not None
        key, value = self._stored
        out = scaled_dot_product_attention(
            query.transpose(0, 1).unsqueeze(0),
            key.transpose(0, 1).unsqueeze(0),
            value.transpose(0, 1).unsqueeze(0),
            is_causal=True,
            scale=scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return out[0].transpose(0, 1)


class _Group:
    """Rows of similar size, padded to one rectangle: G rows, Q query tokens, L cached tokens."""

    def __init__(self, layout: Layout, rows: list[int], device: torch.device) -> None:
        counts, starts = layout.counts[rows], layout.starts[rows]
        kv_lens = layout.kv_lens[rows]
        self.num_rows, self.most_queries = len(rows), int(counts.max())
        steps = np.arange(self.most_queries)
        real = steps < counts[:, None]  # (G, Q)
        flat = np.where(real, layout.offsets[rows][:, None] + steps, 0)
        num_blocks = -(-int(kv_lens.max()) // layout.block_size)
        blocks = layout.block_tables[rows][:, :num_blocks]  # (G, B), B blocks hold L tokens
        past = np.arange(num_blocks * layout.block_size)
        mask = past <= (starts[:, None] + steps)[:, :, None]  # (G, Q, L)
        self.padded = not real.all()
        self.flat = torch.from_numpy(flat.reshape(-1)).to(device)  # (G * Q,)
        self.real = torch.from_numpy(np.flatnonzero(real)).to(device)  # places in G * Q
        self.target = torch.from_numpy(flat[real]).to(device)  # their places in T
        self.blocks = torch.from_numpy(blocks.reshape(-1)).to(device)  # (G * B,)
        self._mask = None if mask.all() else torch.from_numpy(mask).to(device).unsqueeze(1)
        self._masks: dict[int, Tensor | None] = {}

    def mask(self, num_repeats: int) -> Tensor | None:
        """Return the mask for query heads folded into the query axis: (G, 1, repeats * Q, L)."""
        if num_repeats not in self._masks:
            whole = None if self._mask is None else self._mask.repeat(1, 1, num_repeats, 1)
            self._masks[num_repeats] = whole
        return self._masks[num_repeats]


class PaddedAttention:
    """Gathers blocks into padded batches. Rows are grouped so that padding at most doubles."""

    def __init__(self, cache: KVCache, batch: Batch, rows: list[int] | None = None) -> None:
        """Group these rows of `batch` (all of them if None) once for all layers.

        What an earlier owner left in the blocks that this step begins but does not fill is masked
        out of every sum, but a NaN is not masked by a weight of 0: they are cleared first.
        """
        layout, self._device = batch.layout, batch.slots.device
        rows = list(range(len(layout.counts))) if rows is None else rows
        self._cache = cache
        self._slots = batch.slots
        fresh = _fresh_blocks(layout, rows).to(self._device)
        for layer in range(len(cache.keys) if len(fresh) else 0):
            cache.clear(layer, fresh)
        self._groups = [_Group(layout, group, self._device) for group in _buckets(layout, rows)]

    def store(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Put this step's keys and values into their slots."""
        self._cache.write(layer, self._slots, key, value)

    def attend(self, layer: int, query: Tensor, scale: float) -> Tensor:
        """Attend group by group."""
        out = query.new_empty(*query.shape[:2], self._cache.values[layer].shape[-1])  # (T, Hq, Dv)
        for group in self._groups:
            keys, values = self._cache.gather(layer, group.blocks)
            answer = _attend_group(group, query, keys, values, scale)  # (G * Q, Hq, Dv)
            out[group.target] = answer[group.real] if group.padded else answer
        return out


def _attend_group(
    group: _Group, query: Tensor, keys: Tensor, values: Tensor, scale: float
) -> Tensor:
    """Attend from query (T, Hq, D) to the group's keys and values (G * B, block size, Hk, D)."""
    num_heads, num_kv_heads = query.shape[1], keys.shape[2]
    repeats = num_heads // num_kv_heads
    rows, steps = group.num_rows, group.most_queries
    # Query heads that share a key head stand side by side on the query axis: no copies of keys.
    dtype = query.dtype
    if query.device.type == "cpu":  # in float32 several times as fast there, and exact
        query, keys, values = query.float(), keys.float(), values.float()
    folded = query[group.flat].view(rows, steps, num_kv_heads, repeats, -1)
    folded = folded.permute(0, 2, 3, 1, 4).reshape(rows, num_kv_heads, repeats * steps, -1)
    answer = scaled_dot_product_attention(
        folded,
        keys.view(rows, -1, *keys.shape[2:]).transpose(1, 2),  # (G, Hk, L, D)
        values.view(rows, -1, *values.shape[2:]).transpose(1, 2),
        attn_mask=group.mask(repeats),
        scale=scale,
    )
    answer = answer.view(rows, num_kv_heads, repeats, steps, -1).permute(0, 3, 1, 2, 4)
    return answer.reshape(rows * steps, num_heads, -1).to(dtype)


def _fresh_blocks(layout: Layout, rows: list[int]) -> Tensor:
    """Return the blocks that these rows begin in this step but do not fill."""
    starts, kv_lens = layout.starts[rows], layout.kv_lens[rows]
    begun = (kv_lens - 1) // layout.block_size  # the place of each row's last block
    fresh = (begun * layout.block_size >= starts) & (kv_lens % layout.block_size > 0)
    return torch.from_numpy(layout.block_tables[rows, begun][fresh])


def _buckets(layout: Layout, rows: list[int]) -> list[list[int]]:
    """Group row numbers by the powers of two above their query and cache lengths."""
    buckets: dict[tuple[int, int], list[int]] = {}
    for index in rows:
        count, kv_len = int(layout.counts[index]), int(layout.kv_lens[index])
        place = ((count - 1).bit_length(), (max(kv_len, SMALLEST_BUCKET) - 1).bit_length())
        buckets.setdefault(place, []).append(index)
    return list(buckets.values())


def paged_context(cache: KVCache, batch: Batch, shapes: list[LayerShape]) -> PagedContext:
    """Return the fastest way to attend that takes this cache."""
    if not kernels_work(cache, shapes):
        return PaddedAttention(cache, batch)
    device = batch.slots.device
    layout = batch.layout
    dealer = partial(deal, layout.counts, layout.kv_lens, device)
    return kernel_context(cache, batch.slots, spans_of(layout, device), dealer)


def kernel_context(cache: KVCache, slots: Tensor, spans: Spans, dealer: Dealer) -> PagedContext:
    """Attend by the GPU's kernels to `spans`; `slots` (T,) are this step's."""
    from inference.engine.kernels.attention import TritonAttention  # imported on GPUs only

    return TritonAttention(cache, slots, spans, dealer)


def kernels_work(cache: KVCache, shapes: list[LayerShape]) -> bool:
    """Whether the GPU's kernels take this cache: CUDA with Triton, equal dims of at most 256."""
    equal = all(shape.key_dim == shape.value_dim <= 256 for shape in shapes)
    return equal and kernels.available(cache.keys[0].device)
