"""What is chosen for a GPU, as far as a machine without one can show it."""

import logging
from typing import Any

import pytest
import torch

from inference.engine import cuda
from inference.engine.batch import build_batch
from inference.engine.cuda import graphs_bytes, step_bytes, widest_plan, with_graphs
from inference.engine.family import take_weights
from inference.engine.graphs import GraphedModel
from inference.engine.kernels import attention as kernels
from inference.engine.kv_cache import KVCache
from inference.engine.lean import LeanModel
from inference.engine.limits import SchedulerLimits
from inference.engine.model import HuggingFaceModel
from inference.engine.plan import Row
from inference.engine.sampler import Sampler
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


def test_the_measured_step_draws_in_the_plainest_and_in_the_most_expensive_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("memory_allocated", "max_memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda device: 0)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    drawn: list[tuple[torch.dtype, bool]] = []
    draw = Sampler._draw

    def noted(sampler: Sampler, shaped: torch.Tensor, rows: tuple[Row, ...]) -> Any:
        whole = all(row.params.has_penalties and row.params.logit_bias for row in rows)
        drawn.append((shaped.dtype, whole and all(row.params.top_p < 1 for row in rows)))
        return draw(sampler, shaped, rows)

    monkeypatch.setattr(Sampler, "_draw", noted)
    model = HuggingFaceModel(random_module("llama").bfloat16())
    assert step_bytes(model, LIMITS, 8) == graphs_bytes(6, model.vocab_size, torch.bfloat16)
    assert drawn == [(torch.bfloat16, False), (torch.float32, True)]


def test_graphs_are_accounted_for() -> None:
    logits = 256 * 128_256 * 2
    assert graphs_bytes(256, 128_256, torch.bfloat16) == logits + 13 * cuda.GRAPH_BYTES
