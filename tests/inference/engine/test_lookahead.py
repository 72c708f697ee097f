"""Starting a step before the last one's tokens are known changes when things run, and no text."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine.block_pool import BlockPool
from inference.engine.detokenizer import Detokenizer
from inference.engine.fake import FakeOptions, FakeRunner, build
from inference.engine.fake_codec import FakeCodec
from inference.engine.grammar_masks import GrammarMasks
from inference.engine.limits import SchedulerLimits
from inference.engine.lookahead import foresee
from inference.engine.params import SamplingParams
from inference.engine.plan import DeviceLostError, Plan, Row, Sampled, StepResult
from inference.engine.request import Sequence
from inference.engine.scheduler import Scheduler
from tests.inference.engine.desk import check
from tests.inference.engine.rig import Bench

CODEC = FakeCodec()
SMALL = SchedulerLimits(max_model_len=128, token_budget=32, max_running=4, max_waiting=40)
POISON, LATE_POISON = 66, 77


class FakeLaunch:
    """A step that a fake device has been asked for."""

    def __init__(self, device: "FakeDevice", plan: Plan, brought: StepResult) -> None:
        self.misled = False
        self._device, self._plan, self.brought = device, plan, brought

    def result(self) -> StepResult:
        self._device.events.append(f"read {self._plan.step}")
        if any(row.tokens[0] == LATE_POISON for row in self._plan.rows):
            raise RuntimeError("poisoned, but nobody noticed before it was read")
        return self.brought


class FakeDevice(FakeRunner):
    """A launching runner that keeps what is in each slot, and looks before it attends.

    What it samples is not in the rows' tokens until the loop has read it, as on a real device.
    """

    def __init__(self, options: FakeOptions, masks: GrammarMasks) -> None:
        super().__init__(options, CODEC, masks)
        self.events: list[str] = []
        self.num_rows = 0
        self._block_size = options.block_size
        self._slots: dict[int, int] = {}  # -> the token stored there

    def run(self, plan: Plan) -> StepResult:
        return self._step(plan, {})

    def launch(self, plan: Plan, after: FakeLaunch | None = None) -> FakeLaunch:
        self.events.append(f"launch {plan.step}")
        fed = {key: s.token_id for key, s in after.brought.sampled.items()} if after else {}
        for row in plan.rows if after else ():
            assert row.num_tokens == 1
            assert len(row.tokens) == row.start, "its token was not to be known yet"
            assert row.key in fed
        return FakeLaunch(self, plan, self._step(plan, fed))

    def _step(self, plan: Plan, fed: dict[int, int]) -> StepResult:
        self.num_rows += len(plan.rows)
        for row in plan.rows:
            known = row.tokens[: row.length] + ([fed[row.key]] if row.key in fed else [])
            assert len(known) == row.length
            for position in range(row.start):
                assert self._slots[self._slot(row, position)] == known[position], "another's cache"
            for position in range(row.start, row.length):
                self._slots[self._slot(row, position)] = known[position]
        if any(row.tokens[0] == POISON for row in plan.rows):
            raise RuntimeError("poisoned")
        return super().run(plan)

    def _slot(self, row: Row, position: int) -> int:
        block, offset = divmod(position, self._block_size)
        return row.block_table[block] * self._block_size + offset


class Sequential(FakeDevice):
    """The same device, waited for at every step."""

    launch = None  # type: ignore[assignment]


def make(device: type[FakeDevice] = FakeDevice, text: str = "a" * 90, **options: Any) -> Bench:
    fake = FakeOptions(text=text, **{"limits": SMALL, "num_blocks": 64, **options})
    served = build(fake)
    runner = device(fake, GrammarMasks(served.grammars))
    return Bench(served.scheduler, runner, served.codec, served.vocab_size)


def device_of(bench: Bench) -> FakeDevice:
    assert isinstance(bench.loop.runner, FakeDevice)
    return bench.loop.runner


def test_a_step_is_launched_before_the_one_before_it_is_read() -> None:
    bench = make()
    bench.submit([1, 2], max_tokens=4)
    bench.submit([3], max_tokens=4)
    bench.run()
    assert device_of(bench).events == [
        "launch 1", "launch 2", "read 1", "launch 3", "read 2", "launch 4", "read 3", "read 4",
    ]  # fmt: skip
    assert device_of(bench).num_rows == 2 * 4


def test_the_token_after_an_unforeseen_end_is_neither_sent_nor_counted() -> None:
    bench = make(text="ab")
    outcome = bench.submit([1], max_tokens=50)
    bench.run()
    assert (outcome.text, len(outcome.token_ids)) == ("ab", 3)  # and the end of text
    assert device_of(bench).num_rows == 4
    counted = bench.loop.stats()
    bench.step()
    assert counted.result().generated_tokens == 3


def test_a_cancelled_sequence_runs_for_at_most_two_steps_more() -> None:
    bench = make()
    outcome, other = bench.submit([1], max_tokens=80), bench.submit([2], max_tokens=80)
    for _ in range(3):
        bench.step()
    before, known = device_of(bench).num_rows, len(outcome.token_ids)
    bench.loop.cancel("stream", 1)
    bench.step()
    assert outcome.finish == "FINISH_CANCELLED"
    assert len(outcome.token_ids) == known
    for _ in range(5):
        bench.step()
    assert device_of(bench).num_rows - before == 6  # one each: the other's
    bench.run()
    assert len(other.token_ids) == 80


def test_what_is_held_is_not_launched_ahead() -> None:
    bench = make()
    held, other = (bench.submit([n], max_tokens=80, handle=str(n)) for n in (1, 2))
    for _ in range(3):
        bench.step()
    bench.loop.hold("1", held=True)
    for _ in range(20):
        bench.step()
    assert len(held.token_ids) <= 3 + 2  # two steps were under way
    assert len(other.token_ids) > 20
    bench.loop.hold("1", held=False)
    bench.run()
    assert held.text == other.text == "a" * 80


def test_whoever_waits_starts_within_two_steps_of_a_free_place() -> None:
    bench = make()
    for n in range(3):
        bench.submit([n], max_tokens=80)
    for _ in range(5):
        bench.step()
    late = bench.submit([9], max_tokens=5)
    for _ in range(3):
        bench.step()
    assert len(late.token_ids) >= 1
    bench.run()


def test_a_full_engine_looks_ahead_though_others_wait_and_gives_way_to_who_has_less() -> None:
    bench = make()
    flood = [bench.submit([n], max_tokens=80) for n in range(6)]
    for _ in range(4):
        bench.step()
    assert device_of(bench).events[-2:] == ["launch 5", "read 4"]
    polite = bench.submit([9], tenant="bob", max_tokens=5)
    for _ in range(4):
        bench.step()
    assert polite.token_ids
    bench.run()
    assert all(len(outcome.token_ids) == 80 for outcome in flood)


def sequence_of(key: int, length: int, **params: Any) -> Sequence:
    sampling = SamplingParams(**{"max_tokens": 20, **params})
    tokens = [key] * length
    return Sequence(key, "alice", tokens, sampling, Detokenizer())


def planned(*sequences: Sequence, num_blocks: int = 16) -> tuple[Scheduler, Plan]:
    """A scheduler of blocks of 4 tokens after its first plan."""
    limits = SchedulerLimits(max_model_len=64, token_budget=16, max_running=4)
    scheduler = Scheduler(limits, BlockPool(num_blocks, 4))
    for sequence in sequences:
        scheduler.submit(sequence)
    return scheduler, scheduler.schedule()


def test_a_prompt_that_is_not_through_is_not_passed_over() -> None:
    scheduler, plan = planned(sequence_of(1, 3), sequence_of(2, 30))
    assert [row.num_tokens for row in plan.rows] == [3, 13]
    assert foresee(scheduler, plan) is None


def test_what_ends_for_certain_is_not_run_again() -> None:
    last, scored, on = sequence_of(1, 3, max_tokens=1), sequence_of(2, 3), sequence_of(3, 3)
    scored.params = SamplingParams(max_tokens=0, prompt_logprobs=1)
    scheduler, plan = planned(last, scored, on)
    following = foresee(scheduler, plan)
    assert following is not None
    assert following.step == plan.step + 1
    assert [(row.key, row.start, row.num_tokens) for row in following.rows] == [(3, 3, 1)]


def test_it_takes_the_blocks_of_all_or_of_none() -> None:
    first, second = sequence_of(1, 4), sequence_of(2, 4)
    scheduler, plan = planned(first, second)
    taken = scheduler.pool.allocate(scheduler.pool.num_free - 1)  # one is left, two are needed
    assert foresee(scheduler, plan) is None
    assert scheduler.pool.num_free == 1
    scheduler.pool.release(taken)
    following = foresee(scheduler, plan)
    assert following is not None
    assert [len(row.block_table) for row in following.rows] == [2, 2]
    check(scheduler)


def test_guesses_wait_for_their_tokens() -> None:
    scheduler, plan = planned(sequence_of(1, 9))
    scheduler.limits = replace(scheduler.limits, max_drafts=4)
    assert foresee(scheduler, plan) is None  # it repeats itself: a guess may be worth more
    scheduler.limits = replace(scheduler.limits, max_drafts=0)
    assert foresee(scheduler, plan) is not None


@pytest.mark.parametrize("poison", [POISON, LATE_POISON], ids=["at launch", "when read"])
def test_a_crash_fails_the_guilty_request_alone(poison: int) -> None:
    bench = make(text="abcdef")
    outcomes = [bench.submit([n, n], max_tokens=9) for n in (1, 2)]
    bench.step()
    bad = bench.submit([poison, 1], max_tokens=9)
    bench.step()
    if poison == LATE_POISON:  # alone, it crashes when it is run to its end
        bench.loop.runner.run = crashing(bench.loop.runner.run)  # type: ignore[method-assign]
    bench.run()
    assert bad.finish == "FINISH_ERROR"
    assert all(outcome.text == "abcdef" for outcome in outcomes)


def crashing(run: Any) -> Any:
    def checked(plan: Plan) -> StepResult:
        if any(row.tokens[0] == LATE_POISON for row in plan.rows):
            raise RuntimeError("poisoned")
        return run(plan)

    return checked


def test_a_crash_of_the_step_ahead_leaves_the_one_under_way_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = make(text="abcdef")
    outcome = bench.submit([1], max_tokens=9)
    launch = device_of(bench).launch

    def refuse(plan: Plan, after: Any = None) -> Any:
        if after is not None:
            raise torch.OutOfMemoryError("no room for two")
        return launch(plan)

    monkeypatch.setattr(bench.loop.runner, "launch", refuse)
    bench.run()
    assert outcome.text == "abcdef"


def test_a_lost_device_ends_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(plan: Plan, after: Any = None) -> Any:
        raise DeviceLostError("gone")

    bench = make()
    bench.submit([1], max_tokens=9)
    monkeypatch.setattr(bench.loop.runner, "launch", lost)
    with pytest.raises(DeviceLostError):
        bench.run()


def test_what_went_ahead_of_a_misled_step_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    result = FakeLaunch.result

    def think_again(self: FakeLaunch) -> StepResult:
        brought = result(self)
        if self._plan.step == 3:
            self.misled = True
            return replace(brought, sampled={k: Sampled(ord("x")) for k in brought.sampled})
        return brought

    monkeypatch.setattr(FakeLaunch, "result", think_again)
    bench = make(text="abcdef")
    outcomes = [bench.submit([n], max_tokens=9) for n in range(3)]
    bench.run()
    assert [outcome.text for outcome in outcomes] == ["abxdef"] * 3
    assert device_of(bench).events.count("launch 4") == 1
    assert "read 4" not in device_of(bench).events


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_sequence_says_what_it_says_without(data: Any) -> None:
    requests = data.draw(
        st.lists(
            st.tuples(
                st.lists(st.integers(60, 68), min_size=1, max_size=40),
                st.integers(0, 40),
                st.sampled_from([(), ("wrote",), ("好", "e e")]),
                st.sampled_from(["alice", "bob"]),
                st.integers(0, 3),  # steps until the next
            ),
            min_size=1,
            max_size=10,
        )
    )
    num_blocks = data.draw(st.sampled_from([9, 14, 64]))
    penalised = data.draw(st.booleans())

    def answers(device: type[FakeDevice]) -> list[tuple[Any, ...]]:
        bench = make(device, "The engine wrote 你好, twice.", num_blocks=num_blocks)
        outcomes = []
        for number, (prompt, limit, stop, tenant, steps) in enumerate(requests):
            penalty = 1.1 if penalised and number % 3 == 2 else 1.0
            asked = {"max_tokens": limit, "stop": stop, "repetition_penalty": penalty}
            outcomes.append(bench.submit(prompt, tenant=tenant, **asked))
            for _ in range(steps):
                bench.step()
        bench.run()
        counted = bench.loop.stats()
        bench.step()
        assert counted.result().generated_tokens == sum(len(o.token_ids) for o in outcomes)
        return [(o.token_ids, o.text, o.finish, o.stop_reason) for o in outcomes]

    assert answers(FakeDevice) == answers(Sequential)
