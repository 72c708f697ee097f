"""What is chosen for a GPU, as far as a machine without one can show it."""

import logging
import random
from typing import Any

import pytest
import torch

from inference.engine import cuda
from inference.engine.batch import build_batch
from inference.engine.cuda import (
    PLAINEST,
    _plan,
    graphs_bytes,
    kinds_of_steps,
    warm_up,
    widest_plan,
    with_graphs,
)
from inference.engine.family import take_weights
from inference.engine.graphs import DIVIDED, GraphedModel, ladder
from inference.engine.kernels import attention as kernels
from inference.engine.kv_cache import KVCache
from inference.engine.lean import LeanModel
from inference.engine.limits import SchedulerLimits
from inference.engine.model import HuggingFaceModel
from inference.engine.plan import Plan, Row
from inference.engine.sampler import Sampler
from inference.engine.spans import LONG, Tiles, deal
from tests.inference.engine.plain import PlainAttention
from tests.inference.engine.tiny import random_module

CPU = torch.device("cpu")
LIMITS = SchedulerLimits(max_model_len=64, token_budget=100, max_running=6)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> HuggingFaceModel:
    monkeypatch.setattr(kernels, "TritonAttention", PlainAttention)
    monkeypatch.setattr(cuda, "kernels_work", lambda cache, shapes: True)
    return HuggingFaceModel(random_module("llama"))


def forms(model: HuggingFaceModel) -> tuple[LeanModel, KVCache]:
    return LeanModel(take_weights(model), model.shapes), KVCache(
        model.shapes, 40, 8, model.dtype, CPU
    )


def run_again(run: Any) -> Any:
    run()
    return run


def test_decode_steps_are_replayed_where_that_gives_the_same(model: HuggingFaceModel) -> None:
    lean, cache = forms(model)
    assert isinstance(with_graphs(model, lean, cache, LIMITS, run_again), GraphedModel)


def test_they_are_not_where_it_gives_something_else(
    model: HuggingFaceModel, caplog: pytest.LogCaptureFixture
) -> None:
    lean, cache = forms(model)

    def forgets(run: Any) -> Any:
        run()
        return lambda: None

    with caplog.at_level(logging.WARNING):
        assert with_graphs(model, lean, cache, LIMITS, forgets) is lean
    assert "apart" in caplog.text


def test_they_are_not_where_they_cannot_be_captured(model: HuggingFaceModel) -> None:
    lean, cache = forms(model)

    def fails(run: Any) -> Any:
        raise torch.OutOfMemoryError("no room for a graph")

    assert with_graphs(model, lean, cache, LIMITS, fails) is lean


def test_a_model_without_a_lean_form_is_left_alone(model: HuggingFaceModel) -> None:
    _, cache = forms(model)
    assert with_graphs(model, model, cache, LIMITS, run_again) is model


def test_the_widest_step_has_as_much_of_everything_as_there_can_be(
    model: HuggingFaceModel,
) -> None:
    plan = widest_plan(LIMITS)
    assert len(plan.rows) == 6
    assert 90 < plan.num_tokens <= 100
    cache = KVCache(model.shapes, -(-plan.rows[0].num_tokens // 8), 8, model.dtype, CPU)
    batch = build_batch(plan, 8, CPU)
    logits = model.logits(batch, cache)
    assert logits.shape == (6, model.vocab_size)
    drawn = Sampler(model.vocab_size, (), CPU).draw(logits, batch.sampling).read()
    assert all(sampled is not None and sampled.logprobs is not None for sampled in drawn)
    long = widest_plan(SchedulerLimits(max_model_len=64, token_budget=1000, max_running=2))
    assert [row.num_tokens for row in long.rows] == [64, 64]


# Heads, heads of keys and numbers of a head, as Llama, Qwen2 and models without groups have them.
HEADS = [(32, 8, 128), (64, 8, 128), (14, 2, 64), (28, 4, 128), (32, 32, 128), (32, 1, 64)]


@pytest.mark.parametrize("heads", HEADS, ids=str)
@pytest.mark.parametrize("longest", [16, 8192, 131_072])
@pytest.mark.parametrize("graphs", [False, True], ids=["launched", "replayed"])
def test_no_attention_is_compiled_after_the_start(
    heads: tuple[int, int, int], longest: int, *, graphs: bool
) -> None:
    limits = SchedulerLimits(max_model_len=longest, token_budget=8192, max_running=256)
    ready = {kind for plan in kinds_of_steps(limits) for kind in attentions_of(plan, heads, graphs)}
    rng = random.Random(1)
    met = set()
    for _ in range(150):
        rows, tokens = rng.choice([1, 2, 5, 16, 17, 40, 250]), 8192
        plans: list[Row] = []
        for key in range(rows):
            most = min(longest, tokens - (rows - key))
            count = min(rng.choice([1, 1, 1, 2, 3, 5, 40, 700, 8000]), max(1, most))
            past = rng.choice([0, 7, 5000, 17_000, longest]) if rng.random() < 0.3 else 3
            past = min(past, longest - count)
            tokens -= count
            plans += _plan(1, past, count, [1] * (past + count), PLAINEST).rows
        met |= attentions_of(Plan(0, tuple(plans)), heads, graphs)
    assert len(met) > 3
    assert met <= ready


@pytest.mark.parametrize("heads", HEADS, ids=str)
@pytest.mark.parametrize("most", [3, 6, 24, 48])
def test_no_number_of_rows_is_compiled_after_the_start(
    heads: tuple[int, int, int], most: int
) -> None:
    limits = SchedulerLimits(max_model_len=64, token_budget=256, max_running=most)
    ready = {kind for plan in kinds_of_steps(limits) for kind in attentions_of(plan, heads, False)}
    for rows in range(1, most + 1):
        for count in (1, 2):
            assert attentions_of(_plan(rows, 0, count, [1, 2], PLAINEST), heads, False) <= ready


def attentions_of(
    plan: Plan, heads: tuple[int, int, int], graphs: bool
) -> set[tuple[int, kernels.Shape]]:
    """Return what a step's attention is compiled for: tokens of a tile, and how it is cut."""
    num_heads, kv_heads, dim = heads
    group = num_heads // kv_heads
    layout = build_batch(plan, 64, CPU).layout
    size = next((size for size in ladder(256) if size >= len(plan.rows)), 0)
    long = layout.kv_lens.max() > LONG and size * kv_heads > DIVIDED
    if graphs and plan.num_tokens == len(plan.rows) and not long:
        singles = Tiles(torch.zeros(size), torch.zeros(size), tokens=1, wide=False)
        return {(1, kernels.shape_for(singles, kv_heads, group, dim, 2))}
    narrow, wide = (
        kernels.tile_tokens(group, wide=wide, dim=dim, itemsize=2) for wide in (False, True)
    )
    return {
        (tiles.tokens, kernels.shape_for(tiles, kv_heads, group, dim, 2))
        for tiles in deal(layout.counts, layout.kv_lens, CPU, narrow, wide)
    }


@pytest.mark.parametrize(
    "limits",
    [
        LIMITS,
        SchedulerLimits(max_model_len=1, token_budget=1, max_running=1),
        SchedulerLimits(max_model_len=20_000, token_budget=256, max_running=256),
    ],
    ids=["small", "the smallest", "long"],
)
def test_steps_that_compile_are_such_as_may_be_served(limits: SchedulerLimits) -> None:
    for plan in kinds_of_steps(limits):
        assert len(plan.rows) <= limits.max_running
        assert plan.num_tokens <= limits.token_budget
        assert all(row.length <= limits.max_model_len for row in plan.rows)


def test_it_runs_and_draws_in_the_plainest_and_in_the_dearest_way_before_it_serves(
    model: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: set[tuple[torch.dtype, bool]] = set()
    draw = Sampler._draw

    def noted(sampler: Sampler, shaped: torch.Tensor, rows: tuple[Row, ...]) -> Any:
        whole = all(row.params.has_penalties and row.params.logit_bias for row in rows)
        drawn.add((shaped.dtype, whole and all(row.params.top_p < 1 for row in rows)))
        return draw(sampler, shaped, rows)

    monkeypatch.setattr(Sampler, "_draw", noted)
    half = HuggingFaceModel(random_module("llama").bfloat16())
    cache = KVCache(half.shapes, 8, 8, torch.bfloat16, CPU)
    warm_up(half, cache, LIMITS, Sampler(half.vocab_size, (), CPU))
    assert drawn == {(torch.bfloat16, False), (torch.float32, True)}


def test_graphs_are_accounted_for() -> None:
    logits = 256 * 128_256 * 2
    assert graphs_bytes(256, 128_256, torch.bfloat16) == logits + 13 * cuda.GRAPH_BYTES
