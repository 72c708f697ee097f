"""Attention by the formula."""

import math

import torch
from torch import Tensor

from inference.engine.kv_cache import KVCache
from inference.engine.spans import Dealer, Spans


def plain(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Causal attention of the last queries (Q, H, D) over keys (L, Hk, D), by the formula."""
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    scores = torch.einsum("qhd,lhd->hql", query, key) * scale
    num_queries, length = query.shape[0], key.shape[0]
    allowed = torch.arange(length) <= torch.arange(num_queries)[:, None] + length - num_queries
    weights = scores.masked_fill(~allowed, -math.inf).softmax(-1)
    return torch.einsum("hql,lhd->qhd", weights, value)


class PlainAttention:
    """Stands in for `TritonAttention`, whose kernels take minutes in Triton's interpreter."""

    def __init__(self, cache: KVCache, slots: Tensor, spans: Spans, dealer: Dealer) -> None:
        self._cache = cache
        self._slots = slots
        self._spans = spans
        self._dealer = dealer

    def store(self, layer: int, key: Tensor, value: Tensor) -> None:
        self._cache.write(layer, self._slots, key, value)

    def attend(self, layer: int, query: Tensor, scale: float) -> Tensor:
        """Every token that was dealt out, and no other."""
        out = torch.full_like(query, torch.nan)
        ends = self._spans.query_ends.tolist()
        for tiles in self._dealer(2, 8):
            for row, first in zip(tiles.rows.tolist(), tiles.firsts.tolist(), strict=True):
                length, blocks = int(self._spans.kv_lens[row]), self._spans.tables[row].long()
                keys, values = (
                    tensor[layer][blocks].flatten(0, 1)[:length]
                    for tensor in (self._cache.keys, self._cache.values)
                )
                begin, end = ends[row] + first, min(ends[row] + first + tiles.tokens, ends[row + 1])
                seen = length - (ends[row + 1] - end)
                out[begin:end] = plain(query[begin:end], keys[:seen], values[:seen], scale)
        return out
