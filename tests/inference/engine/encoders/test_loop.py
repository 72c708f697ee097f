"""The loop, driven by hand: one end for each job, and the guilty alone."""

from collections.abc import Sequence

import numpy as np
import pytest

from inference.engine.encoders.jobs import Answer, EncoderLimits, Job, JobEnd, Row
from inference.engine.encoders.loop import EncoderLoop
from inference.engine.plan import DeviceLostError
from inference.engine.request import FinishReason

POISON, NOT_FINITE, LOST = 66, 77, 88


class Recording:
    """Answers each row with its first id; chokes where it is told to."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def run(self, rows: Sequence[Row]) -> list[Answer]:
        ids = [row.token_ids[0] for row in rows]
        self.steps.append(len(ids))
        if POISON in ids:
            raise RuntimeError("poison")
        if LOST in ids:
            raise DeviceLostError("gone")
        return [None if n == NOT_FINITE else np.array([n], np.float32) for n in ids]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def make(budget: int = 100, waiting: int = 1000) -> tuple[EncoderLoop, Recording, Clock]:
    encoder, clock = Recording(), Clock()
    return EncoderLoop(encoder, EncoderLimits(50, budget, waiting), 100, clock), encoder, clock


def job(*first: int, tenant: str = "a", length: int = 10, deadline_s: float = 0.0) -> Job:
    rows = tuple(Row((n, *[1] * (length - 1))) for n in first)
    return Job("r", tenant, rows, deadline_s=deadline_s)


def end_of(each: Job) -> JobEnd:
    return each.end.result(timeout=0)


def run(loop: EncoderLoop, steps: int = 20) -> None:
    for _ in range(steps):
        loop.step()


def test_inputs_of_many_jobs_run_together_and_are_answered_in_order() -> None:
    loop, encoder, _ = make()
    jobs = [job(1, 2, 3), job(4), job(5, 6, tenant="b")]
    for each in jobs:
        loop.submit(each)
    run(loop)
    assert encoder.steps == [6]
    told = [[answer.tolist() for answer in end_of(each).answers] for each in jobs]  # type: ignore[union-attr]
    assert told == [[[1], [2], [3]], [[4]], [[5], [6]]]
    assert {end_of(each).reason for each in jobs} == {FinishReason.STOP}


@pytest.mark.parametrize("bad", [POISON, NOT_FINITE])
def test_a_bad_input_fails_its_own_job_and_no_other(bad: int) -> None:
    loop, _, _ = make()
    guilty, others = job(1, bad, 2), [job(3), job(4, 5, tenant="b")]
    for each in (others[0], guilty, others[1]):
        loop.submit(each)
    run(loop)
    assert end_of(guilty).reason is FinishReason.ERROR
    assert "input 1 " in end_of(guilty).error
    assert [end_of(each).reason for each in others] == [FinishReason.STOP] * 2
    assert loop.queue.num_tokens == 0


def test_a_lost_device_ends_the_loop() -> None:
    loop, _, _ = make()
    loop.submit(job(LOST))
    with pytest.raises(DeviceLostError):
        loop.run()


def test_a_cancelled_job_runs_no_further_and_gives_its_place_back() -> None:
    loop, encoder, _ = make(budget=50)
    gone, kept = job(*range(30)), job(1, tenant="b")
    loop.submit(gone)
    loop.step()
    loop.submit(kept)
    loop.cancel(gone)
    run(loop)
    assert end_of(gone).reason is FinishReason.CANCELLED
    assert end_of(kept).reason is FinishReason.STOP
    assert sum(encoder.steps) == 5 + 1
    loop.cancel(kept)  # nothing happens
    run(loop)


def test_what_does_not_fit_is_refused_with_a_time_to_come_back() -> None:
    loop, _, _ = make(budget=50, waiting=40)
    jobs = [job(n, n) for n in range(1, 5)]
    for each in jobs:
        loop.submit(each)
    run(loop)
    reasons = [end_of(each).reason for each in jobs]
    assert reasons == [FinishReason.STOP] * 2 + [FinishReason.OVERLOADED] * 2
    assert 0 < end_of(jobs[2]).retry_after_s < end_of(jobs[3]).retry_after_s


def test_a_deadline_ends_what_waits() -> None:
    loop, encoder, clock = make(budget=50)
    late, endless = job(*range(20), deadline_s=5), job(1, tenant="b")
    loop.submit(late)
    loop.step()
    clock.now = 5.0
    loop.submit(endless)
    run(loop)
    assert end_of(late).reason is FinishReason.DEADLINE
    assert end_of(endless).reason is FinishReason.STOP
    assert sum(encoder.steps) == 6


def test_draining_lets_what_runs_end_and_refuses_what_is_new() -> None:
    loop, _, _ = make(budget=50)
    running, late = job(*range(20)), job(1)
    loop.submit(running)
    loop.step()
    drained = loop.drain()
    loop.submit(late)
    loop.step()
    assert not drained.done()
    run(loop)
    assert drained.done()
    assert (end_of(running).reason, end_of(late).reason) == (
        FinishReason.STOP, FinishReason.OVERLOADED,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ((), "nothing to encode"),
        ((Row((1,)), Row(())), "Input 1 is empty"),
        ((Row(tuple([1] * 51)),), "Input 0 has 51 tokens; at most 50 fit"),
        ((Row((100,)),), "Token id 100 is outside"),
        ((Row((1,), 1, (7, 100)),), "Token id 100 is outside"),
    ],
)
def test_what_cannot_run_is_refused_with_a_sentence(rows: tuple[Row, ...], sentence: str) -> None:
    loop, encoder, _ = make()
    bad = Job("r", "a", rows)
    loop.submit(bad)
    run(loop)
    assert end_of(bad).reason is FinishReason.ERROR
    assert sentence in end_of(bad).error
    assert encoder.steps == []


def test_it_counts_what_it_did() -> None:
    loop, _, clock = make(budget=50)
    loop.submit(job(*range(6)))
    loop.step()
    clock.now = 2.0
    stats = loop.stats()
    loop.step()
    told = stats.result(timeout=0)
    assert (told.steps, told.prompt_tokens, told.num_waiting) == (1, 50, 1)
    assert told.tokens_per_s == 25
    assert told.queue_ms > 0
