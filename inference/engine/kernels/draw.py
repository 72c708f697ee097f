"""Drawing from logits on GPUs, in two passes of Triton over them.

The first pass notes of each piece of a row its highest logit and the sum of what its tokens weigh
against that. From these, the second knows in which piece the row's point falls, and looks at that
piece alone. PyTorch's operators would pass over whole rows seven times, most of them in float32.
Nothing of a row depends on the others.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import triton
import triton.language as tl
from torch import Tensor

from inference.engine.transfers import to_device

PIECE = 4096  # tokens

Points = npt.NDArray[np.float64]


@triton.jit
def _survey(
    logits, inverse, highest, likeliest, sums, stride, vocab_size, pieces, PIECE: tl.constexpr
):
    """One piece of one row: its highest logit, whose it is, and the weights' sum."""
    row, piece = tl.program_id(0).to(tl.int64), tl.program_id(1)
    token = piece * PIECE + tl.arange(0, PIECE)
    inside = token < vocab_size
    value = tl.load(logits + row * stride + token, mask=inside, other=float("-inf")).to(tl.float32)
    # A NaN has to be seen in the result: max passes over it.
    sick = tl.max((value != value).to(tl.int32), 0)
    top = tl.max(value, 0)
    first = tl.min(tl.where(value == top, token, vocab_size), 0)
    place = row * pieces + piece
    steepness = tl.load(inverse + row)
    if steepness > 0:
        against = tl.where(top == float("-inf"), 0.0, top)
        tl.store(sums + place, tl.sum(tl.exp((value - against) * steepness), 0))
    tl.store(highest + place, tl.where(sick != 0, float("nan"), top))
    tl.store(likeliest + place, first)


# Where the points begin depends on how many rows there are: no reason to compile it again.
@triton.jit(do_not_specialize_on_alignment=["points"])
def _choose(
    logits, inverse, points, highest, likeliest, sums, token_ids, tops, stride, vocab_size, pieces,
    PIECE: tl.constexpr, PIECES: tl.constexpr,
):  # fmt: skip
    """One row: where the running sum of its weights first exceeds point · total."""
    row = tl.program_id(0).to(tl.int64)
    number = tl.arange(0, PIECES)
    known = number < pieces
    place = row * pieces + number
    top = tl.load(highest + place, mask=known, other=float("-inf"))
    best = tl.max(top, 0)
    sick = tl.max((top != top).to(tl.int32), 0)
    tl.store(tops + row, tl.where(sick != 0, float("nan"), best))
    firsts = tl.load(likeliest + place, mask=known, other=vocab_size)
    chosen = tl.min(tl.where(top == best, firsts, vocab_size), 0)
    steepness = tl.load(inverse + row)
    if steepness > 0:
        weights = tl.load(sums + place, mask=known, other=0.0) * tl.exp((top - best) * steepness)
        ends = tl.cumsum(weights, 0)
        total = tl.max(ends, 0)
        target = tl.load(points + row) * total
        wanted = tl.min(tl.where((ends > target) & (weights > 0), number, PIECES), 0)
        before = tl.sum(tl.where(number < wanted, weights, 0.0), 0)
        token = wanted * PIECE + tl.arange(0, PIECE)
        inside = token < vocab_size  # none when rounding left no piece: the likeliest, then
        value = tl.load(logits + row * stride + token, mask=inside, other=float("-inf"))
        weight = tl.exp((value.to(tl.float32) - best) * steepness)
        sums_here = before + tl.cumsum(weight, 0)
        found = tl.min(tl.where((sums_here > target) & (weight > 0), token, vocab_size), 0)
        chosen = tl.where(found < vocab_size, found, chosen)
    tl.store(token_ids + row, tl.minimum(chosen, vocab_size - 1).to(tl.int64))


def triton_draw(
    logits: Tensor, temperatures: Sequence[float], points: Points
) -> tuple[Tensor, Tensor]:
    """Return a token id and the highest logit of each row of (R, V); see `native/draw.py`."""
    rows, vocab_size = logits.shape
    device = logits.device
    pieces = triton.cdiv(vocab_size, PIECE)
    numbers = [[1.0 / t if t else 0.0 for t in temperatures], points]  # 0: the likeliest
    inverse, targets = to_device(np.array(numbers), torch.float32, device)
    highest = torch.empty(rows, pieces, dtype=torch.float32, device=device)
    sums, likeliest = torch.empty_like(highest), torch.empty_like(highest, dtype=torch.int32)
    token_ids = torch.empty(rows, dtype=torch.int64, device=device)
    tops = torch.empty(rows, dtype=torch.float32, device=device)
    _survey[(rows, pieces)](
        logits, inverse, highest, likeliest, sums, logits.stride(0), vocab_size, pieces,
        PIECE=PIECE, num_warps=8,
    )  # fmt: skip
    _choose[(rows,)](
        logits, inverse, targets, highest, likeliest, sums, token_ids, tops, logits.stride(0),
        vocab_size, pieces, PIECE=PIECE, PIECES=triton.next_power_of_2(pieces), num_warps=8,
    )  # fmt: skip
    return token_ids, tops
