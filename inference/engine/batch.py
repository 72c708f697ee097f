"""From a plan to the tensors of one step.

Owns the layout: the tokens of all rows, one after the other, form one flat sequence (1, T).
Everything is laid out with numpy in one go and moved to the device once; no work per token.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from inference.engine.plan import Plan, Row
from inference.engine.transfers import to_device

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are, on the CPU. R rows, T tokens."""

    starts: Ints  # (R,) position of each row's first token
    counts: Ints  # (R,) tokens of each row in this step
    kv_lens: Ints  # (R,) tokens in the cache after this step
    offsets: Ints  # (R + 1,) where each row begins in the flat sequence
    block_tables: Ints  # (R, most blocks of a row), padded with block 0
    positions: Ints  # (T,)
    slots: Ints  # (T,) block * block_size + offset
    block_size: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The inputs of one forward pass, and which of its rows want logits."""

    layout: Layout
    input_ids: Tensor  # (1, T)
    position_ids: Tensor  # (1, T)
    slots: Tensor  # (T,)
    logit_index: Tensor  # (N,) flat positions whose logits are needed
    sampling: tuple[Row, ...]  # rows that sample; one with drafts is there for each of them, too
    sampling_index: tuple[int, ...]  # of each, its place among the N
    prompt_ranges: tuple[tuple[Row, int, int], ...]  # rows that want prompt logprobs: N[a:b]


def build_batch(
    plan: Plan, block_size: int, device: torch.device, token_ids: Tensor | None = None
) -> Batch:
    """Lay out a non-empty plan.

    `token_ids` (R,) on the device are the rows' single tokens where the host knows none yet.
    """
    layout = _lay_out(plan.rows, block_size)
    if token_ids is None:
        ids: list[int] = []
        for row in plan.rows:
            ids += row.tokens[row.start : row.length]
            ids += row.drafts
        token_ids = to_device(np.array(ids, dtype=np.int64), torch.int64, device)
    wanted: list[int] = []
    sampling: list[Row] = []
    places: list[int] = []  # of those among the wanted
    prompt_ranges: list[tuple[Row, int, int]] = []
    for row, (first, end) in zip(plan.rows, pairwise(layout.offsets.tolist()), strict=True):
        if row.params.prompt_logprobs is not None and row.start < row.num_prompt_tokens:
            prompt_ranges.append((row, len(wanted), len(wanted) + row.num_tokens))
            wanted.extend(range(first, end))
            if row.samples:
                sampling.append(row)
                places.append(len(wanted) - 1)
        elif row.samples:
            for ahead in range(len(row.drafts) + 1):
                sampling.append(_ahead(row, ahead))
                places.append(len(wanted))
                wanted.append(end - 1 - len(row.drafts) + ahead)
    return Batch(
        layout=layout,
        input_ids=token_ids.unsqueeze(0),
        position_ids=to_device(layout.positions, torch.int64, device).unsqueeze(0),
        slots=to_device(layout.slots, torch.int64, device),
        logit_index=to_device(wanted, torch.int64, device),
        sampling=tuple(sampling),
        sampling_index=tuple(places),
        prompt_ranges=tuple(prompt_ranges),
    )


def _ahead(row: Row, count: int) -> Row:
    """The row as it would be if its first `count` drafts had been sampled."""
    if count == 0:
        return row
    return replace(row, tokens=row.tokens + list(row.drafts[:count]), drafts=row.drafts[count:])


def _lay_out(rows: tuple[Row, ...], block_size: int) -> Layout:
    starts = np.array([row.start for row in rows], dtype=np.int64)
    counts = np.array([row.num_tokens for row in rows], dtype=np.int64)
    kv_lens = starts + counts
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    row_of_token = np.repeat(np.arange(len(rows)), counts)  # (T,)
    positions = np.arange(offsets[-1]) - offsets[row_of_token] + starts[row_of_token]
    tables = _tables(rows, -(-kv_lens // block_size))
    blocks = tables[row_of_token, positions // block_size]
    slots = blocks * block_size + positions % block_size
    return Layout(starts, counts, kv_lens, offsets, tables, positions, slots, block_size)


def _tables(rows: tuple[Row, ...], counts: Ints) -> Ints:
    """Return the first blocks of each row, as many as counted, padded with block 0.

    At once: to write 64 short lists into an array one by one takes longer than all else here.
    """
    blocks: list[int] = []
    for row, count in zip(rows, counts.tolist(), strict=True):
        blocks += row.block_table[:count]
    tables = np.zeros((len(rows), counts.max()), dtype=np.int64)
    tables[np.arange(tables.shape[1]) < counts[:, None]] = blocks
    return tables
