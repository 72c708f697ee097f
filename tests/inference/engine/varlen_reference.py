"""What PyTorch documents about its variable-length attention, in plain words."""

import math

import torch
from torch import Tensor


def plain(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Causal attention of the last queries (Q, H, D) over keys (L, Hk, D), by the formula."""
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    scores = torch.einsum("qhd,lhd->hql", query, key) * scale
    num_queries, length = query.shape[0], key.shape[0]
    allowed = torch.arange(length) <= torch.arange(num_queries)[:, None] + length - num_queries
    weights = scores.masked_fill(~allowed, -math.inf).softmax(-1)
    return torch.einsum("hql,lhd->qhd", weights, value)


def reference_kernel(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float,
    window_size: tuple[int, int],
    enable_gqa: bool,
    seqused_k: Tensor,
    block_table: Tensor,
) -> Tensor:
    """What `varlen_attn` documents about its arguments, in plain words."""
    # Causal, but for single tokens: there the heads of a group come as the row's queries.
    grouped = window_size == (-1, -1)
    assert grouped or window_size == (-1, 0)
    assert enable_gqa == (query.shape[1] != key.shape[2])
    for tensor in (cu_seq_q, cu_seq_k, seqused_k, block_table):
        assert tensor.dtype == torch.int32
    assert cu_seq_k.diff().tolist() == seqused_k.tolist()
    assert int(cu_seq_q.diff().max()) == max_q
    assert int(seqused_k.max()) <= max_k
    assert int(block_table.max()) < len(key)
    out = torch.empty_like(query)
    for row, used in enumerate(seqused_k.tolist()):
        first, last = cu_seq_q[row], cu_seq_q[row + 1]
        keys = key[block_table[row].long()].flatten(0, 1)[:used]
        values = value[block_table[row].long()].flatten(0, 1)[:used]
        if grouped:
            assert query.shape[1] == key.shape[2]
            assert last - first == max_q
            heads = query[first:last].transpose(0, 1)  # (Hk, group, D): one token, all its heads
            single = plain(heads.flatten(0, 1).unsqueeze(0), keys, values, scale)
            out[first:last] = single[0].view_as(heads).transpose(0, 1)
        else:
            out[first:last] = plain(query[first:last], keys, values, scale)
    return out
