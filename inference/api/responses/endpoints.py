"""`POST /v1/responses` and what stands below it."""

from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from inference import service
from inference.api import answers
from inference.api.bodies import RESPONSES_UNSUPPORTED, parse
from inference.api.errors import json_response
from inference.api.exchange import authenticate, exchange_of, read_object
from inference.api.responses.body import ResponsesBody
from inference.api.responses.events import Answer, grow
from inference.api.responses.items import Item, read_input
from inference.errors import ServiceError, invalid
from inference.generation import Generation
from inference.spec import Summary

NOT_KEPT = (
    "Responses are stored only for organisations that keep requests and answers (Settings in the "
    "portal), and no longer than they keep them. Without that, send the whole conversation in "
    "'input'."
)


async def create(request: Request) -> Response:
    exchange_of(request).endpoint = "responses"
    await authenticate(request)
    body, items, first = await _read(request)
    generation = await answers.begin(request, body.to_spec(items, first), body)
    answer = Answer(generation, body, stored=False)
    if body.stream:
        form = answers.StreamForm(failure=answer.failed, typed=True)
        return answers.EventStream(generation, _events(generation, answer), form)
    deltas, summary = await answers.collect(request, generation)
    if summary is None:
        return answers.client_gone()
    grow(answer, deltas)
    return json_response(answer.whole(summary))


async def _events(generation: Generation, answer: Answer) -> AsyncIterator[dict[str, Any]]:
    for event in answer.begin():
        yield event
    async for told in service.stream(generation):
        if isinstance(told, Summary):
            if told.outcome == "finished":
                yield answer.end(told)
            return
        for event in answer.take(told):
            yield event


async def count_input(request: Request) -> Response:
    """How many tokens the input of such a request would have: what is billed; free."""
    exchange = exchange_of(request)
    exchange.endpoint = "responses.input_tokens"
    caller = await authenticate(request)
    body, items, first = await _read(request)
    prompt, _ = body.prompt(items, first)
    _entry, encoded, allowance = await service.tokenize(
        body.model, prompt, caller, with_tokens=False, add_generation_prompt=True
    )
    exchange.headers |= allowance.headers()
    return json_response(
        {"object": "response.input_tokens", "input_tokens": len(encoded.token_ids)}
    )


async def _read(request: Request) -> tuple[ResponsesBody, list[Item], int]:
    """The body, the items of the conversation, and which of them is the first of this request."""
    body = parse(ResponsesBody, await read_object(request), RESPONSES_UNSUPPORTED)
    if body.previous_response_id is not None:
        message = f"There is no stored response {body.previous_response_id!r}. {NOT_KEPT}"
        raise invalid(message, "previous_response_id", "previous_response_not_found")
    return body, read_input(body.input), 0


async def one(request: Request) -> Response:
    """A stored response, or its deletion."""
    exchange_of(request).endpoint = "responses"
    await authenticate(request)
    message = f"There is no stored response {request.path_params['id'][:100]!r}. {NOT_KEPT}"
    raise ServiceError(404, "invalid_request_error", "response_not_found", message)
