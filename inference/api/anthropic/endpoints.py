"""`POST /v1/messages` and `/v1/messages/count_tokens`, in Anthropic's shape."""

import re
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from inference import service
from inference.api import answers
from inference.api.anthropic.body import MessagesBody, PromptBody
from inference.api.anthropic.events import Answer
from inference.api.bodies import MESSAGES_UNSUPPORTED, parse
from inference.api.errors import json_response
from inference.api.exchange import authenticate, exchange_of, read_object
from inference.errors import invalid
from inference.generation import Generation
from inference.spec import Summary

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
        form = answers.StreamForm(failure=exchange.envelope, typed=True)
        return answers.EventStream(generation, _events(generation, answer), form)
    deltas, summary = await answers.collect(request, generation)
    if summary is None:
        return answers.client_gone()
    for delta in deltas:
        for _event in answer.take(delta):
            pass  # nobody listens
    return json_response(answer.whole(summary))


async def _events(generation: Generation, answer: Answer) -> AsyncIterator[dict[str, Any]]:
    for event in answer.begin():
        yield event
    async for told in service.stream(generation):
        if isinstance(told, Summary):
            if told.outcome == "finished":
                for event in answer.end(told):
                    yield event
            return
        for event in answer.take(told):
            yield event


async def count_tokens(request: Request) -> Response:
    """What the prompt of such a message would be billed as; free."""
    exchange = exchange_of(request)
    exchange.endpoint = "messages.count_tokens"
    caller = await authenticate(request)
    _check_version(request)
    body = parse(PromptBody, await read_object(request), MESSAGES_UNSUPPORTED)
    prompt, _ = body.prompt()
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
