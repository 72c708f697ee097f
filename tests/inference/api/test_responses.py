"""`POST /v1/responses`: whole and streamed, held against OpenAI's own description of both."""

import json
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from inference import service
from inference.engine.wire import engine_pb2 as wire
from tests.inference.api.openai_schema import OpenAISchema
from tests.inference.api.typed_events import stream_typed
from tests.inference.conftest import Books

PATH = "/v1/responses"
WEATHER = {
    "type": "object",
    "properties": {"city": {"enum": ["Bern", "Oslo"]}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": True},
    {"type": "function", "name": "tell_time"},
]


def ask(content: Any = "hi", model: str = "starter", **fields: Any) -> dict[str, Any]:
    return {"model": model, "input": content, **fields}


async def answer_to(api: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    response = await api.post(PATH, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_a_text_is_answered_and_billed(
    api: httpx.AsyncClient, schema: OpenAISchema, books: Books
) -> None:
    response = await api.post(PATH, json=ask("hello", metadata={"a": "b"}, user="u"))
    answer = response.json()
    schema.check("Response", answer)
    assert answer["status"] == "completed"
    [item] = answer["output"]
    assert item["content"][0]["text"].startswith('You wrote: "hello"')
    assert (answer["metadata"], answer["user"], answer["store"]) == ({"a": "b"}, "u", False)
    record = await books.record()
    assert record.endpoint == "responses"
    assert answer["id"].removeprefix("resp_") == record.request_id.removeprefix("req_")
    assert answer["usage"]["input_tokens"] == record.prompt_tokens
    assert answer["usage"]["output_tokens"] == record.output_tokens > 0
    assert "x-request-cost" in response.headers
    await books.audit()


async def test_the_model_sees_what_the_chat_endpoint_would_show_it(api: httpx.AsyncClient) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one two"},
        {"role": "assistant", "content": "I look.", "tool_calls": [call, call | {"id": "c2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
        {"role": "tool", "tool_call_id": "c2", "content": "y"},
        {"role": "user", "content": "And?"},
    ]
    called = {"type": "function_call", "name": "f", "arguments": '{"a": 1}'}
    items = [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "one "},
                {"type": "input_text", "text": "two"},
            ],
        },
        {
            "type": "message",
            "role": "assistant",
            "id": "msg_1",
            "status": "completed",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
        },
        called | {"call_id": "c1", "id": "fc_1"},
        called | {"call_id": "c2", "status": None},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_text", "text": "x"}],
        },
        {"type": "function_call_output", "call_id": "c2", "output": "y"},
        {"role": "user", "content": "And?"},
    ]
    chat = await api.post(
        "/tokenize",
        json={
            "model": "starter",
            "messages": messages,
            "tools": [{"type": "function", "function": {"name": "f"}}],
        },
    )
    tools = [{"type": "function", "name": "f"}]
    body = ask(items, instructions="Be brief.", tools=tools)
    counted = await api.post(f"{PATH}/input_tokens", json=body)
    assert counted.json() == {
        "object": "response.input_tokens",
        "input_tokens": chat.json()["count"],
    }
    answer = await answer_to(api, body | {"max_output_tokens": 1})
    assert answer["usage"]["input_tokens"] == chat.json()["count"]


async def test_a_call_that_was_cut_goes_on_as_it_was(api: httpx.AsyncClient) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": "b'}}
    messages = [{"role": "assistant", "tool_calls": [call]}]
    chat = await api.post("/tokenize", json={"model": "starter", "messages": messages})
    items = [{"type": "function_call", "call_id": "c1", **call["function"]}]  # type: ignore[dict-item]
    counted = await api.post(f"{PATH}/input_tokens", json=ask(items))
    assert counted.json()["input_tokens"] == chat.json()["count"]


async def test_a_call_without_words_before_it_takes_nothing_from_the_user(
    api: httpx.AsyncClient,
) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "one two"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    ]
    items = [
        {"role": "user", "content": "one two"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "x"},
    ]
    chat = await api.post("/tokenize", json={"model": "starter", "messages": messages})
    counted = await api.post(f"{PATH}/input_tokens", json=ask(items))
    assert counted.json()["input_tokens"] == chat.json()["count"]


async def test_events_come_typed_numbered_and_in_their_order(
    api: httpx.AsyncClient, schema: OpenAISchema
) -> None:
    events = await stream_typed(api, PATH, ask("hello"))
    for event in events:
        schema.check_event(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert set(kinds[4:-4]) == {"output_text.delta"}
    assert kinds[-4:] == [
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    text = "".join(event["delta"] for event in events if "delta" in event)
    [item] = events[-1]["response"]["output"]
    assert item == events[-2]["item"]
    assert events[2]["item"] == item | {"content": [], "status": "in_progress"}
    assert item["content"][0]["text"] == text == events[-4]["text"]
    whole = await answer_to(api, ask("hello"))
    assert whole["output"][0]["content"] == item["content"]
    usage = events[-1]["response"]["usage"]
    assert usage["total_tokens"] == whole["usage"]["total_tokens"]
    assert whole["usage"]["input_tokens_details"]["cached_tokens"] > 0  # it was asked before


async def test_a_model_speaks_and_calls_a_function(
    api: httpx.AsyncClient, caller: str, schema: OpenAISchema, books: Books
) -> None:
    body = ask(model=caller, tools=TOOLS)
    answer = await answer_to(api, body)
    schema.check("Response", answer)
    said, called = answer["output"]
    assert said["content"][0]["text"] == "I look. "
    assert (called["type"], called["name"]) == ("function_call", "get_weather")
    assert called["call_id"].startswith("call_")
    Draft202012Validator(WEATHER).validate(json.loads(called["arguments"]))
    events = await stream_typed(api, PATH, body)
    for event in events:
        schema.check_event(event)
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds.index("output_item.done") < kinds.index("function_call_arguments.delta")
    done = kinds.index("function_call_arguments.done")
    parts = [e["delta"] for e in events if e["type"].endswith("arguments.delta")]
    assert json.loads("".join(parts)) == {"city": "Bern"}
    assert events[done]["arguments"] == "".join(parts)
    assert events[done]["output_index"] == 1
    assert [item["type"] for item in events[-1]["response"]["output"]] == [
        "message", "function_call",
    ]  # fmt: skip
    await books.settled(2)
    await books.audit()


async def test_a_choice_of_tools_is_kept_to(api: httpx.AsyncClient) -> None:
    named = {"type": "function", "name": "tell_time"}
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [named]}
    for choice in (named, allowed):
        answer = await answer_to(api, ask(tools=TOOLS, tool_choice=choice))
        [call] = answer["output"]
        assert (call["name"], call["arguments"]) == ("tell_time", "{}")
        assert answer["tool_choice"] == choice
    answer = await answer_to(api, ask(tools=TOOLS, tool_choice="none"))
    assert answer["output"][0]["type"] == "message"


async def test_a_text_keeps_to_its_form(api: httpx.AsyncClient, schema: OpenAISchema) -> None:
    form = {"type": "json_schema", "name": "w", "schema": WEATHER, "strict": True}
    answer = await answer_to(api, ask(text={"format": form}))
    schema.check("Response", answer)
    Draft202012Validator(WEATHER).validate(json.loads(answer["output"][0]["content"][0]["text"]))
    answer = await answer_to(api, ask(text={"format": {"type": "json_object"}}))
    assert isinstance(json.loads(answer["output"][0]["content"][0]["text"]), dict)


async def test_an_answer_that_was_cut_is_incomplete(
    api: httpx.AsyncClient, schema: OpenAISchema
) -> None:
    body = ask(max_output_tokens=3)
    answer = await answer_to(api, body)
    schema.check("Response", answer)
    assert answer["status"] == answer["output"][0]["status"] == "incomplete"
    assert answer["incomplete_details"] == {"reason": "max_output_tokens"}
    events = await stream_typed(api, PATH, body)
    assert events[-1]["type"] == "response.incomplete"
    schema.check_event(events[-1])
    calls = await answer_to(api, body | {"tools": TOOLS, "tool_choice": "required"})
    assert calls["status"] == "incomplete"


@pytest.mark.parametrize(
    ("kind", "what_to_do"),
    [("item_reference", "store: false"), ("reasoning", "leave it out"), (["message"], "of 'mess")],
)
async def test_items_that_libraries_send_by_themselves_are_refused_with_a_way_on(
    api: httpx.AsyncClient, kind: Any, what_to_do: str
) -> None:
    answer = await api.post(PATH, json=ask([{"type": kind, "id": "x_1"}]))
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "input[0].type")
    assert what_to_do in error["message"]


async def test_a_failure_after_the_first_byte_is_told_as_one(
    api: httpx.AsyncClient, running: service.Service, schema: OpenAISchema, books: Books,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
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
    events = await stream_typed(api, PATH, ask(model="slow", max_output_tokens=50))
    for event in events:
        schema.check_event(event)
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["status"] == "failed"
    assert not any(event["type"].endswith(".done") for event in events)
    said = "".join(event["delta"] for event in events if event["type"].endswith("text.delta"))
    [message] = events[-1]["response"]["output"]
    assert (message["status"], message["content"][0]["text"]) == ("incomplete", said)
    assert said
    [record] = await books.settled(1)
    told = f"A step failed. The id of this request is {record.request_id}."
    assert events[-1]["response"]["error"]["message"] == told
    assert record.outcome == "failed"
    assert record.cost_nanos == 0


async def test_a_hang_up_stops_and_settles(web: httpx.AsyncClient, books: Books) -> None:
    body = ask(model="slow", max_output_tokens=1000, stream=True)
    async with web.stream("POST", PATH, json=body) as response:
        async for line in response.aiter_lines():
            if line == "event: response.output_text.delta":
                break
    [record] = await books.settled(1)
    assert record.outcome == "aborted"
    assert record.output_tokens < 60
    await books.audit()


async def test_unknown_fields_are_ignored_and_named(api: httpx.AsyncClient) -> None:
    body = ask(
        max_output_tokens=1, foo=1, stop=["x"], seed=3, background=False, truncation="disabled"
    )
    body |= {
        "reasoning": {"effort": None, "summary": None},
        "include": ["reasoning.encrypted_content"],
    }
    response = await api.post(PATH, json=body)
    assert response.status_code == 200, response.text
    assert response.headers["x-ignored-fields"] == "foo"


IMAGE = {"type": "input_image", "image_url": "x"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"input": None}, "input"),
    ({"input": []}, "input"),
    ({"input": 5}, "input"),
    ({"input": ["x"]}, "input[0]"),
    ({"input": [{"role": "user"}]}, "input[0].content"),
    ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user", "content": [IMAGE]}]}, "input[0].content[0].type"),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
     "input[0].content[0].text"),
    ({"input": [{"type": "reasoning", "summary": []}]}, "input[0].type"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
    ({"input": [CALL | {"arguments": {}}]}, "input[0].arguments"),
    ({"input": [CALL | {"call_id": ""}]}, "input[0].call_id"),
    ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
    ({"input": "x", "model": None}, "model"),
    ({"instructions": 5}, "instructions"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"max_output_tokens": 10**6}, "max_output_tokens"),
    ({"input": "x " * 3000}, "input"),
    ({"temperature": 3}, "temperature"),
    ({"top_p": "1"}, "top_p"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ({"tools": [*TOOLS, TOOLS[0]]}, "tools[2].name"),
    ({"tools": [{"type": "function", "name": "f", "parameters": {"type": "string"}}]},
     "tools[0].parameters.type"),
    ({"tools": [{"type": "function", "name": "f", "strict": True,
                 "parameters": {"properties": {"x": {"not": {}}}}}]},
     "tools[0].parameters.properties.x.not"),
    ({"tools": TOOLS, "tool_choice": {"type": "function", "name": "x"}}, "tool_choice.name"),
    ({"tools": TOOLS, "tool_choice": {"type": "web_search"}}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "mode": "x", "tools": [{}]}},
     "tool_choice.mode"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
    ({"text": {"format": {"name": "x", "schema": {}}}}, "text.format.type"),
    ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
    ({"text": {"format": {"type": "json_schema", "name": "x", "strict": True,
                          "schema": {"not": {}}}}}, "text.format.schema.not"),
    ({"text": {"verbosity": "high"}}, "text.verbosity"),
    ({"background": True}, "background"),
    ({"reasoning": {"effort": "high"}}, "reasoning"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"prompt": {"id": "x"}}, "prompt"),
    ({"truncation": "auto"}, "truncation"),
    ({"max_tool_calls": 3}, "max_tool_calls"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"include": ["message.output_text.logprobs"]}, "include[0]"),
    ({"include": ["x"]}, "include[0]"),
    ({"metadata": {"k": 1}}, "metadata.k"),
    ({"stream": "yes"}, "stream"),
    ({"previous_response_id": "resp_x"}, "previous_response_id"),
]  # fmt: skip


async def test_what_makes_no_sense_is_a_400_that_names_the_place(
    api: httpx.AsyncClient, schema: OpenAISchema, books: Books
) -> None:
    for fields, param in REFUSED:
        response = await api.post(PATH, json=ask() | fields)
        assert response.status_code == 400, (fields, response.text)
        schema.check("ErrorResponse", response.json())
        assert response.json()["error"]["param"] == param, (fields, response.text)
    assert await books.records() == []
    assert await books.open_holds() == 0


async def test_a_key_is_needed_and_other_methods_are_refused(api: httpx.AsyncClient) -> None:
    for method, path in (
        ("POST", PATH), ("POST", f"{PATH}/input_tokens"), ("GET", f"{PATH}/resp_x"),
        ("DELETE", f"{PATH}/resp_x"), ("GET", f"{PATH}/resp_x/input_items"),
    ):  # fmt: skip
        response = await api.request(method, path, headers={"authorization": "Bearer no"})
        assert response.status_code == 401, path
    for method, path in (("GET", PATH), ("PUT", PATH), ("POST", f"{PATH}/resp_x")):
        response = await api.request(method, path)
        assert response.status_code == 405, path
        assert response.json()["error"]["code"] == "method_not_allowed"
