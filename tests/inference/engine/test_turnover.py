"""Who is refused is told when a place will be free; who would come too late is not let in."""

from dataclasses import replace
from typing import Any

import pytest

from inference.engine.crowd import EXPECTED_S
from inference.engine.fake import FakeOptions, FakeRunner, build
from inference.engine.fake_codec import FakeCodec
from inference.engine.grammar import Grammars, read_vocabulary
from inference.engine.grammar_masks import GrammarMasks
from inference.engine.plan import Plan, StepResult
from inference.engine.scheduler import SchedulerLimits
from inference.engine.turnover import GUESS_S, Turnover
from tests.inference.engine.rig import Bench, Outcome

LIMITS = SchedulerLimits(max_model_len=128, token_budget=64, max_running=4, max_waiting=8)
STEP_S = 0.1


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


class TimedRunner(FakeRunner):
    """Each step takes a tenth of a second."""

    def __init__(self, clock: Clock) -> None:
        codec = FakeCodec()
        masks = GrammarMasks(Grammars(read_vocabulary(codec, codec.vocab_size)))
        super().__init__(FakeOptions(text="a" * 500), codec, masks)
        self.clock = clock

    def run(self, plan: Plan) -> StepResult:
        self.clock.now += STEP_S
        return super().run(plan)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bench(clock: Clock) -> Bench:
    served = build(FakeOptions(limits=replace(LIMITS, max_stretch=0)))
    return Bench(served.scheduler, TimedRunner(clock), served.codec, served.vocab_size, clock=clock)


def submit(bench: Bench, count: int, max_tokens: int = 10, **params: Any) -> list[Outcome]:
    return [bench.submit([n % 250, 1], max_tokens=max_tokens, **params) for n in range(count)]


def retry_after_s(outcome: Outcome) -> float:
    assert outcome.finish == "FINISH_OVERLOADED"
    return outcome.deltas[-1].retry_after_ms / 1000


def keep_busy(bench: Bench, steps: int) -> None:
    """Ten tokens each, four at a time, ten steps a second: four places a second."""
    for _ in range(steps):
        submit(bench, 12 - len(bench.scheduler.running) - bench.scheduler.num_waiting)
        bench.step()


def test_each_who_is_refused_is_told_the_time_of_another_place(bench: Bench, clock: Clock) -> None:
    keep_busy(bench, 200)
    refused = submit(bench, 12)[-8:]
    bench.step()
    times = [retry_after_s(outcome) for outcome in refused]
    assert times == sorted(times)
    assert times[0] == pytest.approx(0.25, rel=0.25)
    assert times[-1] == pytest.approx(8 * 0.25, rel=0.25)


def test_who_comes_back_when_told_gets_in(bench: Bench, clock: Clock) -> None:
    keep_busy(bench, 200)
    refused = submit(bench, 16)[-4:]
    bench.step()
    due = sorted(clock.now + retry_after_s(outcome) for outcome in refused)
    for moment in due:
        while clock.now < moment + STEP_S:
            bench.step()
        [again] = submit(bench, 1)
        bench.step()
        assert not again.finish


def test_who_asks_before_submitting_is_told_as_one_who_is_refused(bench: Bench) -> None:
    keep_busy(bench, 200)
    bench.run()
    assert bench.loop.full_for_s("alice", 0) == 0
    submit(bench, 12)  # which are on their way: the step under way may take long
    told = [bench.loop.full_for_s("alice", 0) for _ in range(4)]
    assert told == sorted(set(told))
    assert told == pytest.approx([0.25, 0.5, 0.75, 1.0], rel=0.25)
    assert bench.loop.full_for_s("polite", 0) == 0
    [refused] = submit(bench, 1)
    bench.step()
    assert retry_after_s(refused) == pytest.approx(1.25, rel=0.25)
    bench.run()
    assert bench.loop.full_for_s("alice", 0) == 0


def test_who_was_let_in_is_expected_for_a_while(bench: Bench, clock: Clock) -> None:
    """Else all who ask while the holds of the first are opened would be let in as well."""
    keep_busy(bench, 200)
    bench.run()
    assert bench.loop.full_for_s("alice", 0, 10) == 0
    assert bench.loop.full_for_s("alice", 0, 2) == 0
    assert bench.loop.full_for_s("alice", 0) > 0
    assert bench.loop.full_for_s("polite", 0) == 0
    submit(bench, 12)
    bench.run()
    assert bench.loop.full_for_s("alice", 0, 12) == 0  # who was expected has come
    assert bench.loop.full_for_s("alice", 0) > 0
    clock.now += EXPECTED_S + STEP_S
    assert bench.loop.full_for_s("alice", 0) == 0  # and who has not is expected no more


def test_nobody_is_told_more_than_it_takes_to_work_everything_off(bench: Bench) -> None:
    keep_busy(bench, 200)
    refused = submit(bench, 500)[-1]
    bench.step()
    assert retry_after_s(refused) == pytest.approx(12 * 0.25, rel=0.25)


def test_the_queue_is_told_in_seconds(bench: Bench) -> None:
    keep_busy(bench, 200)
    stats = bench.loop.stats()
    bench.step()
    told = stats.result()
    assert told.queue_ms / 1000 == pytest.approx(told.num_waiting * 0.25, rel=0.25)


def test_an_idle_night_changes_nothing(bench: Bench, clock: Clock) -> None:
    keep_busy(bench, 200)
    bench.run()
    before = bench.loop.statistics.turnover.place_s
    clock.now += 10 * 3600
    submit(bench, 1)
    bench.run()
    assert bench.loop.statistics.turnover.place_s == before
    refused = submit(bench, 14)[-1]
    bench.step()
    assert 0 < retry_after_s(refused) < 1


def test_refusals_are_not_taken_for_freed_places(bench: Bench) -> None:
    keep_busy(bench, 200)
    before = bench.loop.statistics.turnover.place_s
    submit(bench, 1000)
    bench.step()
    assert bench.loop.statistics.turnover.place_s == pytest.approx(before, rel=0.2)


def test_before_the_first_end_it_guesses() -> None:
    turnover = Turnover()
    assert turnover.place_s == GUESS_S
    assert not turnover.known
    turnover.note(0.5, 2, crowded=False)
    assert turnover.place_s == 0.25
    turnover.note(0.1, 1, crowded=True)
    assert (turnover.place_s, turnover.known) == (0.1, True)


# Deadlines.


def test_what_runs_past_its_deadline_ends_with_what_it_has(bench: Bench) -> None:
    [late, other] = [
        bench.submit([1], max_tokens=50, deadline_s=1.0),
        bench.submit([2], max_tokens=50),
    ]
    bench.run()
    assert (late.finish, other.finish) == ("FINISH_DEADLINE", "FINISH_LENGTH")
    assert 9 <= len(late.token_ids) <= 11
    assert len(other.token_ids) == 50


def test_what_waits_past_its_deadline_ends_without_being_computed(bench: Bench) -> None:
    submit(bench, 4, max_tokens=50)
    late = bench.submit([9] * 20, max_tokens=5, deadline_s=1.0)
    bench.run()
    assert (late.finish, late.token_ids) == ("FINISH_DEADLINE", [])
    assert late.cached_tokens == 0
    stats = bench.loop.stats()
    bench.step()
    assert stats.result().prompt_tokens == 4 * 2


def test_what_would_have_to_wait_past_its_deadline_is_refused_at_once(bench: Bench) -> None:
    keep_busy(bench, 200)  # eight wait: two seconds
    refused = bench.submit([9], max_tokens=5, deadline_s=0.5)
    bench.step()
    assert retry_after_s(refused) == pytest.approx(8 * 0.25 - 0.5, rel=0.25)


def test_a_polite_tenant_is_not_refused_for_a_floods_queue(bench: Bench) -> None:
    keep_busy(bench, 200)
    bench.submit([9], max_tokens=5, tenant="polite", deadline_s=1.5)
    bench.step()
    assert not bench.outcomes[bench._ids].finish


def test_without_deadline_nothing_is_late(bench: Bench) -> None:
    outcomes = submit(bench, 12, max_tokens=100)
    bench.run()
    assert {outcome.finish for outcome in outcomes} == {"FINISH_LENGTH"}


def test_what_was_measured_long_ago_counts_for_little() -> None:
    turnover = Turnover()
    for seconds in (1.0, 0.1):
        for _ in range(500):
            turnover.note(seconds, 1, crowded=True)
    assert turnover.place_s == pytest.approx(0.1, abs=0.01)
