"""The link to an engine: one stream for all requests, few frames for many, an error at its end."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from inference import client
from inference.client import (
    EngineFullError,
    EngineLink,
    EngineRefusedError,
    EngineUnavailableError,
)
from inference.engine import fake
from inference.engine.codec_service import LONG_PROMPT_BYTES
from inference.engine.fake_codec import FakeCodec
from inference.engine.limits import SchedulerLimits
from inference.engine.params import SamplingParams
from inference.engine.wire import engine_pb2 as wire
from inference.engine.wire.answering import Server, Stream
from inference.engine.wire.calling import MERGED_BYTES
from inference.engine.wire.messages import sampling_to_wire
from tests.inference.engines import FakeEngine

CODEC = FakeCodec()


class Panic(BaseException):
    """What Rust code raises."""


class Unheard:
    """A sink whose news nobody wants."""

    def on_delta(self, delta: wire.SequenceDelta) -> None: ...

    def on_lost(self) -> None: ...


class Recorder:
    """Stands for an engine: writes down what it is asked."""

    def __init__(self) -> None:
        self.frames: list[wire.ClientFrame] = []
        self.hangs = False
        self.encodes = asyncio.Event()

    async def Info(self, _request: wire.InfoRequest) -> wire.EngineInfo:  # noqa: N802
        if self.hangs:
            await asyncio.Event().wait()
        return wire.EngineInfo(model="recorded")

    async def Tokenize(self, _request: wire.TokenizeRequest) -> wire.TokenizeReply:  # noqa: N802
        await self.encodes.wait()
        return wire.TokenizeReply(token_ids=[7])

    def Generate(self, _stream: Stream) -> "Recorder":  # noqa: N802
        return self

    def on_message(self, frame: wire.ClientFrame) -> None:
        self.frames.append(frame)

    def on_writable(self) -> None: ...

    def on_close(self) -> None: ...


class Losing(Unheard):
    """Counts how often it is told that the engine is lost."""

    def __init__(self) -> None:
        self.lost = 0

    def on_lost(self) -> None:
        self.lost += 1


@asynccontextmanager
async def recording(folder: Path) -> AsyncIterator[tuple[EngineLink, Recorder, Server]]:
    recorder = Recorder()
    server = Server(recorder)
    made = EngineLink("recorded", await server.start(f"unix:{folder}/recorder"))
    await made.first_poll()
    yield made, recorder, server
    await made.close()
    await server.stop(0)


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

    def encode_or_crash(codec: FakeCodec, text: str, **options: bool) -> list[int]:
        if text == "poison":
            raise Panic
        return encode(codec, text, **options)

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
        hasty.setattr(EngineLink._call, "__defaults__", (0.1,))
        with pytest.raises(EngineUnavailableError, match="not answered within"):
            await link.tokenize(wire.TokenizeRequest(text="b"))
    assert not waiting.done()
    engine.kill()
    with pytest.raises(EngineUnavailableError):
        await asyncio.wait_for(waiting, 10)
    with pytest.raises(EngineUnavailableError, match="not connected"):
        await link.tokenize(wire.TokenizeRequest(text="b"))
    await link.close()


async def test_what_comes_up_in_one_turn_goes_as_one_frame(tmp_path: Path) -> None:
    async with recording(tmp_path) as (link, recorder, _):
        numbers = [link.submit(wire.Submit(), Unheard()) for _ in range(30)]
        link.cancel(numbers[3])
        async with asyncio.timeout(20):
            while not recorder.frames:
                await asyncio.sleep(0)
        [frame] = recorder.frames
        assert [submit.sequence_id for submit in frame.submits] == numbers
        assert [cancel.sequence_id for cancel in frame.cancels] == [numbers[3]]


async def test_a_frame_does_not_grow_beyond_what_a_message_may_be(tmp_path: Path) -> None:
    async with recording(tmp_path) as (link, recorder, _):
        long = "x" * (MERGED_BYTES // 4)
        for _ in range(12):
            link.submit(wire.Submit(request_id=long), Unheard())
        async with asyncio.timeout(20):
            while sum(len(frame.submits) for frame in recorder.frames) < 12:
                await asyncio.sleep(0)
        assert max(frame.ByteSize() for frame in recorder.frames) < 2 * MERGED_BYTES


async def test_a_link_is_left_when_nothing_is_asked_any_more(tmp_path: Path) -> None:
    async with recording(tmp_path) as (link, recorder, _):
        asking = asyncio.create_task(link.tokenize(wire.TokenizeRequest(text="a")))
        leaving = asyncio.create_task(link.leave())
        await asyncio.sleep(3 * client.LEAVE_POLL_S)
        assert not leaving.done()
        recorder.encodes.set()
        assert list((await asking).token_ids) == [7]
        await asyncio.wait_for(leaving, 20)


async def test_a_hung_engine_is_given_up_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "POLL_TIMEOUT_S", 0.5)
    monkeypatch.setattr(client, "POLL_S", 0.05)
    said: list[str] = []
    for level in ("warning", "error"):
        monkeypatch.setattr(client.logger, level, lambda event, **_: said.append(event))
    async with recording(tmp_path) as (link, recorder, server):
        sinks = [Losing(), Losing()]
        for sink in (sinks[0], sinks[0], sinks[1]):
            link.submit(wire.Submit(), sink)
        recorder.hangs = True
        async with asyncio.timeout(20):
            while link.answers:
                await asyncio.sleep(0.01)
        assert not link.healthy
        assert [sink.lost for sink in sinks] == [1, 1]
        with pytest.raises(EngineUnavailableError):
            link.submit(wire.Submit(), sinks[0])
        with pytest.raises(EngineUnavailableError):
            await link.detokenize([1])
        recorder.hangs = False
        async with asyncio.timeout(20):
            while not link.healthy:
                await asyncio.sleep(0.01)
        assert len(server.clients) == 1
        assert link.load == 0
        assert said == ["engine hangs"]
        assert [sink.lost for sink in sinks] == [1, 1]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What errors in the log tell beside their words."""
    told: list[dict[str, object]] = []
    monkeypatch.setattr(client.logger, "error", lambda event, **more: told.append(more))
    return told


async def test_an_engine_of_another_release_is_named_in_the_log_once(
    tmp_path: Path, said: list[dict[str, object]]
) -> None:

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"parlance-engine 99\n")
        writer.close()

    other = await asyncio.start_unix_server(serve, tmp_path / "other")
    link = EngineLink("other", f"unix:{tmp_path}/other")
    await link.first_poll()
    await asyncio.sleep(0.5)
    assert not link.answers
    await link.close()
    other.close()
    [line] = said
    assert "speaks version 99 of the protocol, not 2" in str(line["reason"])


async def test_an_engine_of_another_model_is_not_taken_for_this_one(
    tmp_path: Path, said: list[dict[str, object]]
) -> None:
    """Its text would be another's, at this one's price."""
    async with fake.running(None, f"unix:{tmp_path}/engine") as (address, _):
        link = EngineLink("large", address)
        await link.first_poll()
        await asyncio.sleep(0.5)
        assert not link.answers
        await link.close()
    [line] = said
    assert line["reason"] == "it serves fake, not large"


async def test_an_engine_that_stays_away_is_named_in_the_log_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[dict[str, object]]
) -> None:
    """An address in ENGINES at which nothing listens, or something else."""
    monkeypatch.setattr(client, "POLL_S", 0.02)

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    web = await asyncio.start_unix_server(serve, tmp_path / "web")
    links = [EngineLink("model", f"unix:{tmp_path}/{name}") for name in ("nobody", "web")]
    async with asyncio.timeout(20):
        while len(said) < 2:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)  # for what must not happen
    for link in links:
        assert not link.answers
        await link.close()
    web.close()
    assert sorted(str(line["address"]).rpartition("/")[2] for line in said) == ["nobody", "web"]
    assert all(line["reason"] for line in said)
