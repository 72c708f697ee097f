"""`POST /v1/messages`, in Anthropic's shape: whole, streamed, counted."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from inference import service
from inference.engine.wire import engine_pb2 as wire
from tests.inference.api.anthropic_shape import (
    COUNT,
    PATH,
    TOOLS,
    WEATHER,
    answer_to,
    ask,
)
from tests.inference.api.typed_events import stream_typed
from tests.inference.conftest import Books, Serve


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


async def test_lists_without_blocks_say_nothing(api: httpx.AsyncClient) -> None:
    """Anthropic takes an empty `system`, and a result that is nothing, in either form."""
    use = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [use]}]

    async def count(result: dict[str, Any], **fields: Any) -> int:
        block = {"type": "tool_result", "tool_use_id": "t", **result}
        messages = [*turns, {"role": "user", "content": [block]}]
        counted = await api.post(COUNT, json={"model": "starter", "messages": messages, **fields})
        assert counted.status_code == 200, counted.text
        return int(counted.json()["input_tokens"])

    assert (
        await count({"content": []}, system=[]) == await count({}) == await count({"content": ""})
    )


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


WILD = '{"far": 1e999, "deep": ' + "[" * 1100 + "]" * 1100 + "}"


@pytest.fixture
async def wild(serve: Serve) -> AsyncIterator[str]:
    """The name of a model whose call is valid JSON, and more than Python reads or writes."""
    text = f'<tool_call>\n{{"name": "keep", "arguments": {WILD}}}\n</tool_call>'
    async with serve("wild", max_model_len=4096, fake_text=text) as engine:
        yield engine.model


async def test_an_input_stands_as_the_model_wrote_it(
    api: httpx.AsyncClient, wild: str, books: Books
) -> None:
    tools = [{"name": "keep", "input_schema": {"type": "object"}}]
    body = ask(model=wild, tools=tools, tool_choice={"type": "any"})
    response = await api.post(PATH, json=body | {"max_tokens": 3000})
    assert response.status_code == 200, response.text
    assert f'"name":"keep","input":{WILD}}}' in response.text
    assert '"stop_reason":"tool_use"' in response.text
    cut = await answer_to(api, body | {"max_tokens": 1500})
    assert (cut["stop_reason"], cut["content"]) == ("max_tokens", [])
    events = await stream_typed(api, PATH, body | {"max_tokens": 1500})
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"
    await books.settled(3)


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
