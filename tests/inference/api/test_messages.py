"""`POST /v1/messages`, in Anthropic's shape: whole, streamed, counted, refused."""

import json
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from accounts.authentication import key_cache
from accounts.models import ApiKey, Organisation
from inference import service
from inference.engine.wire import engine_pb2 as wire
from inference.log import bodies
from portal.lib.db import db
from tests.inference.api.typed_events import stream_typed
from tests.inference.conftest import Books

PATH = "/v1/messages"
COUNT = f"{PATH}/count_tokens"
WEATHER = {
    "type": "object",
    "properties": {"city": {"enum": ["Bern", "Oslo"]}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [
    {"name": "get_weather", "description": "Tells it.", "input_schema": WEATHER},
    {"name": "tell_time", "type": "custom", "input_schema": {"additionalProperties": False}},
]


def ask(content: Any = "hi", model: str = "starter", **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": content}]
    return {"model": model, "messages": messages, "max_tokens": 300, **fields}


async def answer_to(api: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    response = await api.post(PATH, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def assert_refused(response: httpx.Response, status: int, kind: str) -> str:
    """The message of an error in Anthropic's envelope."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert body["error"]["type"] == kind
    assert body["request_id"] == response.headers["request-id"]
    message: str = body["error"]["message"]
    return message


async def test_a_message_is_answered_and_billed(api: httpx.AsyncClient, books: Books) -> None:
    response = await api.post(PATH, json=ask("hello", metadata={"user_id": "u"}))
    answer = response.json()
    assert set(answer) == {
        "id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage",
    }  # fmt: skip
    assert (answer["type"], answer["role"], answer["model"]) == ("message", "assistant", "starter")
    [block] = answer["content"]
    assert block["type"] == "text"
    assert block["text"].startswith('You wrote: "hello"')
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("end_turn", None)
    record = await books.record()
    assert record.endpoint == "messages"
    assert answer["usage"] == {
        "input_tokens": record.uncached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": record.cached_tokens,
        "output_tokens": record.output_tokens,
    }
    assert response.headers["request-id"] == response.headers["x-request-id"]
    assert "x-request-cost" in response.headers
    await books.audit()


async def test_counted_is_what_is_billed_and_what_chat_would_show_the_model(
    api: httpx.AsyncClient, books: Books
) -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    chat = [
        {"role": "system", "content": "Be brief.\nBe kind."},
        {"role": "user", "content": "one\ntwo\nthree"},
        {"role": "assistant", "content": "I look.", "tool_calls": [call, call | {"id": "t2"}]},
        {"role": "tool", "tool_call_id": "t1", "content": "x\ny"},
        {"role": "tool", "tool_call_id": "t2", "content": "Error: no"},
        {"role": "user", "content": "And?"},
    ]
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    text = {"type": "text", "cache_control": {"type": "ephemeral"}}
    use = {"type": "tool_use", "name": "f", "input": {"a": 1}}
    result = {"type": "tool_result"}
    body = {
        "model": "starter",
        "system": [text | {"text": "Be brief."}, text | {"text": "Be kind."}],
        "messages": [
            {"role": "user", "content": [text | {"text": "one"}, text | {"text": "two"}]},
            {"role": "user", "content": "three"},
            {
                "role": "assistant",
                "content": [text | {"text": "I look."}, use | {"id": "t1"}, use | {"id": "t2"}],
            },
            {
                "role": "user",
                "content": [
                    result
                    | {
                        "tool_use_id": "t1",
                        "content": [text | {"text": "x"}, text | {"text": "y"}],
                    },
                    result | {"tool_use_id": "t2", "content": "no", "is_error": True},
                    text | {"text": "And?"},
                ],
            },
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "cache_control": {"type": "ephemeral"},
    }
    expected = await api.post(
        "/tokenize", json={"model": "starter", "messages": chat, "tools": [tool]}
    )
    counted = await api.post(COUNT, json=body)
    assert counted.json() == {"input_tokens": expected.json()["count"]}
    assert await books.records() == []  # free
    usage = (await answer_to(api, body | {"max_tokens": 1}))["usage"]
    billed = usage["input_tokens"] + usage["cache_read_input_tokens"]
    assert billed == counted.json()["input_tokens"] == (await books.record()).prompt_tokens


async def test_events_come_typed_and_in_their_order(api: httpx.AsyncClient) -> None:
    events = await stream_typed(api, PATH, ask("hello"))
    kinds = [event["type"] for event in events]
    assert kinds[:3] == ["message_start", "ping", "content_block_start"]
    assert set(kinds[3:-3]) == {"content_block_delta"}
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert events[0]["message"]["content"] == []
    assert events[0]["message"]["stop_reason"] is None
    assert events[2]["content_block"] == {"type": "text", "text": ""}
    text = "".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta")
    whole = await answer_to(api, ask("hello"))
    assert whole["content"] == [{"type": "text", "text": text}]
    assert events[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert events[-2]["usage"]["output_tokens"] == whole["usage"]["output_tokens"]
    again = await stream_typed(api, PATH, ask("hello"))
    cached = again[-2]["usage"]["cache_read_input_tokens"]
    assert cached > 0
    assert again[0]["message"]["usage"]["cache_read_input_tokens"] == cached


async def test_a_model_speaks_and_uses_a_tool(
    api: httpx.AsyncClient, caller: str, books: Books
) -> None:
    body = ask(model=caller, tools=TOOLS)
    answer = await answer_to(api, body)
    said, use = answer["content"]
    assert said == {"type": "text", "text": "I look. "}
    assert (use["type"], use["name"], use["input"]) == (
        "tool_use", "get_weather", {"city": "Bern"},
    )  # fmt: skip
    assert use["id"].startswith("toolu_")
    assert answer["stop_reason"] == "tool_use"
    events = await stream_typed(api, PATH, body)
    starts = [e["content_block"] for e in events if e["type"] == "content_block_start"]
    assert starts[1] == {"type": "tool_use", "id": starts[1]["id"], "name": "get_weather",
                         "input": {}}  # fmt: skip
    deltas = [e["delta"] for e in events if e["type"] == "content_block_delta"]
    parts = [delta["partial_json"] for delta in deltas if delta["type"] == "input_json_delta"]
    assert json.loads("".join(parts)) == {"city": "Bern"}
    assert [e["index"] for e in events if e["type"] == "content_block_stop"] == [0, 1]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    await books.settled(2)
    await books.audit()


async def test_a_choice_of_tools_is_kept_to(api: httpx.AsyncClient) -> None:
    answer = await answer_to(api, ask(tools=TOOLS, tool_choice={"type": "any"}))
    [use] = answer["content"]
    Draft202012Validator(WEATHER).validate(use["input"])
    choice = {"type": "tool", "name": "tell_time", "disable_parallel_tool_use": True}
    answer = await answer_to(api, ask(tools=TOOLS, tool_choice=choice))
    [use] = answer["content"]
    assert (use["name"], use["input"]) == ("tell_time", {})
    for choice in ({"type": "none"}, {"type": "auto"}):
        answer = await answer_to(api, ask(tools=TOOLS, tool_choice=choice))
        assert answer["stop_reason"] == "end_turn"


async def test_a_use_that_was_cut_is_not_handed_over_as_one(api: httpx.AsyncClient) -> None:
    begun = 0
    for limit in (20, 50, 55, 60):
        body = ask(tools=TOOLS, tool_choice={"type": "any"}, max_tokens=limit)
        answer = await answer_to(api, body)
        assert (answer["stop_reason"], answer["content"]) == ("max_tokens", []), limit
        events = await stream_typed(api, PATH, body)
        assert events[-2]["delta"]["stop_reason"] == "max_tokens"
        begun += any(event["type"] == "content_block_start" for event in events)
    assert begun >= 2  # of these a part was streamed


async def test_it_tells_which_stop_sequence_ended_it(api: httpx.AsyncClient) -> None:
    body = ask("one two three", stop_sequences=["nowhere", " two"])
    answer = await answer_to(api, body)
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", " two")
    assert answer["content"][0]["text"].endswith("one")
    events = await stream_typed(api, PATH, body)
    assert events[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": " two"}
    answer = await answer_to(api, ask(max_tokens=2))
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("max_tokens", None)


async def test_a_text_keeps_to_its_form(api: httpx.AsyncClient) -> None:
    form = {"format": {"type": "json_schema", "schema": WEATHER}}
    answer = await answer_to(api, ask(output_config=form))
    Draft202012Validator(WEATHER).validate(json.loads(answer["content"][0]["text"]))


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
    assert events[-1]["error"]["message"] == "A step failed."
    assert events[-1]["request_id"].startswith("req_")
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


async def test_a_hang_up_stops_and_settles(web: httpx.AsyncClient, books: Books) -> None:
    body = ask(model="slow", max_tokens=1000, stream=True)
    async with web.stream("POST", PATH, json=body) as response:
        async for line in response.aiter_lines():
            if line == "event: content_block_delta":
                break
    [record] = await books.settled(1)
    assert record.outcome == "aborted"
    assert record.output_tokens < 60
    await books.audit()


async def test_every_parameter_reaches_the_engine(
    api: httpx.AsyncClient, running: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = running.pool.pick("starter")
    assert link is not None
    submit, seen = link.submit, []

    def watch(message: wire.Submit, sink: object) -> int:
        seen.append(message.sampling)
        return submit(message, sink)  # type: ignore[arg-type]

    monkeypatch.setattr(link, "submit", watch)
    body = ask(temperature=0.5, top_p=0.9, top_k=7, stop_sequences=["x"])
    await answer_to(api, body | {"max_tokens": 9})
    [sampling] = seen
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.5, 0.9, 7)
    assert (sampling.max_tokens, list(sampling.stop)) == (9, ["x"])


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
    assert expensive.json()["error"]["details"] == {"error_code": "context_length_exceeded"}
    monkeypatch.setattr(running, "draining", True)
    draining = await api.post(PATH, json=ask())
    assert_refused(draining, 529, "overloaded_error")
    assert int(draining.headers["retry-after"]) >= 1
    monkeypatch.setattr(running, "prepare", None)
    assert_refused(await api.post(PATH, json=ask()), 500, "api_error")


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
    ({"tools": [*TOOLS, TOOLS[0]]}, "Two tools"),
    ({"tools": TOOLS, "tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"tools": TOOLS, "tool_choice": {"type": "tool", "name": "x"}}, "'x'"),
    ({"tools": TOOLS, "tool_choice": {"type": "some"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "any"}}, "tool_choice"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
    ({"container": "x"}, "container"),
    ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
    ({"output_config": {"effort": "high"}}, "output_config.effort"),
    ({"output_config": {"format": {"type": "json_schema", "schema": {"not": {}}}}},
     "output_config.format.schema"),
    ({"metadata": {"user_id": 5}}, "metadata.user_id"),
    ({"stream": 1}, "stream"),
]  # fmt: skip


async def test_what_makes_no_sense_is_a_400_that_names_the_place(
    api: httpx.AsyncClient, books: Books
) -> None:
    for fields, place in REFUSED:
        response = await api.post(PATH, json=ask() | fields)
        assert place in assert_refused(response, 400, "invalid_request_error"), fields
    assert await books.records() == []
    assert await books.open_holds() == 0


async def test_unknown_fields_are_ignored_and_named(api: httpx.AsyncClient) -> None:
    body = ask(max_tokens=1, foo=1, thinking={"type": "disabled"}, metadata={"user_id": None})
    response = await api.post(PATH, json=body)
    assert response.status_code == 200, response.text
    assert response.headers["x-ignored-fields"] == "foo"
