"""One HTTP exchange of the API: its id and clock, who calls, and its body."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.exceptions import SynchronousOnlyOperation
from starlette.requests import Request
from starlette.responses import Response

from accounts.authentication import Caller, KeyRefused, authenticate_key
from accounts.models import Scope
from inference import service
from inference.api import errors as openai
from inference.api.anthropic import errors as anthropic
from inference.api.errors import from_json, json_response
from inference.database import ask_database
from inference.errors import ServiceError, invalid
from portal.lib import bodies, strict_json
from portal.lib.ids import new_id


@dataclass(slots=True)
class Exchange:
    """What the application knows of a request beside its content."""

    request_id: str = field(default_factory=lambda: new_id("req"))
    arrived: float = field(default_factory=time.monotonic)
    endpoint: str = "unknown"  # for the metrics
    started: bool = False  # the status line is out
    status: int = 0
    # What came, as long as somebody may want it kept.
    body: bytes = b""
    # A stream has begun, and its proper end was not sent (yet).
    broken_off: bool = False
    headers: dict[str, str] = field(default_factory=dict)  # to be added to the answer
    speaks_anthropic: bool = False  # which of the two APIs was called

    def envelope(self, error: ServiceError) -> dict[str, Any]:
        """An error in the words of the API that was called."""
        if self.speaks_anthropic:
            return anthropic.envelope(error, self.request_id)
        return openai.envelope(error)

    def refusal(self, error: ServiceError) -> Response:
        status = anthropic.status_of(error) if self.speaks_anthropic else error.status
        return json_response(self.envelope(error), status, error.headers)


def exchange_of(request: Request) -> Exchange:
    found = request.scope["exchange"]
    assert isinstance(found, Exchange)
    return found


async def authenticate(request: Request) -> Caller:
    """Who calls, also noted in the scope as "caller". Raises ServiceError (401, 403, 503)."""
    secret = _secret_of(request)
    try:
        remote_ip = request.client.host if request.client else ""
        caller = await _authenticate(secret, remote_ip)
    except KeyRefused as refusal:
        raise _unauthorized(refusal.message, refusal.code, refusal.status) from None
    request.scope["caller"] = caller
    return caller


async def admit(request: Request) -> Caller:
    """`authenticate`, and count it as a request that generates nothing. Also raises 429."""
    caller = await authenticate(request)
    allowance = await service.count(caller)
    exchange_of(request).headers |= allowance.headers()
    return caller


def _secret_of(request: Request) -> str:
    """The key in OpenAI's header, or in Anthropic's."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and secret.strip():
        return secret.strip()
    secret = request.headers.get("x-api-key", "").strip()
    if not secret:
        message = "No API key was sent."
        if scheme:
            message = "The header 'Authorization' does not hold 'Bearer' and a key."
        message += " Send it in the header 'Authorization: Bearer KEY' (or 'x-api-key: KEY')."
        raise _unauthorized(message, "invalid_api_key", 401)
    return secret


async def _authenticate(secret: str, remote_ip: str) -> Caller:
    """At once when the key is known or malformed; on a database thread when it must be read."""
    try:
        return authenticate_key(secret, remote_ip, Scope.INFERENCE)
    except SynchronousOnlyOperation:  # Django's guard, before anything was read
        return await ask_database(authenticate_key, secret, remote_ip, Scope.INFERENCE)


def _unauthorized(message: str, code: str, status: int) -> ServiceError:
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    return ServiceError(status, "invalid_request_error", code, message, None, headers)


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body of an authenticated request.

    Raises ServiceError (400, 408, 413, 415).
    """
    _check_content_type(request)
    raw = await read_body(request)
    if request.scope["caller"].keeps_bodies:
        exchange_of(request).body = raw
    try:
        return strict_json.parse_object(raw)
    except strict_json.StrictJSONError as error:
        raise from_json(error) from None


def _check_content_type(request: Request) -> None:
    kind = request.headers.get("content-type", "application/json").partition(";")[0]
    if kind.strip().lower() != "application/json":
        message = "The body must be JSON: send the header 'Content-Type: application/json'."
        raise invalid(message, "content-type", "invalid_content_type")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        message = "Compressed request bodies are not accepted."
        raise ServiceError(
            415, "invalid_request_error", "unsupported_encoding", message, "content-encoding"
        )


async def read_body(request: Request) -> bytes:
    """At most the allowed size, whatever the headers say about it. Raises ServiceError."""
    limit = settings.API_MAX_BODY_BYTES
    too_large = bodies.states_more_than(limit, request.headers.get("content-length", ""))
    body = bytearray()
    try:
        async with asyncio.timeout(bodies.TIMEOUT_S):
            async for chunk in bodies.chunks(request.receive):
                body += chunk
                if too_large or len(body) > limit:
                    await bodies.discard(request.receive)
                    raise _too_large(limit)
    except TimeoutError:
        message = "The request's body did not arrive in time."
        raise ServiceError(408, "invalid_request_error", "request_timeout", message) from None
    return bytes(body)


def _too_large(limit: int) -> ServiceError:
    message = f"The request's body is larger than {limit:,} bytes."
    headers = {"connection": "close"}
    return ServiceError(413, "invalid_request_error", "body_too_large", message, None, headers)
