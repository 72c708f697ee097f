"""The link to an engine: one stream for all requests, few frames for many, an error at its end."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inference import client
from inference.client import (
    FRAME_BYTES,
    EngineFullError,
    EngineLink,
    EngineRefusedError,
    EngineUnavailableError,
    Outbox,
)
from inference.engine import fake
from inference.engine.codec_service import LONG_PROMPT_BYTES
from inference.engine.fake_codec import FakeCodec
from inference.engine.limits import SchedulerLimits
from inference.engine.params import SamplingParams
from inference.engine.wire import engine_pb2 as wire
from inference.engine.wire.messages import sampling_to_wire
from tests.inference.engines import FakeEngine

CODEC = FakeCodec()


class Panic(BaseException):
    """What Rust code raises."""


class Unheard:
    """A sink whose news nobody wants."""

    def on_delta(self, delta: wire.SequenceDelta) -> None: ...

    def on_lost(self) -> None: ...


class RecordingCall:
    """Stands for the stream: takes a frame when it is let."""

    def __init__(self) -> None:
        self.frames: list[wire.ClientFrame] = []
        self.free = asyncio.Event()

    async def write(self, frame: wire.ClientFrame) -> None:
        self.frames.append(frame)
        await self.free.wait()


@pytest.fixture
async def link(tmp_path: Path) -> AsyncIterator[EngineLink]:
    async with fake.running(None, f"unix:{tmp_path}/engine") as (address, _):
        made = EngineLink("fake", address)
        await made.first_poll()
        yield made
        await made.close()


async def test_prompts_of_all_lengths_are_encoded_at_once(link: EngineLink) -> None:
    texts = ["a", "Grüße", "long " * LONG_PROMPT_BYTES, ""] * 20
    replies = await asyncio.gather(
        *(link.tokenize(wire.TokenizeRequest(text=text)) for text in texts)
    )
    for text, reply in zip(texts, replies, strict=True):
        assert list(reply.token_ids) == CODEC.encode_text(text)


async def test_nothing_is_encoded_for_whom_the_queue_is_full(tmp_path: Path) -> None:
    """Known without waiting for the step under way, which here takes until the test says so."""
    step = threading.Semaphore(0)
    limits = SchedulerLimits(max_model_len=64, max_running=1, max_waiting=3)
    options = fake.FakeOptions(turnstile=step, limits=limits)
    async with fake.running(options, f"unix:{tmp_path}/engine") as (address, _):
        link = EngineLink("fake", address)
        await link.first_poll()
        for _ in range(4):
            sampling = sampling_to_wire(SamplingParams(max_tokens=5))
            submit = wire.Submit(tenant="flood", prompt_token_ids=[1], sampling=sampling)
            link.submit(submit, Unheard())
        answers = await asyncio.gather(
            *(
                link.tokenize(wire.TokenizeRequest(text="a", place=place))
                for place in (wire.Place(tenant="flood"), wire.Place(tenant="polite"), None)
            ),
            return_exceptions=True,
        )
        step.release(1000)
        await link.close()
    refused, *encoded = answers
    assert isinstance(refused, EngineFullError)
    assert refused.retry_after_ms > 0
    assert [list(reply.token_ids) for reply in encoded] == [[97], [97]]


async def test_what_cannot_be_encoded_is_refused_alone(link: EngineLink) -> None:
    refused, encoded = await asyncio.gather(
        link.tokenize(wire.TokenizeRequest(chat=wire.ChatPrompt(tools_json="{}"))),
        link.tokenize(wire.TokenizeRequest(text="fine")),
        return_exceptions=True,
    )
    assert isinstance(refused, EngineRefusedError)
    assert str(refused) == "tools_json must be a JSON array"
    assert isinstance(encoded, wire.TokenizeReply)


async def test_a_prompt_that_crashes_the_tokenizer_fails_alone(
    link: EngineLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = FakeCodec.encode_text

    def encode_or_crash(codec: FakeCodec, text: str) -> list[int]:
        if text == "poison":
            raise Panic
        return encode(codec, text)

    monkeypatch.setattr(FakeCodec, "encode_text", encode_or_crash)
    crashed, encoded = await asyncio.gather(
        link.tokenize(wire.TokenizeRequest(text="poison")),
        link.tokenize(wire.TokenizeRequest(text="fine")),
        return_exceptions=True,
    )
    assert isinstance(crashed, EngineUnavailableError)
    assert isinstance(encoded, wire.TokenizeReply)
    assert list((await link.tokenize(wire.TokenizeRequest(text="on"))).token_ids) == [111, 110]


async def test_who_waits_is_told_when_the_engine_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine("stopped")
    await asyncio.to_thread(engine.start)
    link = EngineLink("stopped", engine.address)
    await link.first_poll()
    assert engine.process is not None
    engine.process.send_signal(signal.SIGSTOP)
    waiting = asyncio.create_task(link.tokenize(wire.TokenizeRequest(text="a")))
    await asyncio.sleep(0)
    with monkeypatch.context() as hasty:
        hasty.setattr(client, "ANSWER_TIMEOUT_S", 0.1)
        with pytest.raises(EngineUnavailableError, match="encodes nothing"):
            await link.tokenize(wire.TokenizeRequest(text="b"))
    assert not waiting.done()
    engine.kill()
    with pytest.raises(EngineUnavailableError):
        await asyncio.wait_for(waiting, 10)
    with pytest.raises(EngineUnavailableError, match="not connected"):
        await link.tokenize(wire.TokenizeRequest(text="b"))
    await link.close()


async def test_what_comes_up_during_a_write_goes_as_one_frame(link: EngineLink) -> None:
    call, outbox = RecordingCall(), Outbox()
    writer = asyncio.create_task(link._write(call, outbox))
    for number in range(30):
        outbox.put(wire.ClientFrame(submits=[wire.Submit(sequence_id=number)]))
        await asyncio.sleep(0)
    outbox.put(wire.ClientFrame(cancels=[wire.Cancel(sequence_id=3)]))
    call.free.set()
    async with asyncio.timeout(5):
        while len(call.frames) < 2:
            await asyncio.sleep(0)
    writer.cancel()
    assert len(call.frames) == 2
    sent = [submit.sequence_id for frame in call.frames for submit in frame.submits]
    assert sent == list(range(30))
    assert [cancel.sequence_id for cancel in call.frames[1].cancels] == [3]


async def test_a_frame_does_not_grow_beyond_what_a_message_may_be(link: EngineLink) -> None:
    call, outbox = RecordingCall(), Outbox()
    call.free.set()
    text = "x" * (FRAME_BYTES // 4)
    for _ in range(12):
        outbox.put(wire.ClientFrame(tokenize=[wire.TokenizeRequest(text=text)]))
    writer = asyncio.create_task(link._write(call, outbox))
    async with asyncio.timeout(5):
        while sum(len(frame.tokenize) for frame in call.frames) < 12:
            await asyncio.sleep(0)
    writer.cancel()
    assert max(frame.ByteSize() for frame in call.frames) < 2 * FRAME_BYTES
