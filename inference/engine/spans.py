"""What the rows of a step attend to, and how their tokens are dealt out to a GPU's programs.

Owns no kernel: only small integers, laid out on the host and moved to the device once a step.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inference.engine.batch import Ints, Layout
from inference.engine.transfers import to_device

# Tokens in the cache from which on a tile's keys are divided among several programs whatever runs
# beside it: one program reads some 80 GB/s where the card reads 4,000, and all wait for it. Narrow
# tiles leave their graph for it (`graphs.py`), which must be worth the launches.
LONG, LONG_IF_WIDE = 16_384, 4_096


@dataclass(frozen=True, slots=True)
class Spans:
    """What rows attend to; int32, on the device. R rows."""

    tables: Tensor  # (R, blocks)
    kv_lens: Tensor  # (R,) tokens in the cache, this step's included
    query_ends: Tensor  # (R + 1,) running sum of the rows' tokens in this step


@dataclass(frozen=True, slots=True)
class Tiles:
    """Consecutive tokens of one row each; int32, on the device. N tiles."""

    rows: Tensor  # (N,)
    firsts: Tensor  # (N,) the tile's first token, counted from its row's first
    tokens: int  # that a tile has at most
    wide: bool  # whether they are enough for a large product
    long: bool = False  # whether their rows are


Dealer = Callable[[int, int], list[Tiles]]  # from tokens of a narrow and a wide tile


def spans_of(layout: Layout, device: torch.device) -> Spans:
    """Put a layout's table and lengths on the device."""
    return Spans(
        tables=to_device(layout.block_tables, torch.int32, device),
        kv_lens=to_device(layout.kv_lens, torch.int32, device),
        query_ends=to_device(layout.offsets, torch.int32, device),
    )


def deal(counts: Ints, kv_lens: Ints, device: torch.device, narrow: int, wide: int) -> list[Tiles]:
    """Cut rows of `counts` (R,) tokens into tiles: `narrow` if a row fits one, else `wide`.

    Rows that are long with `kv_lens` (R,) tokens in the cache have tiles of their own.
    """
    few = counts <= narrow
    long = kv_lens > np.where(few, LONG, LONG_IF_WIDE)
    return [
        _cut(chosen, counts, narrow if is_narrow else wide, not is_narrow, is_long, device)
        for is_narrow in (True, False)
        for is_long in (False, True)
        if (chosen := np.flatnonzero((few == is_narrow) & (long == is_long))).size
    ]


def _cut(
    rows: Ints, counts: Ints, tokens: int, wide: bool, long: bool, device: torch.device
) -> Tiles:
    """Tiles of some rows, the last tokens of each first: they have the most to look at."""
    counts = counts[rows]
    if counts.max() == 1:
        tokens = 1
    per_row = -(-counts // tokens)
    ends = np.cumsum(per_row)
    firsts = (np.repeat(ends, per_row) - np.arange(ends[-1]) - 1) * tokens
    placed = to_device(np.stack([np.repeat(rows, per_row), firsts]), torch.int32, device)
    return Tiles(placed[0], placed[1], tokens, wide, long)
