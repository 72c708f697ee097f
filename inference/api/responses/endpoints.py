"""`POST /v1/responses`, the counting of its input, and the responses that are stored.

Stored are those of organisations that keep bodies, unless a request says `store: false`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import Error as DatabaseError
from starlette.requests import Request
from starlette.responses import Response

from accounts.authentication import Caller
from inference import service
from inference.api import answers
from inference.api.bodies import RESPONSES_UNSUPPORTED, parse
from inference.api.errors import json_response
from inference.api.exchange import admit, authenticate, exchange_of, read_object
from inference.api.responses.body import ResponsesBody
from inference.api.responses.events import Answer, grow
from inference.api.responses.items import InputItem, read_input
from inference.api.streams import EventStream, typed
from inference.database import ask_database
from inference.errors import ServiceError, invalid
from inference.generation import Generation
from inference.log import responses as log
from inference.log.responses import Stored
from inference.spec import Summary, TextDelta
from portal.lib.db import db

logger = structlog.get_logger(__name__)

MAX_LISTED = 100
_ID = re.compile(r"resp_[0-9A-Za-z]{1,35}")
NOT_STORED = (
    "There is no stored response with this id. Responses are stored for organisations that keep "
    "requests and answers (Settings in the portal turns it on), as long as they keep them, and "
    "where they are no larger than a request; else send the whole conversation in 'input'."
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """`before` are the listed items of the response that this one goes on from."""

    body: ResponsesBody
    before: list[dict[str, Any]]
    items: list[InputItem]  # those before, and those of the request

    def ignored(self, caller: Caller) -> Iterator[str]:
        """What changes nothing, beside the fields of the body."""
        if self.body.store and not caller.keeps_bodies:
            yield "store"
        for place, item in enumerate(self.items[len(self.before) :]):
            for field in item.ignored_fields():
                yield f"input[{place}].{field}"

    def listed(self) -> list[dict[str, Any]]:
        """The items with ids of their own, as they are stored."""
        return self.before + [item.listed() for item in self.items[len(self.before) :]]


async def create(request: Request) -> Response:
    exchange_of(request).endpoint = "responses"
    caller = await authenticate(request)
    asked = await _read(request, caller)
    body = asked.body
    spec = body.to_spec(asked.items, len(asked.before))
    generation = await answers.begin(request, spec, body, asked.ignored(caller))
    answer = Answer(generation, body, stored=caller.keeps_bodies and body.store is not False)
    if body.stream:
        return EventStream(generation, _Events(generation, answer, asked))
    deltas, summary = await answers.collect(request, generation)
    if summary is None:
        return answers.client_gone()
    grow(answer, deltas)
    await _store(generation, answer, asked, summary)
    return json_response(answer.whole(summary))


async def _read(request: Request, caller: Caller) -> _Asked:
    body = parse(ResponsesBody, await read_object(request), RESPONSES_UNSUPPORTED)
    items = read_input(body.input)
    if body.previous_response_id is None:
        return _Asked(body, [], items)
    previous = await _find(caller, body.previous_response_id)
    if previous is None:
        raise invalid(NOT_STORED, "previous_response_id", "previous_response_not_found")
    before = previous.items + previous.response["output"]
    return _Asked(body, before, read_input(before) + items)


async def _find(caller: Caller, response_id: str) -> Stored | None:
    return await ask_database(log.read, caller.organisation_id, response_id)


async def _store(generation: Generation, answer: Answer, asked: _Asked, summary: Summary) -> None:
    """Before its end is sent, so that who has it can read it. It says so where it is not."""
    if not answer.stored:
        return
    stored = Stored(answer.whole(summary), asked.listed())
    try:
        answer.stored = await db(log.keep, generation.caller.organisation_id, stored)
    except DatabaseError as error:
        logger.error("a response was not stored", error=type(error).__name__)
        answer.stored = False


class _Events:
    """The response as a stream: it is stored before its end is told."""

    def __init__(self, generation: Generation, answer: Answer, asked: _Asked) -> None:
        self._generation = generation
        self._answer = answer
        self._asked = asked

    def begin(self) -> bytes:
        return typed(self._answer.begin())

    def take(self, delta: TextDelta) -> bytes:
        return typed(self._answer.take(delta))

    async def end(self, summary: Summary) -> bytes:
        await _store(self._generation, self._answer, self._asked, summary)
        return typed([self._answer.end(summary)])

    def failed(self, error: ServiceError) -> bytes:
        return typed([self._answer.failed(error)])


async def count_input(request: Request) -> Response:
    """How many tokens the input of such a request would have: what is billed; free."""
    exchange = exchange_of(request)
    exchange.endpoint = "responses.input_tokens"
    caller = await authenticate(request)
    asked = await _read(request, caller)
    prompt, _ = asked.body.prompt(asked.items, len(asked.before))
    answers.note_ignored(exchange, asked.body, asked.ignored(caller))
    _entry, encoded, allowance = await service.tokenize(
        asked.body.model, prompt, caller, with_tokens=False, add_generation_prompt=True
    )
    exchange.headers |= allowance.headers()
    return json_response(
        {"object": "response.input_tokens", "input_tokens": len(encoded.token_ids)}
    )


# --- Stored responses ---------------------------------------------------------------------------


async def one(request: Request) -> Response:
    return await (_delete if request.method == "DELETE" else _retrieve)(request)


async def _retrieve(request: Request) -> Response:
    if request.query_params.get("stream", "false") != "false":
        await admit(request)
        message = "'stream' is not supported here: a stored response is whole."
        raise invalid(message, "stream", "unsupported_parameter")
    return json_response((await _stored(request)).response)


async def _delete(request: Request) -> Response:
    exchange_of(request).endpoint = "responses"
    caller = await admit(request)
    response_id = _id_in(request)
    if not await ask_database(log.forget, caller.organisation_id, response_id):
        raise _not_found()
    return json_response({"id": response_id, "object": "response", "deleted": True})


async def list_input(request: Request) -> Response:
    """The items that the model had been given, newest first unless `order=asc`."""
    items = (await _stored(request)).items
    query = request.query_params
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise invalid("'order' is 'asc' or 'desc'.", "order", "invalid_value")
    if order == "desc":
        items = items[::-1]
    if "after" in query:
        places = [place for place, item in enumerate(items) if item["id"] == query["after"]]
        if not places:
            raise invalid("'after' is not the id of an item here.", "after", "invalid_value")
        items = items[places[0] + 1 :]
    limit = _read_limit(query.get("limit", "20"))
    page = items[:limit]
    return json_response(
        {
            "object": "list",
            "data": page,
            "has_more": len(items) > limit,
            "first_id": page[0]["id"] if page else "",
            "last_id": page[-1]["id"] if page else "",
        }
    )


def _read_limit(text: str) -> int:
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
    if not 1 <= limit <= MAX_LISTED:
        raise invalid(f"'limit' is a number from 1 to {MAX_LISTED}.", "limit", "invalid_value")
    return limit


async def _stored(request: Request) -> Stored:
    """The response of the address. Raises ServiceError (404) also for somebody else's."""
    exchange_of(request).endpoint = "responses"
    caller = await admit(request)
    stored = await _find(caller, _id_in(request))
    if stored is None:
        raise _not_found()
    return stored


def _id_in(request: Request) -> str:
    """Of the address, which may hold what no database takes. Raises ServiceError (404)."""
    response_id: str = request.path_params["id"]
    if not _ID.fullmatch(response_id):
        raise _not_found()
    return response_id


def _not_found() -> ServiceError:
    return ServiceError(404, "invalid_request_error", "response_not_found", NOT_STORED)
