"""A servicer that does what its callers ask, and both ends of connections to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from inference.engine.wire import engine_pb2
from inference.engine.wire.answering import Server, Stream
from inference.engine.wire.calling import Caller, connect_to
from inference.engine.wire.errors import CallError, Code
from inference.engine.wire.frames import HELLO
from inference.engine.wire.methods import DETOKENIZE

REFUSE, WAIT, CRASH, GIVE_UP = 900, 901, 902, 903


class Servicer:
    """Says token ids back; some of them mean something."""

    def __init__(self) -> None:
        self.waiting = 0
        self.cancelled = 0
        self.streams: list[Echo] = []

    async def Detokenize(self, request: Any) -> Any:  # noqa: N802
        match list(request.token_ids)[:1]:
            case [900]:
                raise CallError(Code.INVALID_ARGUMENT, "Not this one: ß.")
            case [901]:
                self.waiting += 1
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.cancelled += 1
                    raise
            case [902]:
                raise RuntimeError("a bug")
            case [903]:
                raise asyncio.CancelledError
        return engine_pb2.DetokenizeReply(text=spell(request.token_ids))

    def Generate(self, stream: Stream) -> "Echo":  # noqa: N802
        self.streams.append(Echo(stream))
        return self.streams[-1]


class Echo:
    """One stream: each message is answered with one; what happens to it is written down."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.messages: list[engine_pb2.ClientFrame] = []
        self.writable = 0
        self.closed = 0

    def on_message(self, frame: engine_pb2.ClientFrame) -> None:
        self.messages.append(frame)
        deltas = [engine_pb2.SequenceDelta(sequence_id=each.sequence_id) for each in frame.submits]
        self.stream.write(engine_pb2.StepFrame(deltas=deltas))

    def on_writable(self) -> None:
        self.writable += 1

    def on_close(self) -> None:
        self.closed += 1


class Heard:
    """What came on the calling side of a stream."""

    def __init__(self) -> None:
        self.frames: list[engine_pb2.StepFrame] = []
        self.ends: list[CallError | None] = []

    def on_message(self, frame: engine_pb2.StepFrame) -> None:
        self.frames.append(frame)

    def on_end(self, error: CallError | None) -> None:
        self.ends.append(error)

    @property
    def numbers(self) -> list[int]:
        return [delta.sequence_id for frame in self.frames for delta in frame.deltas]


class Sipping(Heard):
    """Reads a little, and then nothing until it is told to."""

    def __init__(self, caller: Caller) -> None:
        super().__init__()
        self._transport = caller._transport

    def sip(self) -> None:
        self._transport.resume_reading()

    def on_message(self, frame: engine_pb2.StepFrame) -> None:
        super().on_message(frame)
        self._transport.pause_reading()


def spell(token_ids: Iterable[int]) -> str:
    return " ".join(map(str, token_ids))


def submit(number: int, text: str = "") -> engine_pb2.ClientFrame:
    return engine_pb2.ClientFrame(submits=[engine_pb2.Submit(sequence_id=number, request_id=text)])


async def detokenize(caller: Caller, *token_ids: int, timeout_s: float | None = 20) -> str:
    request = engine_pb2.DetokenizeRequest(token_ids=token_ids)
    return (await caller.call(DETOKENIZE, request, timeout_s)).text


@contextlib.asynccontextmanager
async def serving(address: str) -> AsyncIterator[tuple[str, Server, Servicer]]:
    servicer = Servicer()
    server = Server(servicer)
    address = await server.start(address)
    try:
        yield address, server, servicer
    finally:
        await server.stop(0)


@contextlib.asynccontextmanager
async def connected(address: str) -> AsyncIterator[Caller]:
    caller = await connect_to(address, 10)
    try:
        yield caller
    finally:
        caller.abort()
        await caller.lost


@contextlib.asynccontextmanager
async def raw(
    address: str, *, hello: bytes = HELLO
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client that writes what it likes."""
    reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
    writer.write(hello)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def waiting(caller: Caller, servicer: Servicer) -> AsyncIterator["asyncio.Task[str]"]:
    """A call that is not answered."""
    task = asyncio.create_task(detokenize(caller, WAIT))
    await until(lambda: servicer.waiting == servicer.cancelled + 1)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
        with contextlib.suppress(asyncio.CancelledError, CallError):
            task.result()


async def until(condition: Any, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
