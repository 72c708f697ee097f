"""A crowd is told a few tokens at a time; first texts and ends wait for nothing, none is lost."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest

from inference.engine.client_stream import ClientStream, interval_s
from inference.engine.detokenizer import Detokenizer
from inference.engine.fake import FakeOptions, FakeRunner, build
from inference.engine.fake_codec import FakeCodec
from inference.engine.grammar_masks import GrammarMasks
from inference.engine.limits import SchedulerLimits
from inference.engine.loop import Frames
from inference.engine.params import SamplingParams
from inference.engine.plan import Plan, StepResult
from inference.engine.request import Sequence
from tests.inference.engine.rig import Bench, Outcome

TEXT = "0123456789" * 6  # each character a token
STEP_S = 0.004


class Crowd(Bench):
    """An engine whose steps take as long as is said, and when its deltas were told."""

    def __init__(self, max_running: int = 64) -> None:
        self.now, self.step_s = 0.0, STEP_S
        limits = SchedulerLimits(
            max_model_len=128, token_budget=256, max_running=max_running, max_waiting=200
        )
        served = build(FakeOptions(text=TEXT, limits=limits, num_blocks=1024))
        outer = self

        class Timed(FakeRunner):
            def run(self, plan: Plan) -> StepResult:
                outer.now += outer.step_s
                return super().run(plan)

        runner = Timed(FakeOptions(text=TEXT), served.codec, GrammarMasks(served.grammars))
        super().__init__(
            served.scheduler, runner, served.codec, served.vocab_size, clock=lambda: self.now
        )
        self.told_at: defaultdict[int, list[float]] = defaultdict(list)

    def submit(self, tokens: Iterable[int], tenant: str = "alice", **params: Any) -> Outcome:
        """Let nobody guess ahead (`may_guess`): each step brings one token."""
        return super().submit(tokens, tenant, presence_penalty=0.1, **params)

    def _deliver(self, frames: Frames) -> None:
        super()._deliver(frames)
        for _, frame in frames:
            for delta in frame.deltas:
                self.told_at[delta.sequence_id].append(self.now)

    def gaps(self) -> list[float]:
        """Between two deltas of one sequence, but for the last one, which may come at any time."""
        return [b - a for at in self.told_at.values() for a, b in pairwise(at[:-1])]


@pytest.fixture
def bench() -> Crowd:
    return Crowd()


def test_a_single_text_is_told_token_by_token(bench: Crowd) -> None:
    bench.step_s = interval_s(2) / 2
    outcome = bench.submit([1], max_tokens=40)
    bench.run()
    assert (outcome.text, len(bench.told_at[1])) == (TEXT[:40], 40)


def test_a_crowd_is_told_a_few_tokens_at_a_time(bench: Crowd) -> None:
    outcomes = [bench.submit([1], max_tokens=40) for _ in range(50)]
    bench.run()
    assert [outcome.text for outcome in outcomes] == [TEXT[:40]] * 50
    assert [len(outcome.token_ids) for outcome in outcomes] == [40] * 50
    wait_s = interval_s(50)
    assert all(wait_s <= gap < wait_s + STEP_S for gap in bench.gaps())


def test_a_few_share_their_time_a_crowd_is_told_with_every_frame_and_many_share_a_core() -> None:
    waits_ms = {n: round(1000 * interval_s(n), 2) for n in (1, 2, 9, 17, 64, 401)}
    assert waits_ms == {1: 0, 2: 1, 9: 8, 17: 16, 64: 16, 401: 100}


def test_the_first_text_and_the_end_wait_for_nothing(bench: Crowd) -> None:
    for _ in range(49):
        bench.submit([1], max_tokens=60)
    for _ in range(10):
        bench.step()
    late = bench.submit([1], max_tokens=2)
    bench.step()
    assert (late.text, late.finish) == (TEXT[0], "")
    bench.step()
    assert (late.text, late.finish) == (TEXT[:2], "FINISH_LENGTH")


def test_who_waits_for_a_place_slows_nobody() -> None:
    bench = Crowd(max_running=1)
    for _ in range(100):
        bench.submit([1], max_tokens=10)
    bench.run()
    assert {len(told) for told in bench.told_at.values()} == {10}


def test_another_web_process_slows_nobody(bench: Crowd) -> None:
    bench.submit([1], max_tokens=40)
    for _ in range(49):
        bench.submit([1], max_tokens=40, handle="other")
    bench.run()
    assert len(bench.told_at[1]) == 40
    assert len(bench.told_at[2]) < 20


def test_what_is_known_of_a_text_that_stands_still_is_told_soon(bench: Crowd) -> None:
    outcomes = [bench.submit([1], max_tokens=60) for _ in range(50)]
    bench.submit([1], max_tokens=60, handle="other")
    for _ in range(3):
        bench.step()
    assert outcomes[0].text == TEXT[0]
    bench.loop.hold("stream", held=True)
    for _ in range(4):
        bench.step()
    assert [outcome.text for outcome in outcomes] == [TEXT[:3]] * 50


def test_a_cancelled_text_ends_with_all_that_was_said(bench: Crowd) -> None:
    outcomes = [bench.submit([1], max_tokens=60) for _ in range(50)]
    for _ in range(6):
        bench.step()
    bench.loop.cancel("stream", 1)
    bench.step()
    assert (outcomes[0].text, outcomes[0].finish) == (TEXT[:6], "FINISH_CANCELLED")


def test_a_first_text_waits_for_nothing_though_there_was_news_without_one() -> None:
    stream, codec = ClientStream("client"), FakeCodec()
    for number in (1, 2):
        stream.sequences[number] = Sequence(
            number, "alice", [1], SamplingParams(9), Detokenizer(), sequence_id=number
        )
        stream.news(stream.sequences[number], codec).text = "x" if number == 2 else ""
    assert stream.take(1, 0.0) is not None
    stream.news(stream.sequences[1], codec).text = "at last"
    frame = stream.take(2, interval_s(2) / 9)
    assert frame is not None
    assert [delta.text for delta in frame.deltas] == ["at last"]
