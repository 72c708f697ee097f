"""What a decoder does between its matrix products, for GPUs: `Operations` as Triton kernels.

Each part between two products is one launch that reads its inputs once and writes its outputs once,
where PyTorch's operators would pass over the same numbers several times. Sums are in float32
whatever the numbers are stored as; a row's result never depends on the other rows of a call. Triton
comes with PyTorch's CUDA build, and nothing else needs this module: it is imported on GPUs only
(and by its tests, which run the kernels in Triton's interpreter on the CPU).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from inference.engine.kernels.launch import early, wait_for_inputs
from inference.engine.kernels.row import row_product, silu
from inference.engine.operations import Operations, Product
from inference.engine.quantised import Int8Linear

GATE_BLOCK = 1024  # numbers of one program of the gate
HEADS = 8  # of one program that rotates


@triton.jit
def _add_rms_norm(
    x,
    added,
    weight,
    out,
    epsilon,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    ADDS: tl.constexpr,
    EARLY: tl.constexpr,
):
    """One row of (rows, WIDTH)."""
    wait_for_inputs(EARLY)
    row = tl.program_id(0).to(tl.int64) * WIDTH
    columns = tl.arange(0, BLOCK)
    inside = columns < WIDTH
    value = tl.load(x + row + columns, mask=inside, other=0.0).to(tl.float32)
    if ADDS:
        more = tl.load(added + row + columns, mask=inside, other=0.0).to(tl.float32)
        # What goes on is what was stored: the next layer adds to the rounded sum.
        rounded = (value + more).to(x.dtype.element_ty)
        tl.store(x + row + columns, rounded, mask=inside)
        value = rounded.to(tl.float32)
    scale = tl.rsqrt(tl.sum(value * value) / WIDTH + epsilon)
    factors = tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    result = (value * scale * factors).to(out.dtype.element_ty)
    tl.store(out + row + columns, result, mask=inside)


@triton.jit
def _silu_product(both, out, WIDTH: tl.constexpr, BLOCK: tl.constexpr, EARLY: tl.constexpr):
    """A piece of one row of both (rows, 2 WIDTH)."""
    wait_for_inputs(EARLY)
    row = tl.program_id(0).to(tl.int64) * WIDTH
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < WIDTH
    gate = tl.load(both + 2 * row + columns, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(both + 2 * row + WIDTH + columns, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row + columns, (silu(gate) * up).to(out.dtype.element_ty), mask=inside)


@triton.jit
def _rotated(
    source,
    target,
    cosines,
    sines,
    norm,
    epsilon,
    first,
    count,
    DIM: tl.constexpr,
    HALF: tl.constexpr,
    BLOCK: tl.constexpr,
    NORMED: tl.constexpr,
    SIDE: tl.constexpr,
):
    """Heads first.. of a token, at most `count` in all: normalised, rotated and stored.

    A head's DIM numbers are HALF, HALF and what is not rotated; each part is padded to BLOCK,
    a power of two.
    """
    head = first + tl.arange(0, SIDE)[:, None]
    column = tl.arange(0, BLOCK)[None, :]
    places = head * DIM + column
    paired = (head < count) & (column < HALF)
    alone = (head < count) & (column < DIM - 2 * HALF)
    a = tl.load(source + places, mask=paired, other=0.0).to(tl.float32)
    b = tl.load(source + places + HALF, mask=paired, other=0.0).to(tl.float32)
    rest = tl.load(source + places + 2 * HALF, mask=alone, other=0.0).to(tl.float32)
    if NORMED:
        squares = tl.sum(a * a + b * b + rest * rest, axis=1)[:, None]
        scale = tl.rsqrt(squares / DIM + epsilon)
        a *= scale * tl.load(norm + column, mask=column < HALF, other=0.0).to(tl.float32)
        b *= scale * tl.load(norm + HALF + column, mask=column < HALF, other=0.0).to(tl.float32)
        unpaired = column < DIM - 2 * HALF
        factors = tl.load(norm + 2 * HALF + column, mask=unpaired, other=0.0).to(tl.float32)
        rest *= scale * factors
    cosine = tl.load(cosines + column, mask=column < HALF, other=0.0)
    sine = tl.load(sines + column, mask=column < HALF, other=0.0)
    kind = target.dtype.element_ty
    tl.store(target + places, (a * cosine - b * sine).to(kind), mask=paired)
    tl.store(target + places + HALF, (b * cosine + a * sine).to(kind), mask=paired)
    tl.store(target + places + 2 * HALF, rest.to(kind), mask=alone)


@triton.jit
def _rotate_and_store(
    qkv,
    cosines,
    sines,
    positions,
    slots,
    query_norm,
    key_norm,
    epsilon,
    queries,
    keys,
    values,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    DIM: tl.constexpr,
    HALF: tl.constexpr,
    BLOCK: tl.constexpr,
    WHOLE: tl.constexpr,
    NORMED: tl.constexpr,
    SIDE: tl.constexpr,
    EARLY: tl.constexpr,
):
    """SIDE heads of one token: of its queries, its keys or its values."""
    token = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    query_parts = (QUERIES + SIDE - 1) // SIDE
    key_parts = (KEYS + SIDE - 1) // SIDE
    source = qkv + token * (QUERIES + 2 * KEYS) * DIM
    slot = tl.load(slots + token).to(tl.int64) * KEYS * DIM
    angle = tl.load(positions + token).to(tl.int64) * HALF
    wait_for_inputs(EARLY)
    if part < query_parts:
        _rotated(
            source, queries + token * QUERIES * DIM, cosines + angle, sines + angle, query_norm,
            epsilon, part * SIDE, QUERIES, DIM, HALF, BLOCK, NORMED, SIDE,
        )  # fmt: skip
    elif part < query_parts + key_parts:
        _rotated(
            source + QUERIES * DIM, keys + slot, cosines + angle, sines + angle, key_norm,
            epsilon, (part - query_parts) * SIDE, KEYS, DIM, HALF, BLOCK, NORMED, SIDE,
        )  # fmt: skip
    else:
        first = (part - query_parts - key_parts) * SIDE
        numbers = first * DIM + tl.arange(0, SIDE * WHOLE)
        inside = numbers < tl.minimum(first + SIDE, KEYS) * DIM
        value = tl.load(source + (QUERIES + KEYS) * DIM + numbers, mask=inside, other=0.0)
        tl.store(values + slot + numbers, value, mask=inside)


class TritonOperations(Operations):
    """The parts for tensors on a GPU: contiguous, of one dtype."""

    def add_rms_norm(
        self, x: Tensor, added: Tensor | None, weight: Tensor, epsilon: float
    ) -> Tensor:
        rows, width = x.shape
        out = torch.empty_like(x)
        block = triton.next_power_of_2(width)
        _add_rms_norm[(rows,)](
            x,
            x if added is None else added,
            weight,
            out,
            epsilon,
            WIDTH=width,
            BLOCK=block,
            ADDS=added is not None,
            num_warps=min(16, max(1, block // 512)),
            **early(x.device),
        )
        return out

    def silu_product(self, both: Tensor) -> Tensor:
        rows, width = both.shape[0], both.shape[1] // 2
        out = both.new_empty(rows, width)
        grid = (rows, triton.cdiv(width, GATE_BLOCK))
        _silu_product[grid](both, out, WIDTH=width, BLOCK=GATE_BLOCK, **early(both.device))
        return out

    def rotate_and_store(
        self,
        qkv: Tensor,
        cosines: Tensor,
        sines: Tensor,
        positions: Tensor,
        slots: Tensor,
        norms: tuple[Tensor, Tensor] | None,
        epsilon: float,
        keys: Tensor,
        values: Tensor,
    ) -> Tensor:
        tokens, (_, _, kv_heads, dim) = qkv.shape[0], keys.shape
        heads, half = qkv.shape[1] // dim - 2 * kv_heads, cosines.shape[1]
        queries = qkv.new_empty(tokens, heads, dim)
        query_norm, key_norm = norms or (qkv, qkv)  # what is not read needs only be a pointer
        parts = triton.cdiv(heads, HEADS) + 2 * triton.cdiv(kv_heads, HEADS)
        _rotate_and_store[(tokens, parts)](
            qkv,
            cosines,
            sines,
            positions,
            slots,
            query_norm,
            key_norm,
            epsilon,
            queries,
            keys,
            values,
            QUERIES=heads,
            KEYS=kv_heads,
            DIM=dim,
            HALF=half,
            BLOCK=triton.next_power_of_2(max(half, dim - 2 * half)),
            WHOLE=triton.next_power_of_2(dim),
            NORMED=norms is not None,
            SIDE=HEADS,
            **early(qkv.device),
        )
        return queries

    # A single row: its products are kernels of our own, with what stands around them.

    def product(self, x: Tensor, product: Product) -> Tensor:
        if not _is_single(x, product):
            return super().product(x, product)
        return _row_product_of(x, None, None, 0.0, product)[1]

    def normed_product(
        self, x: Tensor, added: Tensor | None, norm: Tensor, epsilon: float, product: Product
    ) -> tuple[Tensor, Tensor]:
        if not _is_single(x, product):
            return super().normed_product(x, added, norm, epsilon, product)
        return _row_product_of(x, added, norm, epsilon, product)

    def gated_product(
        self, x: Tensor, added: Tensor, norm: Tensor, epsilon: float, product: Product
    ) -> tuple[Tensor, Tensor]:
        if not _is_single(x, product):
            return super().gated_product(x, added, norm, epsilon, product)
        return _row_product_of(x, added, norm, epsilon, product, gated=True)


def _is_single(x: Tensor, product: Product) -> bool:
    """Whether x is one row, and meets weights such as `row_product` reads."""
    return len(x) == 1 and (isinstance(product, Int8Linear) or product.weight is not None)


def _row_product_of(
    x: Tensor,
    added: Tensor | None,
    norm: Tensor | None,
    epsilon: float,
    product: Product,
    *,
    gated: bool = False,
) -> tuple[Tensor, Tensor]:
    if isinstance(product, Int8Linear):
        weight, scales = product.values, product.scales
    else:
        assert product.weight is not None
        weight, scales = product.weight, None
    return row_product(x, added, norm, epsilon, weight, product.bias, scales=scales, gated=gated)
