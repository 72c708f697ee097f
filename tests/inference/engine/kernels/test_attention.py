"""The attention kernels, run in Triton's interpreter, attend as the formula says."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

import tests.interpreted  # noqa: F401  quicker
from inference.engine import spans
from inference.engine.kernels import attention
from inference.engine.kv_cache import KVCache, LayerShape
from inference.engine.spans import Spans, Tiles, deal
from tests.inference.engine.plain import plain

CPU = torch.device("cpu")
SCALE = 0.3
LENGTHS = [3, 17, 64, 133]
# The interpreter multiplies bfloat16 as if it were integers: float16 stands in for 16 bits.
TOLERANCE = {torch.float32: 2e-6, torch.float16: 2e-3}


@pytest.fixture(autouse=True)
def _few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter runs them one after the other: a few parts of a row's keys will do."""
    monkeypatch.setattr(attention, "WANTED_PROGRAMS", 32)


class Rows:
    """Rows of LENGTHS tokens in a cache that holds NaN wherever they do not."""

    def __init__(
        self, fed: list[int], heads: int, kv_heads: int, dim: int, page: int, dtype: torch.dtype
    ) -> None:
        torch.manual_seed(0)
        needed = [-(-length // page) for length in LENGTHS]
        self.cache = KVCache([LayerShape(kv_heads, dim, dim)], sum(needed), page, dtype, CPU)
        self.cache.keys[0].fill_(torch.nan)
        self.cache.values[0].fill_(torch.nan)
        self.fed = fed
        self.queries = [torch.randn(count, heads, dim).to(dtype) for count in fed]
        self.keys, self.values = (
            [torch.randn(length, kv_heads, dim).to(dtype) for length in LENGTHS] for _ in range(2)
        )
        free = torch.randperm(sum(needed)) + 1
        tables = torch.zeros(len(fed), max(needed), dtype=torch.int32)
        for row, blocks in enumerate(free.split(needed)):
            tables[row, : len(blocks)] = blocks
            places = blocks.repeat_interleave(page)[: LENGTHS[row]] * page
            slots = places + torch.arange(LENGTHS[row]) % page
            self.cache.write(0, slots, self.keys[row], self.values[row])
        ends = torch.tensor([0, *np.cumsum(fed).tolist()], dtype=torch.int32)
        self.spans = Spans(tables, torch.tensor(LENGTHS, dtype=torch.int32), ends)

    def attend(self, queries: Tensor | None = None) -> list[Tensor]:
        queries = torch.cat(self.queries) if queries is None else queries
        dealer = partial(deal, np.array(self.fed), np.array(LENGTHS), CPU)
        slots = torch.zeros(0, dtype=torch.int64)
        context = attention.TritonAttention(self.cache, slots, self.spans, dealer)
        return list(context.attend(0, queries, SCALE).split(self.fed))

    def expected(self) -> list[Tensor]:
        return [
            plain(query.double(), key.double(), value.double(), SCALE)
            for query, key, value in zip(self.queries, self.keys, self.values, strict=True)
        ]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(
    ("page", "heads", "kv_heads", "dim"),
    [(8, 4, 2, 16), (64, 7, 1, 24), (16, 2, 2, 8)],
    ids=["groups of 2", "groups of 7", "no groups"],
)
@pytest.mark.parametrize(
    "fed",
    [[1] * 4, [1, 3, 2, 4], [1, 17, 1, 133]],
    ids=["decode", "guesses", "chunks beside decode"],
)
def test_rows_attend_to_their_own_past(
    fed: list[int], page: int, heads: int, kv_heads: int, dim: int, dtype: torch.dtype
) -> None:
    rows = Rows(fed, heads, kv_heads, dim, page, dtype)
    for ours, theirs in zip(rows.attend(), rows.expected(), strict=True):
        assert (ours.double() - theirs).norm() <= TOLERANCE[dtype] * theirs.norm()


def test_more_query_heads_share_a_key_head_than_a_tile_has_rows() -> None:
    rows = Rows([1, 3, 2, 1], 20, 1, 8, 16, torch.float32)
    for ours, theirs in zip(rows.attend(), rows.expected(), strict=True):
        assert (ours.double() - theirs).norm() <= TOLERANCE[torch.float32] * theirs.norm()


def test_queries_may_lie_head_after_head_as_transformers_hands_them_over() -> None:
    rows = Rows([1, 3, 2, 1], 4, 2, 16, 8, torch.float32)
    token_after_token = rows.attend(torch.cat(rows.queries))
    head_after_head = torch.cat(rows.queries).transpose(0, 1).contiguous().transpose(0, 1)
    for ours, theirs in zip(rows.attend(head_after_head), token_after_token, strict=True):
        assert torch.equal(ours, theirs)


def test_more_keys_than_rows_for_programs_are_divided_and_put_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = Rows([1] * 4, 4, 2, 16, 8, torch.float32)
    divided = whole.attend()
    monkeypatch.setattr(attention, "WANTED_PROGRAMS", 0)  # one part each
    for ours, theirs in zip(divided, whole.attend(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("fed", [[1] * 4, [1, 17, 2, 50]], ids=["decode", "chunks beside decode"])
def test_long_rows_are_divided_whatever_is_beside_them(
    fed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "LONG", 60)
    monkeypatch.setattr(spans, "LONG_IF_WIDE", 60)
    parts: list[int] = []

    def noted(tiles: Tiles, *sizes: int) -> attention.Shape:
        parts.append((cut := shape_for(tiles, *sizes)).parts)
        return cut

    shape_for = attention.shape_for
    monkeypatch.setattr(attention, "shape_for", noted)
    monkeypatch.setattr(attention, "MOST_PARTS", 16)
    rows = Rows(fed, 4, 2, 16, 8, torch.float32)
    for ours, theirs in zip(rows.attend(), rows.expected(), strict=True):
        assert (ours.double() - theirs).norm() <= TOLERANCE[torch.float32] * theirs.norm()
    assert parts == ([8, 16] if fed[1] == 1 else [16, 16, 1, 4])


def test_the_bits_of_a_long_row_that_decodes_follow_from_its_length_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spans, "LONG", 100)
    rows = Rows([1] * 4, 4, 2, 16, 8, torch.float32)
    beside_short_ones = rows.attend()[3]
    monkeypatch.setattr(spans, "LONG", 16)
    beside_long_ones = rows.attend()
    assert torch.equal(beside_long_ones[3], beside_short_ones)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # numpy, of the NaN
# What NumPy says of a maximum of nothing but NaN, in the interpreter.
@pytest.mark.filterwarnings("ignore:All-NaN slice encountered")
def test_a_row_that_is_not_a_number_harms_no_other() -> None:
    rows = Rows([1, 17, 1, 20], 4, 2, 16, 8, torch.float32)
    before = rows.attend()
    rows.queries[1][:] = torch.nan
    rows.cache.keys[0][rows.spans.tables[3, 0]] = torch.nan  # of row 3 alone
    for row, (ours, theirs) in enumerate(zip(rows.attend(), before, strict=True)):
        assert ours.isnan().all() if row in (1, 3) else torch.equal(ours, theirs)


def test_a_tile_has_no_tokens_of_two_rows() -> None:
    tiles = deal(np.array([1, 9, 2, 40, 1]), np.full(5, 99), CPU, 4, 16)
    narrow, wide = tiles
    assert (narrow.tokens, narrow.wide, wide.tokens, wide.wide) == (4, False, 16, True)
    assert narrow.rows.tolist() == [0, 2, 4]
    assert narrow.firsts.tolist() == [0, 0, 0]
    assert wide.rows.tolist() == [1, 3, 3, 3]
    assert wide.firsts.tolist() == [0, 32, 16, 0]  # the last have the most to look at
    (singles,) = deal(np.array([1, 1]), np.full(2, 99), CPU, 4, 16)
    assert singles.tokens == 1


def test_long_rows_have_tiles_of_their_own() -> None:
    lengths = np.array([16_384, 16_385, 4_096, 4_097, 99, 16_385])
    tiles = deal(np.array([1, 1, 20, 20, 2, 3]), lengths, CPU, 4, 16)
    assert [(each.tokens, each.wide, each.long, each.rows.tolist()) for each in tiles] == [
        (4, False, False, [0, 4]),
        (4, False, True, [1, 5]),
        (16, True, False, [2, 2]),
        (16, True, True, [3, 3]),
    ]


@pytest.mark.parametrize("kib", [99, 163, 227])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(("dim", "itemsize"), [(64, 2), (128, 2), (256, 2), (128, 4), (256, 4)])
def test_a_program_needs_no_more_memory_than_its_card_has(
    kib: int, wide: bool, dim: int, itemsize: int
) -> None:
    tokens = attention.tile_tokens(4, wide=wide, dim=dim, itemsize=itemsize)
    tiles = Tiles(torch.zeros(9), torch.zeros(9), tokens, wide)
    wanted = attention.shape_for(tiles, 2, 4, dim, itemsize)
    cut = attention.fitted(wanted, dim, itemsize, kib * 1024)
    needed = (cut.rows + 2 * cut.stages * cut.keys) * dim * itemsize
    assert needed <= kib * 1024
    assert (cut.rows, cut.parts, cut.warps) == (wanted.rows, wanted.parts, wanted.warps)
    if itemsize == 2 and kib == 227:
        assert cut == wanted  # as measured on an H200


def test_less_memory_changes_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows([1, 17, 1, 20], 4, 2, 16, 8, torch.float32)
    roomy = rows.attend()
    monkeypatch.setattr(attention, "shared_bytes", lambda _: 4 * 1024)
    for ours, theirs in zip(rows.attend(), roomy, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)
