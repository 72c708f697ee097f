"""Tools: called in OpenAI's form, with arguments that are valid by construction."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openai import AsyncOpenAI

from inference import service
from inference.models import ServedModel
from portal.lib.db import db
from tests.inference.api.events import Events, stream
from tests.inference.api.openai_schema import OpenAISchema
from tests.inference.conftest import Books, Serve, chat
from tests.inference.engines import RealEngine

PATH = "/v1/chat/completions"
WEATHER = {
    "type": "object",
    "properties": {"city": {"enum": ["Bern", "Oslo"]}, "days": {"$ref": "#/$defs/days"}},
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"days": {"type": "integer"}},
}


def tool(name: str, parameters: Any = None, **more: Any) -> dict[str, Any]:
    function = {"name": name, "description": f"Does {name}.", **more}
    if parameters is not None:
        function["parameters"] = parameters
    return {"type": "function", "function": function}


TOOLS = [tool("get_weather", WEATHER), tool("tell_time")]
NAMED = {"type": "function", "function": {"name": "tell_time"}}


async def ask(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    response = await api.post(PATH, json=chat(**fields))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_a_model_told_to_call_a_tool_does_and_every_token_is_billed(
    api: httpx.AsyncClient, schema: OpenAISchema, books: Books
) -> None:
    answer = await ask(api, tools=TOOLS, tool_choice="required", n=2, logprobs=True)
    schema.check("CreateChatCompletionResponse", answer)
    ids = set()
    for choice in answer["choices"]:
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["content"] is None
        [call] = choice["message"]["tool_calls"]
        assert call["type"] == "function"
        assert call["id"].startswith("call_")
        ids.add(call["id"])
        assert call["function"]["name"] == "get_weather"
        Draft202012Validator(WEATHER).validate(json.loads(call["function"]["arguments"]))
    assert len(ids) == 2
    record = await books.record()
    tokens = sum(len(choice["logprobs"]["content"]) + 1 for choice in answer["choices"])
    assert record.output_tokens == answer["usage"]["completion_tokens"] == tokens
    counted = await api.post("/tokenize", json=chat(tools=TOOLS))
    assert record.prompt_tokens == counted.json()["count"]  # the tools are part of the prompt
    assert record.prompt_tokens > (await api.post("/tokenize", json=chat())).json()["count"]
    await books.audit()


async def test_a_named_tool_is_the_one_that_is_called(api: httpx.AsyncClient) -> None:
    answer = await ask(api, tools=TOOLS, tool_choice=NAMED)
    [call] = answer["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": "tell_time", "arguments": "{}"}
    allowed = {"mode": "required", "tools": [NAMED, NAMED]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    answer = await ask(api, tools=TOOLS, tool_choice=choice)
    [call] = answer["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "tell_time"


def calls_of(events: Events) -> list[dict[str, Any]]:
    """The calls of a stream, put together as a client does it; asserts the order of its deltas."""
    calls: list[dict[str, Any]] = []
    for chunk in events.chunks:
        for choice in chunk["choices"]:
            for part in choice["delta"].get("tool_calls", ()):
                if part["index"] == len(calls):
                    assert set(part) == {"index", "id", "type", "function"}
                    assert part["function"]["arguments"] == ""
                    calls.append(part["function"] | {"id": part["id"]})
                else:
                    assert set(part) == {"index", "function"}
                    assert set(part["function"]) == {"arguments"}
                    calls[part["index"]]["arguments"] += part["function"]["arguments"]
    return calls


async def test_calls_are_streamed_in_the_order_of_the_contract(
    api: httpx.AsyncClient, schema: OpenAISchema
) -> None:
    fields = {"tools": TOOLS, "tool_choice": "required", "logprobs": True}
    events = await stream(api, PATH, chat(**fields))
    for chunk in events.chunks:
        schema.check("CreateChatCompletionStreamResponse", chunk)
    [call] = calls_of(events)
    assert call["name"] == "get_weather"
    Draft202012Validator(WEATHER).validate(json.loads(call["arguments"]))
    assert call["id"].startswith("call_")
    assert events.text == ""
    assert events.finish_reasons == ["tool_calls"]
    told = sum(
        len((choice["logprobs"] or {"content": []})["content"])
        for chunk in events.chunks
        for choice in chunk["choices"]
    )
    whole = await ask(api, **fields)
    assert told == len(whole["choices"][0]["logprobs"]["content"])


async def test_a_model_may_speak_before_it_calls(
    api: httpx.AsyncClient, caller: str, schema: OpenAISchema
) -> None:
    answer = await ask(api, model=caller, tools=TOOLS)
    schema.check("CreateChatCompletionResponse", answer)
    [choice] = answer["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "I look. "
    [call] = choice["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"city": "Bern"}
    events = await stream(api, PATH, chat(model=caller, tools=TOOLS, tool_choice="auto"))
    assert events.text == "I look. "
    assert [call["name"] for call in calls_of(events)] == ["get_weather"]
    assert events.finish_reasons == ["tool_calls"]


@pytest.fixture
async def twice(serve: Serve) -> AsyncIterator[str]:
    """The name of a model that calls a tool for each of two cities, where it may."""
    calls = [{"name": "get_weather", "arguments": {"city": city}} for city in ("Bern", "Oslo")]
    text = "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in calls)
    async with serve("twice", max_model_len=2048, fake_text=text) as engine:
        yield engine.model


@pytest.mark.parametrize("choice", ["auto", "required"])
async def test_several_calls_come_at_once_only_where_they_may(
    api: httpx.AsyncClient, twice: str, choice: str
) -> None:
    for parallel, cities in ((True, ["Bern", "Oslo"]), (False, ["Bern"])):
        fields = {"tools": TOOLS, "tool_choice": choice, "parallel_tool_calls": parallel}
        answer = await ask(api, model=twice, max_tokens=300, **fields)
        [made] = answer["choices"]
        calls = made["message"]["tool_calls"]
        assert [json.loads(call["function"]["arguments"])["city"] for call in calls] == cities
        assert made["finish_reason"] == "tool_calls"
        events = await stream(api, PATH, chat(model=twice, max_tokens=300, **fields))
        streamed = calls_of(events)
        assert [json.loads(call["arguments"])["city"] for call in streamed] == cities


async def test_arguments_keep_to_the_schema_even_where_the_model_would_not(
    api: httpx.AsyncClient, caller: str
) -> None:
    """It would say Bern."""
    only_oslo = tool(
        "get_weather", {"properties": {"city": {"const": "Oslo"}}, "required": ["city"]}
    )
    answer = await ask(api, model=caller, tools=[only_oslo])
    [call] = answer["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"])["city"] == "Oslo"


async def test_a_model_may_call_nothing(api: httpx.AsyncClient, caller: str) -> None:
    answer = await ask(api, tools=TOOLS, tool_choice="auto", max_tokens=200)
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["choices"][0]["message"]["content"].startswith("You wrote")
    assert "tool_calls" not in answer["choices"][0]["message"]
    answer = await ask(api, model=caller, tools=TOOLS, tool_choice="none")
    message = answer["choices"][0]["message"]
    assert "tool_calls" not in message
    assert "<tool_call>" in message["content"]  # just text: nobody asked for a call
    assert answer["choices"][0]["finish_reason"] == "stop"


async def test_a_call_that_is_cut_is_said_to_be_cut(api: httpx.AsyncClient) -> None:
    for limit in (3, 45):
        fields = {"tools": TOOLS, "tool_choice": "required", "max_tokens": limit}
        answer = await ask(api, **fields)
        assert answer["choices"][0]["finish_reason"] == "length"
        events = await stream(api, PATH, chat(**fields))
        assert events.finish_reasons == ["length"]


@pytest.mark.parametrize("stop", ["city", "}", "<", "tool"])
async def test_a_stop_text_ends_no_call(api: httpx.AsyncClient, caller: str, stop: str) -> None:
    for choice in ("auto", "required"):
        await _check_whole_call(api, model=caller, tool_choice=choice, stop=stop)


@pytest.mark.parametrize(
    ("choice", "token"),
    [("auto", "{"), ("auto", "}"), ("auto", "y"), ("required", "<"), ("required", "y")],
)
async def test_a_stop_token_ends_no_call(
    api: httpx.AsyncClient, caller: str, choice: str, token: str
) -> None:
    await _check_whole_call(api, model=caller, tool_choice=choice, stop_token_ids=[ord(token)])


async def _check_whole_call(api: httpx.AsyncClient, **fields: Any) -> None:
    fields["tools"] = TOOLS
    [answered] = (await ask(api, **fields))["choices"]
    assert answered["finish_reason"] == "tool_calls"
    [call] = answered["message"]["tool_calls"]
    assert "city" in json.loads(call["function"]["arguments"])
    events = await stream(api, PATH, chat(**fields))
    assert events.finish_reasons == ["tool_calls"]


@pytest.mark.parametrize(
    ("stop", "said"), [({"stop": "look"}, "I "), ({"stop_token_ids": [ord("k")]}, "I loo")]
)
async def test_a_stop_ends_what_is_said_before_a_call(
    api: httpx.AsyncClient, caller: str, stop: dict[str, object], said: str
) -> None:
    [answered] = (await ask(api, model=caller, tools=TOOLS, tool_choice="auto", **stop))["choices"]
    assert (answered["finish_reason"], answered["message"]["content"]) == ("stop", said)
    assert "tool_calls" not in answered["message"]


async def test_results_go_back_to_the_model(api: httpx.AsyncClient) -> None:
    answer = await ask(api, tools=TOOLS, tool_choice="required")
    message = answer["choices"][0]["message"]
    [call] = message["tool_calls"]
    messages = [
        {"role": "user", "content": "How is it?"},
        message,
        {"role": "tool", "tool_call_id": call["id"], "content": "sunny"},
    ]
    body = {"model": "starter", "messages": messages, "tools": TOOLS, "max_tokens": 60}
    response = await api.post(PATH, json=body)
    assert response.status_code == 200, response.text
    assert "sunny" in response.json()["choices"][0]["message"]["content"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tools": "x"}, "tools"),
    ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [tool("a b")]}, "tools[0].function.name"),
    ({"tools": [tool("a"), tool("b"), tool("a")]}, "tools[2].function.name"),
    ({"tools": [tool("a", [])]}, "tools[0].function.parameters"),
    ({"tools": [tool("a", {"type": "string"})]}, "tools[0].function.parameters.type"),
    ({"tools": [tool("a", strict="yes")]}, "tools[0].function.strict"),
    ({"tools": [tool(f"t{n}") for n in range(129)]}, "tools"),
    (
        {"tools": [tool("a"), tool("b", {"properties": {"x": {"not": {}}}}, strict=True)]},
        "tools[1].function.parameters.properties.x.not",
    ),
    (
        {"tools": [tool("a"), tool("b", {"properties": {"x": {"enum": [2**53 + 1]}}})]},
        "tools[1].function.parameters.properties.x.enum[0]",
    ),
    (
        {"tools": [tool("a"), tool("b", {"properties": {"x": {"$ref": "#/$defs/no"}}})]},
        "tools[1].function.parameters",
    ),
    (
        {"tools": [tool(f"t{n}", {"properties": {"x": {"const": "y" * 9000}}}) for n in range(20)]},
        "tools",
    ),
    ({"tools": TOOLS, "tool_choice": "always"}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": 5}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": {"type": "custom"}}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": {"type": "function"}}, "tool_choice.function.name"),
    (
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}},
        "tool_choice.function.name",
    ),
    (
        {"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "allowed_tools": {}}},
        "tool_choice.allowed_tools.tools",
    ),
    (
        {
            "tools": TOOLS,
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": [NAMED]}},
        },
        "tool_choice.allowed_tools.mode",
    ),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": NAMED}, "tool_choice.function.name"),
    ({"tools": TOOLS, "parallel_tool_calls": 1}, "parallel_tool_calls"),
    ({"tools": TOOLS, "structured_outputs": {"regex": "a"}}, "tools"),
    ({"functions": [{"name": "f"}]}, "functions"),
]
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
REFUSED_MESSAGES: list[tuple[dict[str, Any], str]] = [
    ({"role": "tool", "content": "x"}, "messages[0].tool_call_id"),
    ({"role": "assistant", "tool_calls": [{}]}, "messages[0].tool_calls[0].id"),
    (
        {"role": "assistant", "tool_calls": [CALL | {"type": "x"}]},
        "messages[0].tool_calls[0].type",
    ),
    (
        {"role": "assistant", "tool_calls": [CALL], "function_call": CALL["function"]},
        "messages[0].function_call",
    ),
    (
        {"role": "user", "content": "x", "function_call": CALL["function"]},
        "messages[0].function_call",
    ),
    ({"role": "assistant", "function_call": {"name": "f"}}, "messages[0].function_call.arguments"),
    ({"role": "user", "content": "x", "refusal": "no"}, "messages[0].refusal"),
    ({"role": "assistant", "audio": {"id": "audio_1"}}, "messages[0].audio"),
    (
        {"role": "assistant", "tool_calls": [CALL | {"function": {"name": "f", "arguments": {}}}]},
        "messages[0].tool_calls[0].function.arguments",
    ),
]


async def test_what_makes_no_sense_is_a_400_that_names_the_place(
    api: httpx.AsyncClient, schema: OpenAISchema, books: Books
) -> None:
    bodies = [(chat(**fields), param) for fields, param in REFUSED]
    bodies += [
        ({"model": "starter", "messages": [message]}, param) for message, param in REFUSED_MESSAGES
    ]
    for body, param in bodies:
        response = await api.post(PATH, json=body)
        assert response.status_code == 400, (body, response.text)
        schema.check("ErrorResponse", response.json())
        assert response.json()["error"]["param"] == param, response.text
    assert await books.records() == []
    assert await books.open_holds() == 0


async def test_the_official_library_makes_a_round_trip(base_url: str, secret: str) -> None:
    async with AsyncOpenAI(
        base_url=f"{base_url}/v1", api_key=secret, _strict_response_validation=True, timeout=30
    ) as client:
        messages: list[Any] = [{"role": "user", "content": "How is the weather?"}]
        asked: dict[str, Any] = {"model": "starter", "tools": TOOLS, "tool_choice": "required"}
        first = await client.chat.completions.create(messages=messages, **asked)
        assert first.choices[0].finish_reason == "tool_calls"
        message = first.choices[0].message
        assert message.tool_calls is not None
        messages.append(message)
        for call in message.tool_calls:
            assert json.loads(call.function.arguments)["city"] in {"Bern", "Oslo"}
            messages.append({"role": "tool", "tool_call_id": call.id, "content": "17 °C"})
        second = await client.chat.completions.create(
            model="starter", messages=messages, tools=TOOLS, max_tokens=80
        )
        assert "17 °C" in (second.choices[0].message.content or "")
        strict = [tool("get_weather", WEATHER | {"required": ["city", "days"]}, strict=True)]
        async with client.chat.completions.stream(
            messages=messages, **(asked | {"tools": strict})
        ) as events:
            final = await events.get_final_completion()
        calls = final.choices[0].message.tool_calls
        assert calls
        assert set(calls[0].function.parsed_arguments) == {"city", "days"}  # type: ignore[arg-type]


@pytest.mark.slow
async def test_the_shipped_model_calls_a_tool_when_it_has_to(
    running: service.Service, add_model: Callable[..., ServedModel], api: httpx.AsyncClient
) -> None:
    """It knows nothing of tools; what it says is a valid call all the same."""
    engine = RealEngine("real")
    try:
        await asyncio.to_thread(engine.start)
        await db(add_model, "real", max_model_len=2048)
        await running.pool._follow()
        assert await running.pool.wait_until_healthy("real", 60)
        for choice, names in (("required", {"get_weather", "tell_time"}), (NAMED, {"tell_time"})):
            answer = await ask(api, model="real", tools=TOOLS, tool_choice=choice, seed=1)
            assert answer["choices"][0]["finish_reason"] == "tool_calls"
            [call] = answer["choices"][0]["message"]["tool_calls"]
            assert call["function"]["name"] in names
            json.loads(call["function"]["arguments"])
        wanted = {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER}}
        answer = await ask(api, model="real", response_format=wanted, temperature=1, seed=2)
        content = answer["choices"][0]["message"]["content"]
        Draft202012Validator(WEATHER).validate(json.loads(content))
    finally:
        engine.stop()
