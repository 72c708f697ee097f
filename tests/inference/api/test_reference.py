"""What the endpoints answer is what their description promises."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from inference.api.reference import COMPLETION_EXAMPLE, OPERATIONS, Operation
from inference.api.shapes import Error, LoggedRequest
from tests.inference.conftest import Books

pytestmark = pytest.mark.usefixtures("encoders")
WITH_BODY = [(path, op) for (_m, path), op in OPERATIONS.items() if op.body is not None]
READ = [(path, op) for (_m, path), op in OPERATIONS.items() if not op.body and "{id}" not in path]
MORE: Mapping[str, dict[str, Any]] = {
    "create_chat_completion": {"logprobs": True, "top_logprobs": 2, "n": 2},
    "create_completion": {"logprobs": 2, "echo": True},
    "tokenize": {"return_token_strs": True},
}


def address(path: str) -> str:
    engine = "vectors" if path.endswith("/embeddings") else "starter"
    return path.replace("{model:path}", "starter").replace("{engine:path}", engine)


def check(model: type[BaseModel], answer: Any) -> None:
    model.model_validate(answer, strict=True)


@pytest.mark.parametrize(("path", "operation"), WITH_BODY, ids=str)
async def test_an_example_is_answered_as_promised(
    path: str, operation: Operation, api: httpx.AsyncClient
) -> None:
    for more in ({}, MORE.get(operation.operation_id, {})):
        answer = await api.post(address(path), json={**(operation.example or {}), **more})
        assert answer.status_code == 200, answer.text
        check(operation.answer, answer.json())


@pytest.mark.parametrize(("path", "operation"), READ, ids=str)
async def test_what_is_read_is_as_promised(
    path: str, operation: Operation, api: httpx.AsyncClient
) -> None:
    check(operation.answer, (await api.get(address(path))).json())


@pytest.mark.parametrize(
    ("path", "operation"), [(p, op) for p, op in WITH_BODY if op.chunk is not None], ids=str
)
async def test_events_of_a_stream_are_as_promised(
    path: str, operation: Operation, api: httpx.AsyncClient
) -> None:
    assert operation.chunk is not None
    body = {**(operation.example or {}), "stream": True, "stream_options": {"include_usage": True}}
    answer = await api.post(address(path), json=body)
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    events = [event for event in events if not event.startswith("event: ")]
    assert len(events) > 2
    if events[-1] == "[DONE]":
        events.pop()
    for event in events:
        check(operation.chunk, json.loads(event))


async def test_a_logged_request_is_as_promised(api: httpx.AsyncClient, books: Books) -> None:
    answer = await api.post("/v1/completions", json=COMPLETION_EXAMPLE)
    await books.settled(1)
    check(LoggedRequest, (await api.get(f"/v1/requests/{answer.headers['x-request-id']}")).json())


async def test_errors_are_as_promised(api: httpx.AsyncClient) -> None:
    for path, body in (("/v1/chat/completions", {}), ("/v1/nothing", {}), ("/v1/models", {})):
        answer = await api.post(path, json=body)
        assert answer.status_code in {400, 404, 405}
        check(Error, answer.json())
