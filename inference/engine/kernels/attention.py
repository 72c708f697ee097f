"""Attention over the paged cache on GPUs, as Triton kernels that walk the block table themselves.

A tile is some consecutive tokens of one row. A program has one tile and one key head with all the
query heads that share it, so keys and values are read once for a group. The softmax goes along with
the keys (Milakov and Gimelshein 2018; Dao et al. 2022): nothing of the size of queries × keys is
ever stored.

A row of few tokens gives a program little to compute and its whole context to read. Where there
are few such rows, each one's keys are divided among several programs, and a second kernel puts the
parts together. Into how many is decided by the number of rows alone, so that a captured graph
serves every length: a row divides what it has, and parts that turn out to be empty end at once.

Where a row is so long that the others would wait for it (`spans.LONG`), it is launched for itself,
in as many parts as there can be; and so is a chunk of few tiles that looks back on much.
"""

from dataclasses import dataclass, replace

import torch
import triton
import triton.language as tl
from torch import Tensor

from inference.engine.kernels.launch import early, shared_bytes, wait_for_inputs
from inference.engine.kv_cache import KVCache
from inference.engine.spans import Dealer, Spans, Tiles

LOG2_E = 1.4426950408889634
LEAST_ROWS = 16  # of a product on tensor cores
MOST_PARTS = 32
MOST_PARTS_IF_WIDE = 16  # they take turns with products, and each part is a large tile to write
WANTED_PROGRAMS = 264  # two for each processor of a large GPU


@triton.jit
def _load(
    cache, table, start, length, head,
    HEADS: tl.constexpr, DIM: tl.constexpr, COLUMNS: tl.constexpr, PAGE: tl.constexpr,
    KEYS: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """Keys or values (KEYS, COLUMNS) of a row from `start`; zero from `length`, if not WHOLE."""
    places = start + tl.arange(0, KEYS)
    columns = tl.arange(0, COLUMNS)
    inside = places < length
    if PAGE % KEYS == 0:  # all on one page
        slots = tl.load(table + start // PAGE).to(tl.int64) * PAGE + places % PAGE
    elif WHOLE:
        slots = tl.load(table + places // PAGE).to(tl.int64) * PAGE + places % PAGE
    else:
        pages = tl.load(table + places // PAGE, mask=inside, other=0)
        slots = pages.to(tl.int64) * PAGE + places % PAGE
    addresses = cache + (slots[:, None] * HEADS + head) * DIM + columns[None, :]
    if WHOLE and COLUMNS == DIM:
        return tl.load(addresses)
    return tl.load(addresses, mask=inside[:, None] & (columns < DIM)[None, :], other=0.0)


@triton.jit
def _look(
    query, mixed, highest, total, seen, start, stop, keys, values, table, length, head, scale,
    HEADS: tl.constexpr, DIM: tl.constexpr, COLUMNS: tl.constexpr, PAGE: tl.constexpr,
    KEYS: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """Go through a row's keys from start to stop; WHOLE: all rows of the tile see all of them."""
    for first in range(start, stop, KEYS):
        key = _load(keys, table, first, length, head, HEADS, DIM, COLUMNS, PAGE, KEYS, WHOLE)
        scores = tl.dot(query, tl.trans(key), input_precision="ieee") * scale
        if not WHOLE:
            places = first + tl.arange(0, KEYS)
            scores = tl.where(places[None, :] <= seen[:, None], scores, float("-inf"))
        higher = tl.maximum(highest, tl.max(scores, 1))
        against = tl.where(higher == float("-inf"), 0.0, higher)  # a row that saw nothing yet
        weights = tl.exp2(scores - against[:, None])
        rescale = tl.exp2(highest - against)
        total = total * rescale + tl.sum(weights, 1)
        value = _load(values, table, first, length, head, HEADS, DIM, COLUMNS, PAGE, KEYS, WHOLE)
        mixed = mixed * rescale[:, None]
        mixed = tl.dot(weights.to(value.dtype), value, mixed, input_precision="ieee")
        highest = higher
    return mixed, highest, total


# A tile's place comes from two halves of one tensor, so where the second begins depends on how many
# there are: that must not make another kernel, compiled in the middle of serving.
@triton.jit(
    do_not_specialize=["width"], do_not_specialize_on_alignment=["tile_rows", "tile_firsts"]
)
def _attend(
    query, keys, values, tables, kv_lens, query_ends, tile_rows, tile_firsts, out, sizes, scale,
    width,
    KV_HEADS: tl.constexpr, GROUP: tl.constexpr, DIM: tl.constexpr, COLUMNS: tl.constexpr,
    PAGE: tl.constexpr, TOKENS: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr,
    PARTS: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    """A tile's tokens, a key head's query heads, and a part of the keys."""
    kv_head, tile, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    row = tl.load(tile_rows + tile).to(tl.int64)
    first = tl.load(tile_firsts + tile)
    begin = tl.load(query_ends + row)
    count = tl.load(query_ends + row + 1) - begin
    length = tl.load(kv_lens + row)
    table = tables + row * width
    wait_for_inputs(EARLY)

    index = tl.arange(0, ROWS)
    token = first + index // GROUP
    head = kv_head * GROUP + index % GROUP
    real = (index < TOKENS * GROUP) & (token < count)
    columns = tl.arange(0, COLUMNS)
    stored = real[:, None] & (columns < DIM)[None, :]
    places = (begin + token).to(tl.int64) * (KV_HEADS * GROUP) + head
    addresses = places[:, None] * DIM + columns[None, :]
    looking = tl.load(query + addresses, mask=stored, other=0.0)

    past = length - count
    seen = past + token  # the last key that each may look at
    stop = past + tl.minimum(first + TOKENS, count)
    start = 0
    if PARTS > 1:
        share = tl.cdiv(tl.cdiv(stop, PARTS), KEYS) * KEYS
        start = part * share
        stop = tl.minimum(stop, start + share)
    whole = tl.maximum(start, tl.minimum(past + first + 1, stop) // KEYS * KEYS)

    mixed = tl.zeros([ROWS, COLUMNS], tl.float32)
    highest = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    mixed, highest, total = _look(
        looking, mixed, highest, total, seen, start, whole, keys, values, table, length, kv_head,
        scale, KV_HEADS, DIM, COLUMNS, PAGE, KEYS, True,
    )  # fmt: skip
    mixed, highest, total = _look(
        looking, mixed, highest, total, seen, whole, stop, keys, values, table, length, kv_head,
        scale, KV_HEADS, DIM, COLUMNS, PAGE, KEYS, False,
    )  # fmt: skip
    total = tl.where(total == 0.0, 1.0, total)  # of a part that is empty
    mixed = mixed / total[:, None]
    if PARTS == 1:
        tl.store(out + addresses, mixed.to(out.dtype.element_ty), mask=stored)
    else:
        places = ((tile * TOKENS + index // GROUP) * (KV_HEADS * GROUP) + head) * PARTS + part
        tl.store(out + places[:, None] * DIM + columns[None, :], mixed, mask=stored)
        tl.store(sizes + places, highest + tl.log2(total), mask=real)


@triton.jit(do_not_specialize_on_alignment=["tile_rows", "tile_firsts"])
def _combine(
    mixed, sizes, query_ends, tile_rows, tile_firsts, out,
    HEADS: tl.constexpr, DIM: tl.constexpr, COLUMNS: tl.constexpr, TOKENS: tl.constexpr,
    PARTS: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    """One token and head of a tile: weigh its parts by what they had in sight."""
    head, tile, index = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    row = tl.load(tile_rows + tile)
    token = tl.load(query_ends + row) + tl.load(tile_firsts + tile) + index
    end = tl.load(query_ends + row + 1)
    wait_for_inputs(EARLY)
    if token < end:
        parts, columns = tl.arange(0, PARTS), tl.arange(0, COLUMNS)
        places = ((tile * TOKENS + index) * HEADS + head) * PARTS + parts
        size = tl.load(sizes + places)
        weights = tl.exp2(size - tl.max(size, 0))
        some = tl.load(
            mixed + places[:, None] * DIM + columns[None, :],
            mask=(columns < DIM)[None, :],
            other=0.0,
        )
        whole = tl.sum(some * weights[:, None], 0) / tl.sum(weights, 0)
        address = out + (token.to(tl.int64) * HEADS + head) * DIM + columns
        tl.store(address, whole.to(out.dtype.element_ty), mask=columns < DIM)


class TritonAttention:
    """Attends for all layers of one step."""

    def __init__(self, cache: KVCache, slots: Tensor, spans: Spans, dealer: Dealer) -> None:
        """Attend to `spans` of the cache, tokens dealt out by `dealer`; `slots` (T,) are theirs."""
        self._cache = cache
        self._slots = slots
        self._spans = spans
        self._dealer = dealer
        self._dealt: dict[tuple[int, int], list[Tiles]] = {}

    def store(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Put this step's keys and values into their slots."""
        self._cache.write(layer, self._slots, key, value)

    def attend(self, layer: int, query: Tensor, scale: float) -> Tensor:
        """Return (T, query heads, dim) for query (T, query heads, dim)."""
        query = query.contiguous()
        out = torch.empty_like(query)
        keys, values = self._cache.keys[layer], self._cache.values[layer]
        for tiles in self._tiles(query, keys.shape[2]):
            attend(query, keys, values, self._spans, tiles, scale, out)
        return out

    def _tiles(self, query: Tensor, kv_heads: int) -> list[Tiles]:
        _, heads, dim = query.shape
        group = heads // kv_heads
        if (group, dim) not in self._dealt:
            narrow, wide = (
                tile_tokens(group, wide=wide, dim=dim, itemsize=query.element_size())
                for wide in (False, True)
            )
            self._dealt[group, dim] = self._dealer(narrow, wide)
        return self._dealt[group, dim]


@dataclass(frozen=True, slots=True)
class Shape:
    """How a program of `_attend` is cut."""

    rows: int
    keys: int
    parts: int
    warps: int
    stages: int


def tile_tokens(group: int, *, wide: bool, dim: int, itemsize: int) -> int:
    """Return how many tokens of a row a tile has, when `group` query heads share a key head."""
    return max(1, _rows(wide=wide, dim=dim, itemsize=itemsize) // group)


def _rows(*, wide: bool, dim: int, itemsize: int) -> int:
    if not wide:
        return LEAST_ROWS
    if itemsize == 2:
        return 128 if dim <= 128 else 64
    return 32 if dim <= 128 else LEAST_ROWS  # what is multiplied in float32 fills the registers


def shape_for(tiles: Tiles, kv_heads: int, group: int, dim: int, itemsize: int) -> Shape:
    """Choose: few rows where reading the keys is all there is to do, many where products are."""
    least = _rows(wide=tiles.wide, dim=dim, itemsize=itemsize)
    rows = max(least, triton.next_power_of_2(tiles.tokens * group))
    keys = 64 if itemsize == 2 else 16
    programs = len(tiles.rows) * kv_heads
    if tiles.wide:
        # Each number of parts is a kernel to compile: by fours, there are three.
        parts = _parts(programs, 4, MOST_PARTS_IF_WIDE) if tiles.long else 1
        return Shape(rows, keys, parts, warps=8, stages=2)
    # What is long has its bits from its own length, whatever is long beside it.
    parts = MOST_PARTS if tiles.long else _parts(programs, 2, MOST_PARTS)
    return Shape(rows, keys, parts, warps=4, stages=3 if dim <= 128 else 2)


def _parts(programs: int, step: int, most: int) -> int:
    """Return a power of `step` that makes about as many programs as are wanted."""
    parts = 1
    while parts < most and programs * parts * step <= WANTED_PROGRAMS:
        parts *= step
    return parts


def fitted(shape: Shape, columns: int, itemsize: int, room: int) -> Shape:
    """Return a shape whose queries, keys and values fit into `room` bytes, all stages of them."""
    while (shape.rows + 2 * shape.stages * shape.keys) * columns * itemsize > room:
        if shape.stages > 1:
            shape = replace(shape, stages=shape.stages - 1)
        elif shape.keys > LEAST_ROWS:
            shape = replace(shape, keys=shape.keys // 2)
        else:
            break
    return shape


def attend(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    spans: Spans,
    tiles: Tiles,
    scale: float,
    out: Tensor,
) -> None:
    """Let the tokens of these tiles attend; each row's last token is its last in the cache.

    query and out (T, Hq, D), keys and values (blocks, block size, Hk, D).
    """
    _, heads, dim = query.shape
    page, kv_heads = keys.shape[1:3]
    group, num_tiles = heads // kv_heads, len(tiles.rows)
    columns = max(16, triton.next_power_of_2(dim))
    itemsize = query.element_size()
    cut = shape_for(tiles, kv_heads, group, dim, itemsize)
    cut = fitted(cut, columns, itemsize, shared_bytes(query.device))
    target, sizes = out, out
    if cut.parts > 1:
        size = (num_tiles, tiles.tokens, heads, cut.parts)
        target = query.new_empty(*size, dim, dtype=torch.float32)
        sizes = query.new_empty(size, dtype=torch.float32)
    _attend[(kv_heads, num_tiles, cut.parts)](
        query, keys, values, spans.tables, spans.kv_lens, spans.query_ends, tiles.rows,
        tiles.firsts, target, sizes, scale * LOG2_E, spans.tables.stride(0),
        KV_HEADS=kv_heads, GROUP=group, DIM=dim, COLUMNS=columns, PAGE=page, TOKENS=tiles.tokens,
        ROWS=cut.rows, KEYS=cut.keys, PARTS=cut.parts,
        num_warps=cut.warps, num_stages=cut.stages, **early(query.device),
    )  # fmt: skip
    if cut.parts > 1:
        _combine[(heads, num_tiles, tiles.tokens)](
            target, sizes, spans.query_ends, tiles.rows, tiles.firsts, out,
            HEADS=heads, DIM=dim, COLUMNS=columns, TOKENS=tiles.tokens, PARTS=cut.parts,
            num_warps=1 if cut.parts <= 8 else 4, **early(query.device),
        )  # fmt: skip
