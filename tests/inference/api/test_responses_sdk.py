"""`/v1/responses` through OpenAI's own library, unmodified and strict."""

import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import FunctionToolParam
from pydantic import BaseModel

from tests.inference.conftest import Books


class Weather(BaseModel):
    city: Literal["Bern", "Oslo"]
    days: int


TOOL: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"enum": ["Bern", "Oslo"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


@pytest.fixture
async def client(base_url: str, secret: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=f"{base_url}/v1", api_key=secret, _strict_response_validation=True, timeout=30
    ) as client:
        yield client


async def test_a_response(client: AsyncOpenAI, books: Books) -> None:
    response = await client.responses.create(model="gpt-4o-mini", input="hello")
    assert response.output_text.startswith('You wrote: "hello"')
    assert response.status == "completed"
    assert response.usage is not None
    assert (await books.record()).output_tokens == response.usage.output_tokens
    counted = await client.responses.input_tokens.count(model="starter", input="hello")
    assert counted.input_tokens == response.usage.input_tokens


async def test_the_helper_that_accumulates(client: AsyncOpenAI) -> None:
    async with client.responses.stream(model="starter", input="hello") as stream:
        text = "".join([e.delta async for e in stream if e.type == "response.output_text.delta"])
        final = await stream.get_final_response()
    assert final.output_text == text
    assert text.startswith('You wrote: "hello"')


async def test_plain_events(client: AsyncOpenAI) -> None:
    stream = await client.responses.create(
        model="starter", input="hello", stream=True, max_output_tokens=3
    )
    events = [event async for event in stream]
    assert events[0].type == "response.created"
    assert events[-1].type == "response.incomplete"


async def test_functions_are_called_and_answered(client: AsyncOpenAI) -> None:
    items: list[Any] = [{"role": "user", "content": "How is the weather?"}]
    first = await client.responses.create(
        model="starter", input=items, tools=[TOOL], tool_choice="required"
    )
    items += first.output
    for item in first.output:
        assert item.type == "function_call"
        assert json.loads(item.arguments)["city"] in {"Bern", "Oslo"}
        items.append({"type": "function_call_output", "call_id": item.call_id, "output": "17 °C"})
    second = await client.responses.create(
        model="starter", input=items, tools=[TOOL], max_output_tokens=80
    )
    assert "17 °C" in second.output_text
    async with client.responses.stream(
        model="starter", input=items, tools=[TOOL], tool_choice="required"
    ) as stream:
        final = await stream.get_final_response()
    assert final.output[0].type == "function_call"


async def test_structured_output_is_parsed(client: AsyncOpenAI) -> None:
    response = await client.responses.parse(model="starter", input="Weather?", text_format=Weather)
    assert isinstance(response.output_parsed, Weather)


async def test_errors_become_the_right_exceptions(client: AsyncOpenAI) -> None:
    once = client.with_options(max_retries=0)
    with pytest.raises(openai.NotFoundError) as missing:
        await once.responses.create(model="gpt-9", input="x")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        await once.responses.create(model="starter", input="x", max_output_tokens=10**6)
    assert (long.value.code, long.value.param) == (
        "context_length_exceeded", "max_output_tokens",
    )  # fmt: skip
    with pytest.raises(openai.BadRequestError) as tool:
        await once.responses.create(model="starter", input="x", tools=[{"type": "web_search"}])
    assert tool.value.param == "tools[0].type"
    with pytest.raises(openai.NotFoundError) as gone:
        await once.responses.retrieve("resp_unknown")
    assert gone.value.code == "response_not_found"
