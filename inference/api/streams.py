"""Sends the answer of a generation as a stream of server-sent events.

The events are sent by a task of their own. A task that goes on runs through everything that awaits
it, and above an endpoint that is the whole application: one that is woken for every token is kept
short. What stays above waits for its end, for the client's hang-up, and for a client that stalls.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import structlog
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from inference import errors, service
from inference.api.answers import cancelled_on_hang_up
from inference.api.errors import encode
from inference.api.exchange import Exchange
from inference.errors import ServiceError
from inference.generation import Generation
from inference.spec import Summary, TextDelta
from portal.lib import sse

logger = structlog.get_logger(__name__)

# A client that takes nothing for this long is given up.
STALLED_CLIENT_S = 30.0
# How long the status line waits for the first token, so that an early failure gets a real status.
FIRST_TOKEN_WAIT_S = 10.0


class Told(Protocol):
    """What an API says of an answer, in events; nothing is said by no bytes."""

    def begin(self) -> bytes:
        """Before its first token."""
        ...

    def take(self, delta: TextDelta) -> bytes:
        """What a delta adds."""
        ...

    async def end(self, summary: Summary) -> bytes:
        """When it has finished: the last there is."""
        ...

    def failed(self, error: ServiceError) -> bytes:
        """The last instead, when it broke off."""
        ...


def untyped(chunks: Iterable[dict[str, Any]]) -> bytes:
    return b"".join([sse.event(encode(chunk)) for chunk in chunks])


def typed(events: Iterable[dict[str, Any]]) -> bytes:
    """Events that are named by their `type`."""
    return b"".join([sse.event(encode(event), event["type"]) for event in events])


class Blanks:
    """Events that are written once for each choice, but for their text: most of a stream are."""

    _TEXT = "\0"  # which stands nowhere else in an object

    def __init__(self) -> None:
        self._around: dict[int, list[bytes]] = {}

    def filled(self, chunk: Callable[[int, str], dict[str, Any]], index: int, text: str) -> bytes:
        """What `untyped` would write of the object that `chunk` makes of a choice and a text."""
        around = self._around.get(index)
        if around is None:
            written = untyped([chunk(index, self._TEXT)])
            around = self._around[index] = written.split(encode(self._TEXT))
        before, after = around
        return before + encode(text) + after


class EventStream(Response):
    """A failure before the first token has a real status, one after it is an event."""

    def __init__(self, generation: Generation, told: Told) -> None:
        self.generation = generation
        self.told = told
        # Not Response's own: that would promise a length.
        self.raw_headers = [(k.encode(), v.encode()) for k, v in sse.HEADERS.items()]
        self.last_sent = time.monotonic()
        self.sending_since: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with cancelled_on_hang_up(receive, self.generation):
            sending = asyncio.create_task(self._send_all(send, scope["exchange"]))
            try:
                period_s = min(sse.KEEP_ALIVE_S, STALLED_CLIENT_S) / 3
                while not (await asyncio.wait([sending], timeout=period_s))[0]:
                    await self._look_after(send, scope["exchange"])
                sending.result()
            finally:
                sending.cancel()

    async def _send_all(self, send: Send, exchange: Exchange) -> None:
        generation, told = self.generation, self.told
        await generation.begun(FIRST_TOKEN_WAIT_S)
        if generation.error is not None and not generation.output_tokens:
            raise generation.error  # a real status: nothing was sent yet
        exchange.broken_off = True
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await self._send(send, head)
        if begun := told.begin():
            await self._send(send, _body(begun))
        try:
            last = await self._send_deltas(send)
        except ServiceError as error:
            last = told.failed(error)
        else:
            exchange.broken_off = generation.outcome != "finished"
        await self._send(send, _body(last, more=False))

    async def _send_deltas(self, send: Send) -> bytes:
        """Send what comes; return what is to be said last. ServiceError when it breaks off."""
        async for event in service.stream(self.generation):
            if isinstance(event, Summary):
                return await self.told.end(event) if event.outcome == "finished" else b""
            if data := self._take(event):
                await self._send(send, _body(data))
        raise AssertionError("a stream ends with its summary")

    def _take(self, delta: TextDelta) -> bytes:
        try:
            return self.told.take(delta)
        except Exception:
            logger.exception("a stream crashed", request_id=self.generation.request_id)
            crash = errors.crashed(self.generation.request_id)
            self.generation.end("failed", crash)  # which says that it is free
            raise crash from None

    async def _send(self, send: Send, message: Message) -> None:
        """Send, and let it be seen for how long.

        A timer for each chunk would cost a tenth of what sending it does.
        """
        self.sending_since = time.monotonic()
        await send(message)
        self.last_sent, self.sending_since = self.sending_since, None

    async def _look_after(self, send: Send, exchange: Exchange) -> None:
        """Keep a quiet connection alive. TimeoutError when the client takes nothing."""
        now = time.monotonic()
        if self.sending_since is not None:
            if now - self.sending_since > STALLED_CLIENT_S:
                raise TimeoutError
        elif exchange.started and now - self.last_sent >= sse.KEEP_ALIVE_S:
            self.last_sent = now
            async with asyncio.timeout(STALLED_CLIENT_S):
                await send(_body(sse.KEEP_ALIVE))


def _body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}
