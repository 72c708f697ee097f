"""What a generation tells its reader, and when it wakes it."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from inference import generation as module
from inference.engine.params import SamplingParams
from inference.engine.wire import engine_pb2 as wire
from inference.generation import Generation, PreparedPrompt
from inference.spec import GenerationSpec, TextDelta, TextPrompt


class Running:
    """A generation of two samples whose hold is there, in the hand of a test."""

    def __init__(self, *, stream: bool) -> None:
        sampling, prompts = SamplingParams(max_tokens=9), (TextPrompt("a"),)
        spec = GenerationSpec("m", prompts, sampling, 9, "api", "completions", stream=stream, n=2)
        link = SimpleNamespace(info=wire.EngineInfo(), cancel=lambda _: None)
        never: Any = None
        self.generation = Generation(
            spec, never, never, cast("Any", link), [PreparedPrompt([1], 9)],
            request_id="req_1", allowance=never, arrived=0.0,
        )  # fmt: skip
        self.generation.admitted.set_result(None)
        for number, sequence in enumerate(self.generation.sequences):
            self.generation.register(sequence, number)

    def say(self, index: int, text: str, finish: wire.FinishReason = wire.FINISH_NONE) -> None:
        delta = wire.SequenceDelta(
            sequence_id=index, token_ids=[1], text=text, finish_reason=finish
        )
        self.generation.on_delta(delta)

    def ask(self) -> asyncio.Task[list[TextDelta]]:
        return asyncio.create_task(self.generation.news())


async def until_idle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_what_came_meanwhile_is_one_delta_of_each_sequence() -> None:
    running = Running(stream=True)
    running.say(1, "B")
    running.say(0, "a")
    running.say(1, "C", wire.FINISH_STOP)
    said = await running.generation.news()
    assert said == [TextDelta(1, "BC", 2, finish_reason="stop"), TextDelta(0, "a", 1)]


async def test_a_token_without_text_waits_for_more_of_its_sequence() -> None:
    running = Running(stream=True)
    asked = running.ask()
    await until_idle()
    running.say(0, "")
    await until_idle()
    assert not asked.done()
    running.say(1, "b")
    assert await asked == [TextDelta(1, "b", 1)]
    running.say(0, "ä")
    assert await running.generation.news() == [TextDelta(0, "ä", 2)]


async def test_who_wants_the_whole_answer_is_woken_when_a_sequence_has_ended() -> None:
    running = Running(stream=False)
    asked = running.ask()
    await until_idle()
    for part in "abc":
        running.say(0, part)
        running.say(1, part)
    await until_idle()
    assert not asked.done()
    running.say(0, "d", wire.FINISH_LENGTH)
    assert await asked == [TextDelta(0, "abcd", 4, finish_reason="length")]
    running.say(1, "", wire.FINISH_STOP)
    assert await running.generation.news() == [TextDelta(1, "abc", 4, finish_reason="stop")]


async def test_a_reader_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    running = Running(stream=True)
    for _ in range(3):
        running.say(0, "a")
        now += module.STALLED_READER_S
        await running.generation.news()
    running.say(0, "a")
    now += module.STALLED_READER_S
    running.say(0, "a")
    assert running.generation.outcome is None
    now += 1
    running.say(0, "a")
    assert running.generation.outcome == "aborted"
