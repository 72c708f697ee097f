"""`POST /v1/messages` and `/v1/messages/count_tokens`, in Anthropic's shape."""

import re

from starlette.requests import Request
from starlette.responses import Response

from inference import service
from inference.api import answers
from inference.api.anthropic.body import MessagesBody, PromptBody
from inference.api.anthropic.events import Answer
from inference.api.bodies import MESSAGES_UNSUPPORTED, parse
from inference.api.errors import json_response
from inference.api.exchange import Exchange, authenticate, exchange_of, read_object
from inference.api.streams import EventStream, typed
from inference.errors import ServiceError, invalid
from inference.spec import Summary, TextDelta

# The first version with the events that are sent here; later ones take no less and send no more.
FIRST_VERSION = "2023-06-01"


async def create(request: Request) -> Response:
    exchange = exchange_of(request)
    exchange.endpoint = "messages"
    await authenticate(request)
    _check_version(request)
    body = parse(MessagesBody, await read_object(request), MESSAGES_UNSUPPORTED)
    generation = await answers.begin(request, body.to_spec(), body)
    answer = Answer(generation)
    if body.stream:
        return EventStream(generation, _Events(answer, exchange))
    deltas, summary = await answers.collect(request, generation)
    if summary is None:
        return answers.client_gone()
    for delta in deltas:
        for _event in answer.take(delta):
            pass  # nobody listens
    return Response(answer.whole(summary), media_type="application/json")


class _Events:
    """The message as a stream."""

    def __init__(self, answer: Answer, exchange: Exchange) -> None:
        self._answer = answer
        self._exchange = exchange

    def begin(self) -> bytes:
        return typed(self._answer.begin())

    def take(self, delta: TextDelta) -> bytes:
        return typed(self._answer.take(delta))

    async def end(self, summary: Summary) -> bytes:
        return typed(self._answer.end(summary))

    def failed(self, error: ServiceError) -> bytes:
        return typed([self._exchange.envelope(error)])


async def count_tokens(request: Request) -> Response:
    """What the prompt of such a message would be billed as; free."""
    exchange = exchange_of(request)
    exchange.endpoint = "messages.count_tokens"
    caller = await authenticate(request)
    _check_version(request)
    body = parse(PromptBody, await read_object(request), MESSAGES_UNSUPPORTED)
    prompt, _ = body.prompt()
    answers.note_ignored(exchange, body)
    _entry, encoded, allowance = await service.tokenize(
        body.model, prompt, caller, with_tokens=False, add_generation_prompt=True
    )
    exchange.headers |= allowance.headers()
    return json_response({"input_tokens": len(encoded.token_ids)})


def _check_version(request: Request) -> None:
    """The header may be left out: nothing here depends on it."""
    version = request.headers.get("anthropic-version", FIRST_VERSION)
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", version, re.ASCII) or version < FIRST_VERSION:
        message = f"'anthropic-version' must be {FIRST_VERSION} or a later date."
        raise invalid(message, "anthropic-version", "unsupported_version")
