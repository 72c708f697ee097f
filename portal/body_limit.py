"""Bounds what the Django side reads of a body.

Django's ASGI handler writes the whole body to a temporary file before it looks at the request: a
body that never ends, or comes in drops, would fill the disk or wait for ever.
"""

import asyncio
import contextlib

from django.conf import settings
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portal.lib import bodies
from portal.lib.rest_errors import envelope


class _Refused(Exception):  # noqa: N818  says what became of the body
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class BodyLimit:
    """413 for more than DATA_UPLOAD_MAX_MEMORY_SIZE, 408 for what does not arrive in time."""

    def __init__(self, application: ASGIApp) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0
        stated = Headers(scope=scope).get("content-length", "")
        try:
            if bodies.states_more_than(limit, stated):
                raise _too_large()
            await self.application(scope, _bounded(receive, limit), send)
        except _Refused as refused:  # while the body was read: nothing has been answered yet
            with contextlib.suppress(ClientDisconnect):
                await bodies.discard(receive)
                headers = {"connection": "close"}
                body = envelope(refused.status, refused.message, refused.code)
                answer = JSONResponse(body, refused.status, headers)
                await answer(scope, receive, send)


def _bounded(receive: Receive, limit: int) -> Receive:
    """Counts the body; what comes after it, a disconnect, may take as long as it likes."""
    deadline = asyncio.get_running_loop().time() + bodies.TIMEOUT_S
    taken = 0
    complete = False

    async def bounded() -> Message:
        nonlocal taken, complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise _Refused(408, "request_timeout", "The body did not arrive in time.") from None
        taken += len(message.get("body", b""))
        complete = not message.get("more_body", False)
        if taken > limit:
            raise _too_large()
        return message

    return bounded


def _too_large() -> _Refused:
    return _Refused(413, "body_too_large", "The body is too large.")
