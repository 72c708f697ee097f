"""Matrix times one row, for GPUs: what a step of a single sequence spends its time with.

Such a step is as fast as its weights can be read. A program has a few outputs and reads their
weights from beginning to end. What stands before the product (adding to the residual stream, its
norm) and behind it (the gate) is done on the way: the row is small enough to be read by every
program, and a kernel that is not launched leaves no gap. A norm's scale is one number for the row,
so it is multiplied in at the end.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from inference.engine.kernels.launch import early, wait_for_inputs

# Of a program. On an H200, with the matrices of an 8B Llama, the best of twelve such choices read
# 3.1 to 4.3 TB/s; this one has as many reads under way as fit the registers.
OUTPUTS, NUMBERS, WARPS = 4, 512, 2
ROUNDED_NUMBERS = 1024  # of int8, for as wide a read


@triton.jit
def silu(x):
    # exp of a negative number only: neither overflows nor loses a NaN.
    falling = tl.exp(-tl.abs(x))
    return x * tl.where(x > 0, 1.0, falling) / (1.0 + falling)


@triton.jit
def _weights(rows, start, inside, WIDTH: tl.constexpr, NUMBERS: tl.constexpr):
    """Read some numbers of each of a program's rows; beyond the end, zeros."""
    column = start + tl.arange(0, NUMBERS)
    wanted = inside[:, None] & (column < WIDTH)[None, :]
    return tl.load(rows + column[None, :], mask=wanted, other=0.0, eviction_policy="evict_first")


@triton.jit
def _row_product(
    x, added, norm, weight, scales, bias, summed, out, epsilon, outputs,
    WIDTH: tl.constexpr, OUTPUTS: tl.constexpr, NUMBERS: tl.constexpr,
    ADDS: tl.constexpr, NORMED: tl.constexpr, GATED: tl.constexpr, ROUNDED: tl.constexpr,
    BIASED: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    """OUTPUTS numbers of norm(x + added) times weight (outputs, WIDTH), or of two gated."""
    program = tl.program_id(0)
    number = program * OUTPUTS + tl.arange(0, OUTPUTS)
    inside = number < outputs
    lower = weight + number.to(tl.int64)[:, None] * WIDTH
    upper = weight + (number + outputs).to(tl.int64)[:, None] * WIDTH
    first = tl.zeros([OUTPUTS, NUMBERS], tl.float32)
    second = tl.zeros([OUTPUTS, NUMBERS], tl.float32)
    squares = tl.zeros([NUMBERS], tl.float32)
    # The next weights are on their way while these are multiplied, the first before the inputs are.
    some = _weights(lower, 0, inside, WIDTH, NUMBERS)
    if GATED:
        more = _weights(upper, 0, inside, WIDTH, NUMBERS)
    wait_for_inputs(EARLY)
    for start in range(0, WIDTH, NUMBERS):
        next_some = _weights(lower, start + NUMBERS, inside, WIDTH, NUMBERS)
        if GATED:
            next_more = _weights(upper, start + NUMBERS, inside, WIDTH, NUMBERS)
        column = start + tl.arange(0, NUMBERS)
        within = column < WIDTH
        value = tl.load(x + column, mask=within, other=0.0).to(tl.float32)
        if ADDS:
            value += tl.load(added + column, mask=within, other=0.0).to(tl.float32)
            rounded = value.to(x.dtype.element_ty)  # what goes on is what is stored
            if program == 0:
                tl.store(summed + column, rounded, mask=within)
            value = rounded.to(tl.float32)
        if NORMED:
            squares += value * value
            value *= tl.load(norm + column, mask=within, other=0.0).to(tl.float32)
        first += some.to(tl.float32) * value[None, :]
        some = next_some
        if GATED:
            second += more.to(tl.float32) * value[None, :]
            more = next_more
    scale = 1.0
    if NORMED:
        scale = tl.rsqrt(tl.sum(squares) / WIDTH + epsilon)
    result = tl.sum(first, 1) * scale
    if ROUNDED:
        result *= tl.load(scales + number, mask=inside, other=0.0)
    if BIASED:
        result += tl.load(bias + number, mask=inside, other=0.0).to(tl.float32)
    if GATED:
        up = tl.sum(second, 1) * scale
        if ROUNDED:
            up *= tl.load(scales + outputs + number, mask=inside, other=0.0)
        if BIASED:
            up += tl.load(bias + outputs + number, mask=inside, other=0.0).to(tl.float32)
        result = silu(result) * up
    tl.store(out + number, result.to(out.dtype.element_ty), mask=inside)


def row_product(
    x: Tensor,
    added: Tensor | None,
    norm: Tensor | None,
    epsilon: float,
    weight: Tensor,
    bias: Tensor | None,
    *,
    scales: Tensor | None = None,
    gated: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return x + added (1, K), and its norm times weightᵀ: (1, N).

    Without `norm` the sum itself is multiplied. An int8 weight has float32 `scales` (N,). `gated`:
    weight (2 N, K) holds a gate and what it gates, and the product is silu(gate) · up.
    """
    width = x.shape[1]
    outputs = weight.shape[0] // 2 if gated else weight.shape[0]
    summed = x if added is None else torch.empty_like(x)
    out = x.new_empty(1, outputs)
    _row_product[(triton.cdiv(outputs, OUTPUTS),)](
        x, x if added is None else added, x if norm is None else norm, weight,
        x if scales is None else scales, x if bias is None else bias, summed, out, epsilon, outputs,
        WIDTH=width, OUTPUTS=OUTPUTS, NUMBERS=NUMBERS if scales is None else ROUNDED_NUMBERS,
        ADDS=added is not None, NORMED=norm is not None, GATED=gated, ROUNDED=scales is not None,
        BIASED=bias is not None, num_warps=WARPS, **early(x.device),
    )  # fmt: skip
    return summed, out
