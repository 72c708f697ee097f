"""What an engine says of itself: counted on integers, without a model."""

import time

import pytest

from inference.engine import statistics as module
from inference.engine.statistics import Statistics
from inference.engine.wire import engine_pb2
from tests.inference.engine.desk import Desk, make


def run(desk: Desk, statistics: Statistics, steps: int) -> engine_pb2.EngineStats:
    for _ in range(steps):
        plan = desk.step()
        statistics.count_step(plan, sum(row.samples for row in plan.rows))
    return statistics.to_wire(desk.scheduler)


def test_it_counts_steps_prompts_and_what_was_sampled() -> None:
    desk, statistics = Desk(make(max_running=2)), Statistics()
    for first in (1, 2, 3, 4):
        desk.submit([first] * 20, max_tokens=3)
    now = run(desk, statistics, 1)
    assert (now.num_running, now.num_waiting, now.steps) == (1, 3, 1)
    assert (now.prompt_tokens, now.generated_tokens, now.cached_prompt_tokens) == (16, 0, 0)
    assert (now.kv_blocks_used, now.kv_blocks_total) == (5, 64)
    assert now.queue_ms == 3000  # a second each, until one has ended
    now = run(desk, statistics, 1)
    assert (now.prompt_tokens, now.generated_tokens, now.steps) == (32, 1, 2)
    while not desk.scheduler.idle:
        now = run(desk, statistics, 1)
    assert (now.prompt_tokens, now.generated_tokens, now.queue_ms) == (80, 12, 0)
    assert now.tokens_per_s >= 12 / 10  # all within the last ten seconds
    steps = now.steps
    assert run(desk, statistics, 3).steps == steps  # of which none had work
    desk.submit([1] * 20, max_tokens=1)
    now = run(desk, statistics, 2)
    assert (now.prompt_tokens, now.cached_prompt_tokens) == (84, 16)


def test_what_is_computed_again_counts_as_a_prompt_but_not_as_sampled() -> None:
    desk, statistics = Desk(make()), Statistics()
    sequence = desk.submit([1] * 6, max_tokens=4)
    run(desk, statistics, 3)
    desk.scheduler._preempt(sequence)
    desk.scheduler.pool.forget(1)
    desk.scheduler.pool.forget(2)
    now = run(desk, statistics, 1)
    assert (now.prompt_tokens, now.generated_tokens, now.preemptions) == (12, 4, 1)


def test_its_pace_is_that_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, statistics = Desk(make()), Statistics()
    desk.submit([1], max_tokens=2)
    assert run(desk, statistics, 2).tokens_per_s > 0
    monkeypatch.setattr(module, "WINDOW_S", 0.05)
    time.sleep(0.1)
    assert statistics.to_wire(desk.scheduler).tokens_per_s == 0
