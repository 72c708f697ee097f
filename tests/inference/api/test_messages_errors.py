"""`/v1/messages`: whatever is wrong, in Anthropic's envelope, with the place."""

from typing import Any

import httpx
import pytest

from accounts.authentication import key_cache
from accounts.models import ApiKey, Organisation
from inference import service
from inference.engine.wire import engine_pb2 as wire
from inference.log import bodies
from portal.lib.db import db
from tests.inference.api.anthropic_shape import (
    COUNT,
    PATH,
    TOOLS,
    ask,
    assert_refused,
)
from tests.inference.api.typed_events import stream_typed
from tests.inference.conftest import Books


async def test_a_key_comes_in_either_header(
    api: httpx.AsyncClient, api_key: tuple[ApiKey, str]
) -> None:
    del api.headers["authorization"]
    response = await api.post(COUNT, json=ask(), headers={"x-api-key": api_key[1]})
    assert response.status_code == 200
    for headers in ({}, {"x-api-key": "no"}, {"authorization": "Bearer no"}):
        for path in (PATH, COUNT, f"{PATH}/batches"):
            response = await api.post(path, json=ask(), headers=headers)
            assert_refused(response, 401, "authentication_error")


async def test_the_version_may_be_left_out_but_not_be_another(api: httpx.AsyncClient) -> None:
    for path in (PATH, COUNT):
        for version, status in (
            ("2023-06-01", 200), ("2026-10-21", 200), ("2023-01-01", 400), ("latest", 400),
        ):  # fmt: skip
            response = await api.post(path, json=ask(), headers={"anthropic-version": version})
            assert response.status_code == status
        assert "2023-06-01" in assert_refused(response, 400, "invalid_request_error")


async def test_whatever_goes_wrong_below_it_is_in_anthropics_envelope(
    api: httpx.AsyncClient, running: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_refused(await api.get(PATH), 405, "invalid_request_error")
    assert_refused(await api.get(f"{PATH}/nothing"), 404, "not_found_error")
    assert_refused(await api.post(f"{PATH}/batches"), 404, "not_found_error")
    assert_refused(await api.post(PATH, json=ask(model="gpt-9")), 404, "not_found_error")
    broken = await api.post(PATH, content=b"{", headers={"content-type": "application/json"})
    assert_refused(broken, 400, "invalid_request_error")
    large = await api.post(PATH, json=ask("x" * 5_000_000))
    assert_refused(large, 413, "request_too_large")
    expensive = await api.post(PATH, json=ask(max_tokens=10**6))
    assert "max_tokens" in assert_refused(expensive, 400, "invalid_request_error")
    told = {"error_code": "context_length_exceeded", "param": "max_tokens"}
    assert expensive.json()["error"]["details"] == told
    monkeypatch.setattr(running, "draining", True)
    draining = await api.post(PATH, json=ask())
    assert_refused(draining, 529, "overloaded_error")
    assert int(draining.headers["retry-after"]) >= 1
    monkeypatch.setattr(running, "prepare", None)
    assert_refused(await api.post(PATH, json=ask()), 500, "api_error")


async def test_a_failure_after_the_first_byte_is_an_error_event(
    api: httpx.AsyncClient, running: service.Service, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = running.pool.pick("slow")
    assert link is not None
    deliver, seen = link._deliver, 0

    def fail_after_three(delta: wire.SequenceDelta) -> None:
        nonlocal seen
        seen += 1
        if seen > 3:
            delta.finish_reason, delta.error = wire.FINISH_ERROR, "A step failed."
        deliver(delta)

    monkeypatch.setattr(link, "_deliver", fail_after_three)
    events = await stream_typed(api, PATH, ask(model="slow"))
    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["type"] == "api_error"
    request_id = events[-1]["request_id"]
    assert request_id.startswith("req_")
    told = f"A step failed. The id of this request is {request_id}."
    assert events[-1]["error"]["message"] == told
    assert not {"message_delta", "message_stop"} & {event["type"] for event in events}
    [record] = await books.settled(1)
    assert (record.outcome, record.cost_nanos) == ("failed", 0)


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_is_kept_of_a_failure_is_what_was_sent(
    api: httpx.AsyncClient, running: service.Service, organisation: Organisation,
    monkeypatch: pytest.MonkeyPatch, streamed: bool,
) -> None:  # fmt: skip
    await db(Organisation.objects.filter(pk=organisation.pk).update, keeps_bodies=True)
    key_cache.clear()
    link = running.pool.pick("slow")
    assert link is not None
    deliver = link._deliver

    def fail(delta: wire.SequenceDelta) -> None:
        number = delta.sequence_id
        delta.Clear()
        delta.sequence_id, delta.finish_reason = number, wire.FINISH_ERROR
        deliver(delta)

    monkeypatch.setattr(link, "_deliver", fail)
    response = await api.post(PATH, json=ask(model="slow", stream=streamed))
    assert_refused(response, 500, "api_error")
    kept = await db(bodies.read, organisation.id, response.headers["request-id"])
    assert kept is not None
    assert kept.answer == response.content


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}}
USE = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": None}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": "5"}, "max_tokens"),
    ({"model": 5}, "model"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "document"}]}]},
     "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [USE]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]},
     "messages[0].content[0].text"),
    ({"messages": [{"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}]}]},
     "messages[0].content[0].type"),
    ({"messages": [{"role": "assistant", "content": [USE | {"input": "x"}]}]},
     "messages[0].content[0].input"),
    ({"messages": [{"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "t", "content": [IMAGE]}]}]},
     "messages[0].content[0].content[0].type"),
    ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
     "messages[1].role"),
    ({"system": 5}, "system"),
    ({"system": [IMAGE]}, "system[0].type"),
    ({"temperature": 1.5}, "temperature"),
    ({"top_p": 2}, "top_p"),
    ({"top_k": 1.5}, "top_k"),
    ({"stop_sequences": "x"}, "stop_sequences"),
    ({"stop_sequences": ["x"] * 17}, "stop_sequences"),
    ({"stop_sequences": [""]}, "stop_sequences"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
    ({"tools": [{"name": "f", "input_schema": {"type": "string"}}]}, "tools[0].input_schema.type"),
    ({"tools": [*TOOLS, TOOLS[0]]}, "tools[2].name"),
    ({"tools": TOOLS, "tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"tools": TOOLS, "tool_choice": {"type": "tool", "name": "x"}}, "tool_choice.name"),
    ({"tools": TOOLS, "tool_choice": {"type": "some"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "any"}}, "tool_choice"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
    ({"container": "x"}, "container"),
    ({"output_format": {"type": "json_schema", "schema": {}}}, "output_format"),
    ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
    ({"output_config": {"effort": "high"}}, "output_config.effort"),
    ({"output_config": {"format": {"type": "json_schema", "schema": {"not": {}}}}},
     "output_config.format.schema.not"),
    ({"tools": TOOLS, "output_config": {"format": {"type": "json_schema", "schema": {"not": {}}}}},
     "output_config.format.schema.not"),
    ({"metadata": {"user_id": 5}}, "metadata.user_id"),
    ({"stream": 1}, "stream"),
]  # fmt: skip


async def test_what_makes_no_sense_is_a_400_that_names_the_place(
    api: httpx.AsyncClient, books: Books
) -> None:
    for fields, place in REFUSED:
        response = await api.post(PATH, json=ask() | fields)
        assert_refused(response, 400, "invalid_request_error")
        assert response.json()["error"]["details"]["param"] == place, response.text
        assert "None" not in response.text
    assert await books.records() == []
    assert await books.open_holds() == 0


async def test_unknown_fields_are_ignored_and_named(api: httpx.AsyncClient) -> None:
    body = ask(max_tokens=1, foo=1, thinking={"type": "disabled"}, metadata={"user_id": None})
    response = await api.post(PATH, json=body)
    assert response.status_code == 200, response.text
    assert response.headers["x-ignored-fields"] == "foo"
