"""`Idempotency-Key`: a request that is sent again gets the first answer, and is charged once.

Wraps an endpoint that generates. Without the header it is one look at the headers. With it, the
first request runs to its end even when its client goes (`inference.api.keyed_run`). Who comes while
it runs waits for its end, in whichever web process (`inference.api.keyed_wait`); who comes after it
gets the stored answer (`inference.log.replays`), a stream as one burst.
"""

import asyncio

from django.conf import settings
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from inference import catalog, service
from inference.api.answers import hang_up
from inference.api.engines import with_engine
from inference.api.exchange import Exchange, authenticate, exchange_of, read_body
from inference.api.keyed_run import KeyedRun
from inference.api.keyed_wait import HEADER, waiting
from inference.api.recording import Endpoint
from inference.database import ask_database
from inference.errors import ServiceError, invalid
from inference.log import replays
from inference.log.replays import Answer, Found, Ours
from portal.lib import strict_json

MAX_KEY_CHARS = 255


def idempotent(endpoint: Endpoint) -> Endpoint:
    """The endpoint, run once for every key."""

    async def answer(request: Request) -> Response:
        key = request.headers.get(HEADER)
        if key is None:
            return await endpoint(request)
        return await _answer_once(request, key, endpoint)

    return answer


async def _answer_once(request: Request, key: str, endpoint: Endpoint) -> Response:
    _check(key)
    caller = await authenticate(request)
    body = await read_body(request)
    await _check_model(request, body)
    exchange = exchange_of(request)
    asked = replays.asked(caller.organisation_id, key, request.url.path, body, exchange.request_id)
    found = await _claim(request, asked)
    if isinstance(found, Ours):
        return KeyedRun(request, body, endpoint, found).start()
    exchange.endpoint = "replay"
    allowance = await service.count(caller)  # what is ours counts where it generates
    exchange.headers |= allowance.headers()
    if isinstance(found, Answer):
        return _replayed(exchange, found)
    if isinstance(found, replays.NotKept):
        raise _not_kept(found.request_id)
    raise _other_body()


def _check(key: str) -> None:
    if not (0 < len(key) <= MAX_KEY_CHARS and key.isascii() and key.isprintable()):
        message = f"'{HEADER}' is 1 to {MAX_KEY_CHARS} printable ASCII characters."
        raise invalid(message, HEADER, "invalid_idempotency_key")


async def _check_model(request: Request, body: bytes) -> None:
    """A key for some models alone gets no answer that a colleague's key had from another one.

    What no endpoint would take was never answered. Raises ServiceError (403, 404).
    """
    caller = request.scope["caller"]
    if not caller.allowed_models:
        return
    try:
        model = (await with_engine(request, strict_json.parse_object(body))).get("model")
    except strict_json.StrictJSONError:
        return
    if isinstance(model, str):
        await catalog.refresh()
        catalog.resolve(model, caller)


async def _claim(request: Request, asked: replays.Asked) -> Found:
    """What there is for the key, once nobody runs it; ours, when we have to."""
    gone = asyncio.create_task(hang_up(request.receive))
    try:
        while isinstance(found := await ask_database(replays.claim, asked), replays.Running):
            with waiting(asked) as ended:
                await asyncio.wait([gone, ended], return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise ClientDisconnect
    finally:
        gone.cancel()
    return found


def _replayed(exchange: Exchange, answer: Answer) -> Response:
    # By the exchange, whose headers are the last word: the id is the first request's.
    exchange.headers |= {**answer.headers, "idempotent-replayed": "true"}
    return Response(answer.body)


def _other_body() -> ServiceError:
    message = (
        f"This '{HEADER}' was used in the last 24 hours for a request with another body or "
        "address. Take a new key for a new request."
    )
    return ServiceError(422, "invalid_request_error", "idempotency_key_reused", message, HEADER)


def _not_kept(request_id: str) -> ServiceError:
    message = (
        f"This '{HEADER}' was answered by {request_id}, but the answer was not kept: it was larger "
        f"than {settings.REPLAY_MAX_BYTES:,} bytes, or sealed with a key that is gone. Take a new "
        "key to generate it anew."
    )
    headers = {"x-should-retry": "false"}
    return ServiceError(
        409, "invalid_request_error", "idempotent_answer_not_kept", message, HEADER, headers
    )
