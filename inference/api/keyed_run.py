"""A request with an Idempotency-Key on its way to its end, whether or not its client waits.

It runs in a task of its own, which a hang-up does not stop: its client is expected to come back.
What is sent waits for the client, and is gathered to be kept; each of the two is bounded by
REPLAY_MAX_BYTES. An answer beyond that is for the client that is there: it sets the pace, and when
it goes the generation stops.
"""

import asyncio
from collections import deque

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from inference.api.answers import hang_up
from inference.api.exchange import exchange_of
from inference.api.recording import Endpoint
from inference.api.streams import STALLED_CLIENT_S
from inference.errors import ServiceError
from inference.log import replays
from inference.log.replays import Answer, Ours
from portal.lib.db import db

logger = structlog.get_logger(__name__)

# What is repeated of the first answer's head; limits and balances of then mean nothing later.
REPEATED_HEADERS = (
    "content-type", "cache-control", "x-accel-buffering", "x-request-id", "request-id",
    "x-request-cost", "x-ignored-fields",
)  # fmt: skip
# What may wait for a slow client once its answer is too large to be kept.
MAX_WAITING_BYTES = 64 * 1024
CLOSE_PAUSES_S = (0.0, 0.2, 1.0, 3.0)

_running: set[asyncio.Task[None]] = set()


async def drain(timeout_s: float) -> None:
    """Let what has ended be stored; to be awaited before the event loop ends."""
    if _running:
        await asyncio.wait(list(_running), timeout=timeout_s)


class KeyedRun:
    """See the module. `start` it once; it answers through the response that this gives."""

    def __init__(self, request: Request, body: bytes, endpoint: Endpoint, ours: Ours) -> None:
        self.scope = request.scope
        self.exchange = exchange_of(request)
        self.endpoint = endpoint
        self.ours = ours
        self.error: Exception | None = None
        self._body: bytes | None = body  # until it was read
        self._abandoned = asyncio.Event()
        # For the client.
        self._attached = True
        self._done = False
        self._waiting: deque[Message] = deque()
        self._num_waiting_bytes = 0
        self._changed = asyncio.Event()
        # To be kept.
        self._status = 0
        self._headers: dict[str, str] = {}
        self._kept = bytearray()
        self._too_large = False

    def start(self) -> Response:
        task = asyncio.create_task(self._run(), name=f"keyed {self.ours.asked.request_id}")
        _running.add(task)
        task.add_done_callback(_running.discard)
        return _Attached(self)

    async def _run(self) -> None:
        renewing = asyncio.create_task(self._renew())
        try:
            response = await self.endpoint(Request(self.scope, self._receive))
            await response(self.scope, self._receive, self._send)
        except Exception as error:
            self.error = error
            if not self._attached and not isinstance(error, ServiceError):
                logger.exception("a request with a key crashed")
        finally:
            renewing.cancel()
            await self._close()
            self._done = True
            self._changed.set()

    async def _renew(self) -> None:
        """Vouch for the row; when somebody else has taken over, this run has to end."""
        while True:
            await asyncio.sleep(settings.HOLD_RENEW_S)
            try:
                if not await db(replays.renew, self.ours):
                    self._abandoned.set()
                    return
            except DatabaseError as error:
                logger.error("a key's lease was not renewed", error=type(error).__name__)

    async def _close(self) -> None:
        """Tell the row how it ended; the database may be away for a moment."""
        for pause_s in CLOSE_PAUSES_S:
            await asyncio.sleep(pause_s)
            try:
                await db(self._note_end)
                return
            except DatabaseError as error:
                logger.error("a key's end was not noted", error=type(error).__name__)
        # Its lease ends, and the next try is a real one.

    def _note_end(self) -> None:
        """Keep a whole answer; forget a key that got none, so that the next try is a real one."""
        if self.error is not None or self._status != 200 or self.exchange.broken_off:
            replays.release(self.ours)
        elif self._too_large:
            replays.keep_too_large(self.ours)
        else:
            replays.keep(self.ours, Answer(self._headers, bytes(self._kept)))

    # --- What the endpoint calls -----------------------------------------------------------------

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._abandoned.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            sent = dict(Headers(raw=message["headers"])) | self.exchange.headers
            self._headers = {name: sent[name] for name in REPEATED_HEADERS if name in sent}
        else:
            self._gather(message.get("body", b""))
        if self._attached:
            self._waiting.append(message)
            self._num_waiting_bytes += len(message.get("body", b""))
            self._changed.set()
        while self._too_large and self._attached and self._num_waiting_bytes > MAX_WAITING_BYTES:
            self._changed.clear()
            await self._changed.wait()
        if self._too_large and not self._attached:
            self._abandoned.set()

    def _gather(self, part: bytes) -> None:
        if len(self._kept) + len(part) > settings.REPLAY_MAX_BYTES:
            self._too_large = True
            self._kept.clear()
        if not self._too_large:
            self._kept += part

    # --- What the client's side calls ------------------------------------------------------------

    async def next(self) -> Message | None:
        """The next message; None at the end, or when the client is gone."""
        while not self._waiting:
            if self._done or not self._attached:
                return None
            self._changed.clear()
            await self._changed.wait()
        message = self._waiting.popleft()
        self._num_waiting_bytes -= len(message.get("body", b""))
        self._changed.set()
        return message

    def detach(self) -> None:
        """The client is gone; nothing waits for it any more."""
        self._attached = False
        self._waiting.clear()
        self._num_waiting_bytes = 0
        self._changed.set()


class _Attached(Response):
    """Sends what a run sends, as long as the client takes it."""

    def __init__(self, run: KeyedRun) -> None:
        self.run = run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watcher = asyncio.create_task(self._detach_on_hang_up(receive))
        try:
            while (message := await self.run.next()) is not None:
                async with asyncio.timeout(STALLED_CLIENT_S):
                    await send(message)
        finally:
            watcher.cancel()
            self.run.detach()
        if self.run.error is not None:
            raise self.run.error

    async def _detach_on_hang_up(self, receive: Receive) -> None:
        await hang_up(receive)
        self.run.detach()
