"""Tools and a form in one request: the model calls, or says a text of that form."""

import json
from typing import Any

import httpx
import pytest

from tests.inference.api.events import stream
from tests.inference.api.openai_schema import OpenAISchema
from tests.inference.conftest import Books, Serve, chat

PATH = "/v1/chat/completions"
FUNCTION = {
    "name": "get_weather",
    "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]
    },
}  # fmt: skip
TOOLS = [{"type": "function", "function": FUNCTION}]
NAMED = {"type": "function", "function": {"name": "get_weather"}}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
FORM = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
SAYS = '{"name":"<tool_call>"}'
CALLS = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Bern"}}\n</tool_call>'


@pytest.mark.parametrize("choice", [None, "auto", {"type": "allowed_tools", "allowed_tools": {
    "mode": "auto", "tools": [NAMED]}}])  # fmt: skip
async def test_the_model_chooses_between_a_call_and_a_text_of_the_form(
    api: httpx.AsyncClient, serve: Serve, schema: OpenAISchema, books: Books, choice: Any
) -> None:
    for text in (SAYS, CALLS):
        async with serve(f"says-{len(text)}", fake_text=text) as engine:
            body = chat(model=engine.model, tools=TOOLS, tool_choice=choice, response_format=FORM)
            answer = (await api.post(PATH, json=body)).json()
            schema.check("CreateChatCompletionResponse", answer)
            [told] = answer["choices"]
            message = told["message"]
            events = await stream(api, PATH, body)
            if text == SAYS:
                assert (told["finish_reason"], message["content"]) == ("stop", SAYS)
                assert events.text == SAYS
                assert "tool_calls" not in message
            else:
                assert (told["finish_reason"], message["content"]) == ("tool_calls", None)
                [call] = message["tool_calls"]
                assert json.loads(call["function"]["arguments"]) == {"city": "Bern"}
                assert events.text == ""
            used = answer["usage"]["completion_tokens"]
            assert [r.output_tokens for r in await books.records()][-2:] == [used, used]


async def test_what_would_be_neither_is_bent_into_the_form(api: httpx.AsyncClient) -> None:
    body = chat(tools=TOOLS, response_format=FORM)
    told = (await api.post(PATH, json=body)).json()["choices"][0]
    assert json.loads(told["message"]["content"]) == {"name": ""}


@pytest.mark.parametrize("choice", ["required", NAMED])
async def test_where_a_call_is_required_no_text_has_a_form(
    api: httpx.AsyncClient, choice: Any
) -> None:
    """Instructor sends both for a class that is read from a call."""
    body = chat(tools=TOOLS, tool_choice=choice, response_format=FORM)
    told = (await api.post(PATH, json=body)).json()["choices"][0]
    assert told["finish_reason"] == "tool_calls"


async def test_where_none_may_be_called_the_text_has_its_form(api: httpx.AsyncClient) -> None:
    body = chat(tools=TOOLS, tool_choice="none", response_format=FORM)
    told = (await api.post(PATH, json=body)).json()["choices"][0]
    assert json.loads(told["message"]["content"]) == {"name": ""}


async def test_other_apis_take_both(api: httpx.AsyncClient) -> None:
    flat = [{"type": "function", **FUNCTION}]
    text = {"format": {"type": "json_schema", "name": "person", "schema": PERSON}}
    body: dict[str, Any] = {"model": "starter", "input": "hi", "tools": flat, "text": text}
    [item] = (await api.post("/v1/responses", json=body)).json()["output"]
    assert json.loads(item["content"][0]["text"]) == {"name": ""}
    body = chat(
        max_tokens=50,
        tools=[{"name": "get_weather", "input_schema": FUNCTION["parameters"]}],
        output_config={"format": {"type": "json_schema", "schema": PERSON}},
    )
    [block] = (await api.post("/v1/messages", json=body)).json()["content"]
    assert json.loads(block["text"]) == {"name": ""}


async def test_a_form_that_cannot_be_followed_is_named_beside_tools(
    api: httpx.AsyncClient,
) -> None:
    wrong = {"name": "x", "strict": True, "schema": {"type": "string", "not": {}}}
    form = {"type": "json_schema", "json_schema": wrong}
    refused = await api.post(PATH, json=chat(tools=TOOLS, response_format=form))
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "response_format.json_schema.schema.not"
