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


Dealer = Callable[[int, int], list[Tiles]]  # from tokens of a narrow and a wide tile


def spans_of(layout: Layout, device: torch.device) -> Spans:
    """Put a layout's table and lengths on the device."""
    return Spans(
        tables=to_device(layout.block_tables, torch.int32, device),
        kv_lens=to_device(layout.kv_lens, torch.int32, device),
        query_ends=to_device(layout.offsets, torch.int32, device),
    )


def deal(counts: Ints, device: torch.device, narrow: int, wide: int) -> list[Tiles]:
    """Cut rows of `counts` (R,) tokens into tiles: `narrow` if a row fits one, else `wide`."""
    few = counts <= narrow
    kinds = ((few, 1 if counts[few].max(initial=1) == 1 else narrow, False), (~few, wide, True))
    return [
        _cut(np.flatnonzero(chosen), counts[chosen], tokens, is_wide, device)
        for chosen, tokens, is_wide in kinds
        if chosen.any()
    ]


def _cut(rows: Ints, counts: Ints, tokens: int, wide: bool, device: torch.device) -> Tiles:
    per_row = -(-counts // tokens)
    before = np.cumsum(per_row) - per_row
    firsts = (np.arange(per_row.sum()) - np.repeat(before, per_row)) * tokens
    placed = to_device(np.stack([np.repeat(rows, per_row), firsts]), torch.int32, device)
    return Tiles(placed[0], placed[1], tokens, wide)
