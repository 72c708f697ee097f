"""Keeps the bodies of requests and answers, for organisations that want them kept.

Wraps an endpoint that generates. For everybody else it is one look at the caller. Only what was
accepted is kept: what was refused has no usage record it could belong to.
"""

from collections.abc import Awaitable, Callable

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from inference.api.errors import encode
from inference.api.exchange import exchange_of
from inference.errors import ServiceError
from inference.log import bodies
from inference.log.bodies import Bodies
from portal.lib.db import db

logger = structlog.get_logger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]


def recorded(endpoint: Endpoint) -> Endpoint:
    """The endpoint, with what it takes and sends kept for those who want it.

    It has to put its caller into the scope before it reads the body.
    """

    async def answer(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except ServiceError as error:
            if error.summary is not None and request.scope["caller"].keeps_bodies:
                told = exchange_of(request).envelope(error)
                await _keep(request, _Seen.whole(encode(told)))
            raise
        if not request.scope["caller"].keeps_bodies:
            return response
        return _Recorded(request, response)

    return answer


class _Seen:
    """What has been sent: as much of it as is kept, and how much it was."""

    def __init__(self) -> None:
        self.text = bytearray()
        self.num_bytes = 0

    @classmethod
    def whole(cls, text: bytes) -> "_Seen":
        seen = cls()
        seen.add(text)
        return seen

    def add(self, part: bytes) -> None:
        self.num_bytes += len(part)
        room = settings.KEPT_BODY_MAX_BYTES - len(self.text)
        if room > 0:
            self.text += part[:room]


class _Recorded(Response):
    """Sends a response and keeps it: before its end is sent, so that who has it can read it."""

    def __init__(self, request: Request, response: Response) -> None:
        self.request = request
        self.response = response
        self.seen = _Seen()
        self.kept = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.body":
                self.seen.add(message.get("body", b""))
                if not message.get("more_body", False):
                    await self._keep_once()
            await send(message)

        try:
            await self.response(scope, receive, watched)
        except ServiceError as error:  # instead of a first byte: what is sent is its envelope
            self.seen.add(encode(scope["exchange"].envelope(error)))
            raise
        finally:
            await self._keep_once()

    async def _keep_once(self) -> None:
        if not self.kept:
            self.kept = True
            await _keep(self.request, self.seen)


async def _keep(request: Request, seen: _Seen) -> None:
    """A log that cannot be written is no reason to keep an answer back."""
    exchange = exchange_of(request)
    asked = exchange.body[: settings.KEPT_BODY_MAX_BYTES]
    whole = Bodies(asked, bytes(seen.text), len(exchange.body), seen.num_bytes)
    organisation_id = request.scope["caller"].organisation_id
    try:
        await db(bodies.keep, organisation_id, exchange.request_id, whole)
    except DatabaseError as error:
        logger.error("bodies were not kept", error=type(error).__name__)
