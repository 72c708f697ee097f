"""What the page about moving says differs from OpenAI's API, and no other test looks at."""

from typing import Any

import httpx
import pytest

from tests.inference.conftest import chat

CHAT = "/v1/chat/completions"
TOOL = {"type": "function", "function": {"name": "tell_time"}}


async def test_an_alias_answers_and_is_not_listed(api: httpx.AsyncClient) -> None:
    listed = {model["id"] for model in (await api.get("/v1/models")).json()["data"]}
    assert "gpt-3.5-turbo" not in listed
    assert (await api.get("/v1/models/gpt-3.5-turbo")).json()["id"] == "starter"
    answer = await api.post(CHAT, json=chat(model="gpt-3.5-turbo", max_tokens=1))
    assert (answer.status_code, answer.json()["model"]) == (200, "starter")


async def test_a_call_that_is_named_ends_for_it(api: httpx.AsyncClient) -> None:
    answer = await api.post(CHAT, json=chat(tools=[TOOL], tool_choice=TOOL))
    [choice] = answer.json()["choices"]
    assert choice["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(("strict", "status"), [(None, 200), (False, 200), (True, 400)])
async def test_a_function_of_responses_is_strict_when_it_says_so(
    api: httpx.AsyncClient, strict: bool | None, status: int
) -> None:
    unenforceable = {"type": "object", "properties": {"x": {"not": {}}}}
    function = {"type": "function", "name": "f", "parameters": unenforceable, "strict": strict}
    body = {"model": "starter", "input": "hi", "tools": [function], "max_output_tokens": 1}
    answer = await api.post("/v1/responses", json=body)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"reasoning_effort": "none"}, 200), ({"reasoning_effort": "minimal"}, 400),
        ({"verbosity": "medium"}, 200), ({"verbosity": "low"}, 400),
    ],
)  # fmt: skip
async def test_no_model_reasons_or_is_wordy(
    api: httpx.AsyncClient, fields: dict[str, Any], status: int
) -> None:
    answer = await api.post(CHAT, json=chat(max_tokens=1, **fields))
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["error"]["param"] in fields


RESPONSES = "/v1/responses"
OTHER_NAMES: list[tuple[str, dict[str, Any], str]] = [
    (RESPONSES, {"max_tokens": 9}, "max_output_tokens"),
    (RESPONSES, {"max_completion_tokens": 9}, "max_output_tokens"),
    (RESPONSES, {"messages": [{"role": "user", "content": "hi"}]}, "input"),
    (RESPONSES, {"response_format": {"type": "json_object"}}, "text.format"),
    (CHAT, {"max_output_tokens": 9}, "max_completion_tokens"),
]


@pytest.mark.parametrize(("path", "misplaced", "instead"), OTHER_NAMES)
async def test_what_has_another_name_here_is_refused_with_it(
    api: httpx.AsyncClient, path: str, misplaced: dict[str, Any], instead: str
) -> None:
    body = chat() if path == CHAT else {"model": "starter", "input": "hi"}
    answer = await api.post(path, json=body | misplaced)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == (next(iter(misplaced)), "unsupported_parameter")
    assert f"use '{instead}'" in error["message"]


async def test_what_responses_cannot_do_yet_is_said(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/responses/compact", json={"model": "starter"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_available_yet")
    assert "/v1/responses/compact" in answer.json()["error"]["message"]


async def test_a_response_is_stopped_by_its_connection_alone(api: httpx.AsyncClient) -> None:
    """As OpenAI says of those that were not made in the background."""
    body = {"model": "starter", "input": "hi", "max_output_tokens": 1}
    made = (await api.post("/v1/responses", json=body)).json()
    answer = await api.post(f"/v1/responses/{made['id']}/cancel")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "response_not_cancellable")
    assert "close its connection" in answer.json()["error"]["message"]
    assert "x-ratelimit-limit-requests" in answer.headers
