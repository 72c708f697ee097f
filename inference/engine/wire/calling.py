"""The calling side: one connection of a web process to an engine.

It carries any number of calls and streams at once. A call whose caller gives up or goes away is
cancelled at the engine. When the connection ends, every call and every stream is told once.
"""

import asyncio
import itertools
from collections import deque
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message

from inference.engine.wire.addresses import connect
from inference.engine.wire.connection import Connection
from inference.engine.wire.errors import CallError, Code, ProtocolError
from inference.engine.wire.frames import (
    LARGEST_ID,
    MAX_PAYLOAD_BYTES,
    Frame,
    Kind,
    pack,
    pack_call,
    read_error,
    read_message,
)
from inference.engine.wire.methods import Method

# The engine takes a client for gone that was silent for some times as long.
ALIVE_S = 2.0
MERGED_BYTES = 1 << 20  # of messages that go as one frame, unless one alone is longer

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)


class Receiver(Protocol):
    """Takes what the engine sends on one stream. Both are quick, and must not raise."""

    def on_message(self, message: Any) -> None:
        """Take a message."""
        ...

    def on_end(self, error: CallError | None) -> None:
        """Nothing more will come. Called once, unless the stream was cancelled."""
        ...


class Stream:
    """The calling side of one stream."""

    def __init__(self, caller: "Caller", call_id: int, method: Method[Any, Any]) -> None:
        """Made by `Caller.open`."""
        self.reply = method.reply
        self._caller = caller
        self._call_id = call_id
        self._waiting: deque[bytes] = deque()

    def write(self, message: Message) -> None:
        """Send it at the end of this turn of the event loop, merged with what else came up.

        CallError when it is too long.
        """
        data = message.SerializeToString()
        if len(data) > MAX_PAYLOAD_BYTES:
            raise CallError(Code.RESOURCE_EXHAUSTED, f"A message of {len(data)} bytes is too long.")
        self._waiting.append(data)
        if len(self._waiting) == 1:
            self._caller.events.call_soon(self.flush)

    def cancel(self) -> None:
        """End it: nobody waits for what still comes."""
        self._waiting.clear()
        self._caller.cancel(self._call_id)

    def flush(self) -> None:
        """Send what waits, as long as the engine reads."""
        while self._waiting and self._caller.writable:
            self._caller.send(pack(Kind.MESSAGE, self._call_id, self._merged()))

    def _merged(self) -> bytes:
        """Take messages: written one after the other, they are their merge."""
        taken = [self._waiting.popleft()]
        size = len(taken[0])
        while self._waiting and size + len(self._waiting[0]) <= MERGED_BYTES:
            taken.append(self._waiting.popleft())
            size += len(taken[-1])
        return b"".join(taken)


class Caller(Connection):
    """The client's end of a connection."""

    def __init__(self) -> None:
        """Made by `connect_to`."""
        super().__init__()
        self._ids = itertools.count()
        self._calls: dict[int, tuple[Method[Any, Any], asyncio.Future[Any]]] = {}
        self._streams: dict[int, tuple[Stream, Receiver]] = {}
        self._why_lost = Code.UNAVAILABLE, "The connection was lost."
        self._alive: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say from now on that this side lives."""
        super().connection_made(transport)
        self._say_alive()

    def _say_alive(self) -> None:
        if self.writable:
            self.send(pack(Kind.ALIVE, 0))
        self._alive = self.events.call_later(ALIVE_S, self._say_alive)

    @property
    def asks(self) -> bool:
        """Whether a call is under way."""
        return bool(self._calls)

    async def call(self, method: Method[Q, R], request: Q, timeout_s: float | None = None) -> R:
        """Ask and wait for the answer. CallError when there is none."""
        if self.ending:
            raise CallError(*self._why_lost)
        call_id = self._new_id()
        answer: asyncio.Future[R] = self.events.create_future()
        self.send(pack_call(call_id, method.name, request))
        self._calls[call_id] = method, answer
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            sentence = f"{method.name} was not answered within {timeout_s} s."
            raise CallError(Code.DEADLINE_EXCEEDED, sentence) from None
        finally:
            self.cancel(call_id)

    def open(self, method: Method[Any, Any], receiver: Receiver) -> Stream:
        """Begin a stream. CallError when the connection has ended."""
        if self.ending:
            raise CallError(*self._why_lost)
        call_id = self._new_id()
        stream = Stream(self, call_id, method)
        self.send(pack_call(call_id, method.name))
        self._streams[call_id] = stream, receiver
        return stream

    def _new_id(self) -> int:
        """Return the next number that no call has: after weeks of many calls they come again."""
        ids = (number % LARGEST_ID + 1 for number in self._ids)
        return next(n for n in ids if n not in self._calls and n not in self._streams)

    def cancel(self, call_id: int) -> None:
        """Tell the engine that nobody waits any more, unless it has answered."""
        if self._calls.pop(call_id, None) or self._streams.pop(call_id, None):
            self.send(pack(Kind.CANCEL, call_id))

    def on_frame(self, frame: Frame) -> None:
        """Hand on what came to whoever waits for it; after a cancel nobody does."""
        kind, call_id, payload = frame
        if kind == Kind.MESSAGE:
            if call_id in self._streams:
                stream, receiver = self._streams[call_id]
                receiver.on_message(read_message(stream.reply, payload))
        elif kind == Kind.REPLY:
            if call_id in self._calls:
                method, _ = self._calls[call_id]
                self._answer(call_id, read_message(method.reply, payload))
        elif kind == Kind.END:
            self._end(call_id, None)
        elif kind == Kind.ERROR:
            self._on_error(call_id, read_error(payload))
        else:
            raise ProtocolError(f"a frame of the unknown kind {kind}")

    def _answer(self, call_id: int, reply: Message) -> None:
        _, answer = self._calls.pop(call_id)
        if not answer.done():
            answer.set_result(reply)

    def _end(self, call_id: int, error: CallError | None) -> None:
        if call_id in self._streams:
            _, receiver = self._streams.pop(call_id)
            receiver.on_end(error)

    def _on_error(self, call_id: int, error: CallError) -> None:
        if call_id == 0:
            self._why_lost = error.code, error.sentence
            self.abort()
        elif call_id in self._calls:
            _, answer = self._calls.pop(call_id)
            if not answer.done():
                answer.set_exception(error)
        else:
            self._end(call_id, error)

    def on_nonsense(self, error: ProtocolError) -> None:
        """The engine is not what it should be."""
        self._why_lost = Code.FAILED_PRECONDITION, f"What listens there is no engine: {error}."
        self.abort()

    def resume_writing(self) -> None:
        """Send what had to wait."""
        super().resume_writing()
        for stream, _ in list(self._streams.values()):
            stream.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits."""
        super().connection_lost(exc)
        if self._alive is not None:
            self._alive.cancel()
        calls, self._calls = self._calls, {}
        for _, answer in calls.values():
            if not answer.done():
                answer.set_exception(CallError(*self._why_lost))
        streams, self._streams = self._streams, {}
        for _, receiver in streams.values():
            receiver.on_end(CallError(*self._why_lost))


async def connect_to(address: str, timeout_s: float) -> Caller:
    """Connect to `unix:/path` or `host:port`. CallError when nobody listens there."""
    try:
        async with asyncio.timeout(timeout_s):
            return await connect(address, Caller)
    except (OSError, ValueError) as error:  # a time that is over is one of the former
        raise CallError(Code.UNAVAILABLE, f"{address}: {str(error) or 'no answer'}") from None
