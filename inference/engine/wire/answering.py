"""The answering side: an engine's connections to its clients.

A client that says nothing for `SILENCES` times `SILENCE_S`, or that takes nothing of what waits for
it for `STOPPED_S`, is cut off. What makes no sense ends the connection that it came on, and no
other. What a client had asked for ends with its connection: calls are cancelled, streams closed.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from google.protobuf.message import Message

from inference.engine.wire.addresses import Listener, listen
from inference.engine.wire.connection import Connection
from inference.engine.wire.errors import CallError, Code, ProtocolError
from inference.engine.wire.frames import (
    Frame,
    Kind,
    pack,
    pack_error,
    read_call,
    read_message,
)
from inference.engine.wire.methods import METHODS, Method

logger = logging.getLogger(__name__)

# Clients say every two seconds that they live (`calling.py`). One that did not for so many periods
# is gone; after only one this process may have been what stood still.
SILENCE_S = 5.0
SILENCES = 3
STOPPED_S = 10.0
LEFT_POLL_S = 0.01


class Receiver(Protocol):
    """Takes what a client sends on one stream. All are quick, and must not raise."""

    def on_message(self, message: Any) -> None:
        """Take a message."""
        ...

    def on_writable(self) -> None:
        """The client has caught up with reading."""
        ...

    def on_close(self) -> None:
        """The stream is over, whoever ended it. Called once; nothing else is called after it."""
        ...


class Stream:
    """What an engine sends on one stream."""

    def __init__(self, client: "Client", call_id: int) -> None:
        """Made by `Client`, which gives it to the servicer's method."""
        self._client = client
        self._call_id = call_id

    @property
    def writable(self) -> bool:
        """Whether the client keeps up: False when what is written waits in this process."""
        return self._client.writable

    def write(self, message: Message) -> None:
        """Send a message; one that is too long ends the stream."""
        try:
            self._client.send(pack(Kind.MESSAGE, self._call_id, message.SerializeToString()))
        except CallError as error:
            self.fail(error)

    def end(self) -> None:
        """Say that nothing more will come, and close the stream."""
        self._client.end_stream(self._call_id, pack(Kind.END, self._call_id))

    def fail(self, error: CallError) -> None:
        """Say why nothing more will come, and close the stream."""
        self._client.end_stream(self._call_id, pack_error(self._call_id, error))


class Client(Connection):
    """The engine's end of a connection."""

    def __init__(self, servicer: object, clients: set["Client"]) -> None:
        """Answer with the methods of `servicer`; be among `clients` while it is connected."""
        super().__init__()
        self._servicer = servicer
        self._clients = clients
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._streams: dict[int, tuple[Method[Any, Any], Receiver]] = {}
        self._num_silences = 0
        self._leaving = False
        self._silence: asyncio.TimerHandle | None = None
        self._stopped: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Listen from now on for the client's silence."""
        super().connection_made(transport)
        self._clients.add(self)
        self._silence = self.events.call_later(SILENCE_S, self._end_if_silent)

    def _end_if_silent(self) -> None:
        if self._num_silences == SILENCES:
            logger.warning("a client has fallen silent; it is taken for gone")
            self.abort()
            return
        self._num_silences += 1
        self._silence = self.events.call_later(SILENCE_S, self._end_if_silent)

    def data_received(self, data: bytes) -> None:
        """Note that the client lives."""
        self._num_silences = 0
        super().data_received(data)

    def on_nonsense(self, error: ProtocolError) -> None:
        """End this connection, and say why to whoever understands it."""
        logger.warning("a client's connection is ended: %s", error)
        self.fail(CallError(Code.FAILED_PRECONDITION, f"The engine understood nothing: {error}."))

    def on_frame(self, frame: Frame) -> None:
        """Begin a call, or hand on what came for one."""
        kind, call_id, payload = frame
        if kind == Kind.MESSAGE:
            if call_id in self._streams:  # it may have ended meanwhile
                method, receiver = self._streams[call_id]
                receiver.on_message(read_message(method.request, payload))
        elif kind == Kind.CALL:
            self._begin(call_id, payload)
        elif kind == Kind.CANCEL:
            self._cancel(call_id)
        elif kind != Kind.ALIVE:
            raise ProtocolError(f"a frame of the unknown kind {kind}")

    # Calls.

    def _begin(self, call_id: int, payload: bytes) -> None:
        name, message = read_call(payload)
        if call_id in self._calls or call_id in self._streams:
            raise ProtocolError(f"the call {call_id} is still under way")
        method = METHODS.get(name)
        answer = None if method is None else getattr(self._servicer, name, None)
        if self._leaving:
            refusal = CallError(Code.UNAVAILABLE, "The engine leaves.")
            self.send(pack_error(call_id, refusal))
        elif method is None or answer is None:
            refusal = CallError(Code.UNIMPLEMENTED, f"This engine has no method {name[:100]!r}.")
            self.send(pack_error(call_id, refusal))
        elif method.streams:
            self._streams[call_id] = method, answer(Stream(self, call_id))
        else:
            request = read_message(method.request, message)
            self._calls[call_id] = self.events.create_task(self._answer(call_id, answer, request))

    async def _answer(
        self, call_id: int, answer: Callable[[Message], Awaitable[Message]], request: Message
    ) -> None:
        try:
            reply = pack(Kind.REPLY, call_id, (await answer(request)).SerializeToString())
        except CallError as error:
            reply = pack_error(call_id, error)
        except asyncio.CancelledError:
            if call_id not in self._calls:
                raise  # nobody waits for it any more
            reply = pack_error(call_id, CallError(Code.UNAVAILABLE, "The engine gave it up."))
        except Exception:
            logger.exception("a call failed")
            reply = pack_error(call_id, CallError(Code.INTERNAL, "The engine failed."))
        self._calls.pop(call_id, None)
        self.send(reply)
        self._finish_if_done()

    def _cancel(self, call_id: int) -> None:
        """Nobody waits for a call any more; it may have ended meanwhile."""
        call = self._calls.pop(call_id, None)
        if call is not None:
            call.cancel()
            self._finish_if_done()
        self.end_stream(call_id, b"")

    def end_stream(self, call_id: int, last: bytes) -> None:
        """Send the last frame of a stream and close it, unless it has ended."""
        ended = self._streams.pop(call_id, None)
        if ended is not None:
            self.send(last)
            ended[1].on_close()
            self._finish_if_done()

    # What the client reads.

    def pause_writing(self) -> None:
        """The client is behind: watch it."""
        super().pause_writing()
        self._watch()

    def _watch(self) -> None:
        self._stopped = self.events.call_later(STOPPED_S, self._end_if_stopped, self.num_sent)

    def _end_if_stopped(self, num_sent: int) -> None:
        if self.ending:
            return
        if self.num_sent > num_sent:
            self._watch()
            return
        logger.warning("a client stopped reading; its connection is ended")
        self.fail(CallError(Code.RESOURCE_EXHAUSTED, "The client stopped reading."))

    def resume_writing(self) -> None:
        """The client has caught up: its streams may go on."""
        super().resume_writing()
        if self._stopped is not None:
            self._stopped.cancel()
        for _, receiver in list(self._streams.values()):
            receiver.on_writable()

    # The end.

    def leave(self) -> None:
        """Begin no more calls, and end when those under way have."""
        self._leaving = True
        self._finish_if_done()

    def _finish_if_done(self) -> None:
        if self._leaving and not self._calls and not self._streams:
            self.finish()

    def fail(self, error: CallError) -> None:
        """End the connection, and with it everything that it carries."""
        self.finish(error)
        self._end_calls()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        self._clients.discard(self)
        for timer in (self._silence, self._stopped):
            if timer is not None:
                timer.cancel()
        self._end_calls()

    def _end_calls(self) -> None:
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.cancel()
        streams, self._streams = self._streams, {}
        for _, receiver in streams.values():
            receiver.on_close()


class Server:
    """Takes clients at one address, and answers them with one servicer.

    Its methods are those of the protocol, as far as it has them: `async def Name(self, request)`
    returns the reply or raises CallError, and `def Name(self, stream)` of a method that streams
    returns who receives.
    """

    def __init__(self, servicer: object) -> None:
        """Prepare; `start` does the rest."""
        self.clients: set[Client] = set()
        self._servicer = servicer
        self._listener: Listener | None = None

    async def start(self, address: str) -> str:
        """Listen; return the address. Errors as `listen`."""
        self._listener = await listen(address, lambda: Client(self._servicer, self.clients))
        return self._listener.address

    def fail(self, error: CallError) -> None:
        """End every connection with an error."""
        for client in list(self.clients):
            client.fail(error)

    async def stop(self, grace_s: float) -> None:
        """Take no more clients; give the calls under way so long to end."""
        if self._listener is not None:
            self._listener.close()
        for client in list(self.clients):
            client.leave()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._until_all_left()
        for client in list(self.clients):
            client.abort()
        await self._until_all_left()

    async def _until_all_left(self) -> None:
        while self.clients:  # noqa: ASYNC110  (it ends soon, and once in an engine's life)
            await asyncio.sleep(LEFT_POLL_S)
