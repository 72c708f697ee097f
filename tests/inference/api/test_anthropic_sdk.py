"""`/v1/messages` through Anthropic's own library, unmodified."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import anthropic
import pytest
from anthropic import AsyncAnthropic
from pydantic import BaseModel

from inference import catalog
from inference.models import ServedModel
from portal.lib.db import db
from tests.inference.conftest import Books

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
TOOL: Any = {
    "name": "get_weather",
    "description": "Tells the weather.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"enum": ["Bern", "Oslo"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}

ANY: Any = {"type": "any"}


class Weather(BaseModel):
    city: Literal["Bern", "Oslo"]
    days: int


@pytest.fixture
async def client(base_url: str, secret: str) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(
        base_url=base_url, api_key=secret, _strict_response_validation=True, timeout=30
    ) as client:
        yield client


async def test_a_message(client: AsyncAnthropic, books: Books) -> None:
    message = await client.messages.create(model="starter", max_tokens=200, messages=HELLO)
    assert message.stop_reason == "end_turn"
    assert message.content[0].type == "text"
    assert message.content[0].text.startswith('You wrote: "hello"')
    assert message._request_id is not None
    assert (await books.record()).output_tokens == message.usage.output_tokens
    counted = await client.messages.count_tokens(model="starter", messages=HELLO)
    cached = message.usage.cache_read_input_tokens or 0
    assert counted.input_tokens == message.usage.input_tokens + cached


async def test_models_page_by_page(client: AsyncAnthropic) -> None:
    expected = ["starter", "slow"]
    assert [model.id async for model in client.models.list()] == expected
    assert [model.id async for model in client.models.list(limit=1)] == expected
    assert [model.id async for model in client.models.list(limit=1, before_id="slow")] == [
        "starter",
    ]  # fmt: skip
    assert [model.id async for model in client.models.list(after_id="slow")] == []
    first = await client.models.list(limit=1)
    assert (first.has_more, first.first_id, first.last_id) == (True, "starter", "starter")
    assert first.data == [await client.models.retrieve("gpt-4o-mini")]
    starter = first.data[0]
    assert (starter.type, starter.display_name, starter.lifecycle) == (
        "model", "starter", "active",
    )  # fmt: skip
    assert (starter.max_input_tokens, starter.retires_at) == (2048, None)
    assert abs(starter.created_at - datetime.now(UTC)) < timedelta(minutes=10)


async def test_a_model_that_will_be_switched_off_is_deprecated(client: AsyncAnthropic) -> None:
    await db(lambda: ServedModel.objects.filter(name="slow").update(shutdown_date="2027-03-01"))
    catalog.forget()
    slow = await client.models.retrieve("slow")
    assert (slow.lifecycle, slow.retires_at) == ("deprecated", datetime(2027, 3, 1, tzinfo=UTC))


async def test_refusals_of_models_are_its_own_exceptions(client: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        await client.models.retrieve("claude-9")
    assert missing.value.body["error"]["type"] == "not_found_error"  # type: ignore[index,call-overload]
    for query in ({"limit": 0}, {"limit": 1001}, {"after_id": "other"}, {"before_id": "other"}):
        with pytest.raises(anthropic.BadRequestError) as refused:
            await client.models.list(**query)  # type: ignore[arg-type]
        details = refused.value.body["error"]["details"]  # type: ignore[index,call-overload]
        assert details["param"] == next(iter(query))
    with pytest.raises(anthropic.AuthenticationError):
        await client.with_options(api_key="sk-wrong").models.list()


async def test_the_helper_that_accumulates(client: AsyncAnthropic) -> None:
    async with client.messages.stream(
        model="starter", max_tokens=200, messages=HELLO, system="Be brief."
    ) as stream:
        text = "".join([part async for part in stream.text_stream])
        final = await stream.get_final_message()
    assert final.content[0].type == "text"
    assert final.content[0].text == text
    assert text.startswith('You wrote: "hello"')
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 0


async def test_tools_are_used_and_answered(client: AsyncAnthropic) -> None:
    messages: list[Any] = [{"role": "user", "content": "How is the weather?"}]
    first = await client.messages.create(
        model="starter",
        max_tokens=200,
        messages=messages,
        tools=[TOOL],
        tool_choice={"type": "any"},
    )
    assert first.stop_reason == "tool_use"
    [use] = first.content
    assert use.type == "tool_use"
    assert use.input["city"] in {"Bern", "Oslo"}
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "17 °C"}
    messages += [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    second = await client.messages.create(
        model="starter", max_tokens=200, messages=messages, tools=[TOOL]
    )
    assert second.content[0].type == "text"
    assert "17 °C" in second.content[0].text
    async with client.messages.stream(
        model="starter",
        max_tokens=200,
        messages=messages,
        tools=[TOOL],
        tool_choice={"type": "any"},
    ) as stream:
        final = await stream.get_final_message()
    assert final.content[0].type == "tool_use"
    assert final.content[0].input["city"] in {"Bern", "Oslo"}


async def test_the_runner_of_tools_sends_the_whole_conversation(
    client: AsyncAnthropic, caller: str, books: Books
) -> None:
    """It would have the server hold the conversation, and send the results of tools alone."""

    @anthropic.beta_async_tool
    async def get_weather(city: str) -> str:
        """Tell the weather."""
        return f"17 °C in {city}"

    runner = client.beta.messages.tool_runner(
        model=caller, max_tokens=200, messages=HELLO, tools=[get_weather], max_iterations=2
    )
    answers = [answer async for answer in runner]
    assert [answer.stop_reason for answer in answers] == ["tool_use", "tool_use"]
    first, second = await books.settled(2)
    # The conversation so far, with its call, and what the tool had to say.
    assert second.prompt_tokens > first.prompt_tokens + first.output_tokens


async def test_structured_output_is_parsed(client: AsyncAnthropic) -> None:
    message = await client.messages.parse(
        model="starter", max_tokens=200, messages=HELLO, output_format=Weather
    )
    assert isinstance(message.parsed_output, Weather)


async def test_errors_become_the_right_exceptions(client: AsyncAnthropic) -> None:
    once = client.with_options(max_retries=0)
    with pytest.raises(anthropic.NotFoundError) as missing:
        await once.messages.create(model="gpt-9", max_tokens=9, messages=HELLO)
    assert missing.value.type == "not_found_error"
    assert missing.value.error_code == "model_not_found"
    assert missing.value.request_id is not None
    assert missing.value.request_id.startswith("req_")
    with pytest.raises(anthropic.BadRequestError) as bad:
        await once.messages.create(
            model="starter", max_tokens=9, messages=HELLO, extra_body={"temperature": 2}
        )
    assert bad.value.type == "invalid_request_error"
    assert "temperature" in str(bad.value.api_message)
    with pytest.raises(anthropic.AuthenticationError):
        await once.with_options(api_key="sk-wrong").messages.create(
            model="starter", max_tokens=9, messages=HELLO
        )


async def test_a_hang_up_by_the_library(client: AsyncAnthropic, books: Books) -> None:
    stream = await client.messages.create(
        model="slow", max_tokens=1000, messages=HELLO, stream=True
    )
    async for event in stream:
        if event.type == "content_block_delta":
            break
    await stream.close()
    [record] = await books.settled(1)
    assert record.outcome == "aborted"
    await books.audit()
