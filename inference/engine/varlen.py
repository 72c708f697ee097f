"""Attention on GPUs: PyTorch's variable-length flash attention, which reads the block table itself.

Owns what the kernel is told. It takes pages of 256 tokens, 16-bit numbers and int32 tables. For
rows of one token, the query heads that share a key head are made the row's queries here, so that
keys and values are read once for all of them and not once for each. The kernel can do that too,
but only when it is not asked for a causal window (which means nothing to one token), and then it
copies the queries twice.
"""

import inspect
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

from inference.engine.batch import Layout
from inference.engine.kv_cache import KVCache, LayerShape
from inference.engine.transfers import to_device


@dataclass(frozen=True, slots=True)
class Spans:
    """What the rows of a step attend to; int32, on the device. R rows."""

    tables: Tensor  # (R, blocks)
    kv_lens: Tensor  # (R,) tokens in the cache
    kv_ends: Tensor  # (R + 1,) their running sum
    query_ends: Tensor  # (R + 1,) running sum of the rows' tokens
    most_queries: int
    longest: int  # at least the largest of kv_lens


def spans_of(layout: Layout, device: torch.device) -> Spans:
    """Put a layout's table and lengths on the device."""
    kv_ends = np.concatenate([[0], np.cumsum(layout.kv_lens)])
    return Spans(
        tables=to_device(layout.block_tables, torch.int32, device),
        kv_lens=to_device(layout.kv_lens, torch.int32, device),
        kv_ends=to_device(kv_ends, torch.int32, device),
        query_ends=to_device(layout.offsets, torch.int32, device),
        most_queries=int(layout.counts.max()),
        longest=int(layout.kv_lens.max()),
    )


class VarlenAttention:
    """Attends for all layers of one step."""

    def __init__(self, cache: KVCache, slots: Tensor, spans: Spans) -> None:
        """Attend to `spans` of the cache; `slots` (T,) are this step's."""
        self._cache = cache
        self._slots = slots
        self._spans = spans
        self._grouped_ends: dict[int, Tensor] = {}

    def store(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Put this step's keys and values into their slots."""
        self._cache.write(layer, self._slots, key, value)

    def attend(self, layer: int, query: Tensor, scale: float) -> Tensor:
        """Let the kernel walk the blocks; each row's last token is its last in the cache."""
        most_queries, query_ends = self._spans.most_queries, self._spans.query_ends
        if most_queries > 1:
            return self._run(layer, query, scale, query_ends, most_queries, causal=True)
        rows, heads, dim = query.shape
        kv_heads = self._cache.keys[layer].shape[2]
        group = heads // kv_heads
        if group == 1:
            return self._run(layer, query, scale, query_ends, 1, causal=False)
        if group not in self._grouped_ends:
            self._grouped_ends[group] = query_ends * group
        grouped = query.view(rows, kv_heads, group, dim).transpose(1, 2)
        out = self._run(
            layer,
            grouped.reshape(rows * group, kv_heads, dim),
            scale,
            self._grouped_ends[group],
            group,
            causal=False,
        )
        return out.view(rows, group, kv_heads, dim).transpose(1, 2).reshape(rows, heads, dim)

    def _run(
        self,
        layer: int,
        query: Tensor,
        scale: float,
        query_ends: Tensor,
        most_queries: int,
        *,
        causal: bool,
    ) -> Tensor:
        keys, values = self._cache.keys[layer], self._cache.values[layer]
        out = varlen_attn(
            query,
            keys,
            values,
            query_ends,
            self._spans.kv_ends,
            most_queries,
            self._spans.longest,
            scale=scale,
            window_size=(-1, 0) if causal else (-1, -1),
            enable_gqa=query.shape[1] != keys.shape[2],
            seqused_k=self._spans.kv_lens,
            block_table=self._spans.tables,
        )
        assert isinstance(out, Tensor)
        return out


def varlen_works(cache: KVCache, shapes: list[LayerShape]) -> bool:
    """Whether the kernel takes this cache: CUDA, 16 bits, equal dims ≤ 256, pages of 256."""
    keys = cache.keys[0]
    return (
        keys.is_cuda
        and keys.dtype in (torch.bfloat16, torch.float16)
        and cache.block_size % 256 == 0
        and all(s.key_dim == s.value_dim <= 256 and s.key_dim % 8 == 0 for s in shapes)
        and "block_table" in inspect.signature(varlen_attn).parameters  # PyTorch 2.12
    )
