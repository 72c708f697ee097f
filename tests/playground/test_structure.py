"""Calls of tools, forms of an answer and probabilities over the socket, with a fake engine."""

import json
import math
from typing import Any

import pytest
from django.test import Client

from playground.models import Conversation, Message, Mode
from portal.lib.db import db
from tests.inference.conftest import Books
from tests.playground.conftest import Site, run

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
CALLED = {"tools": [WEATHER], "tool_choice": "required"}


def joined(deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls of an answer, put together as OpenAI's clients do."""
    calls: list[dict[str, Any]] = []
    for delta in deltas:
        for part in delta.get("tool_calls", ()):
            if "id" in part:
                calls.append({name: part[name] for name in ("id", "type", "function")})
            else:
                calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]
    return calls


async def test_a_call_of_a_tool_streams_is_kept_and_is_answered(
    site: Site, alice_browser: Client, books: Books
) -> None:
    question = {"role": "user", "content": "Is it raining in Zurich?"}
    async with site.page(alice_browser) as page:
        await page.say(**run(messages=[question], parameters=CALLED, conversation="new"))
        started, *deltas, finished = await page.hear_until("finished", "error")
        [call] = joined(deltas)
        assert call["function"]["name"] == "weather"
        assert isinstance(json.loads(call["function"]["arguments"])["city"], str)
        assert finished["summary"]["finish_reason"] == "tool_calls"
        assert "".join(delta["text"] for delta in deltas[:-1]) == ""
        messages = [
            question,
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "It is dry.", "tool_call_id": call["id"]},
        ]
        more = {"messages": messages, "conversation": started["conversation"]}
        await page.say(**run(parameters={"tools": [WEATHER], "tool_choice": "none"}, **more))
        assert (await page.hear_until("finished", "error"))[-1]["type"] == "finished"
    rows = await db(lambda: list(Message.objects.all()))
    assert [row.role for row in rows] == ["user", "assistant", "tool", "assistant"]
    assert rows[1].tool_calls == [call]
    assert rows[1].measured == finished["summary"]
    assert rows[2].tool_call_id == call["id"]
    kept = (await db(Conversation.objects.get)).parameters
    assert kept["tools"] == [WEATHER]
    await books.settled(2)


async def test_a_call_that_was_cut_is_no_end_of_the_conversation(
    site: Site, alice_browser: Client, books: Books
) -> None:
    """The page sends it back with what is said next, as it sends everything."""
    question = {"role": "user", "content": "Is it raining in Zurich?"}
    async with site.page(alice_browser) as page:
        await page.say(**run(messages=[question], parameters=CALLED | {"max_tokens": 52}))
        _, *deltas, finished = await page.hear_until("finished", "error")
        assert finished["summary"]["finish_reason"] == "length"
        [call] = joined(deltas)
        with pytest.raises(json.JSONDecodeError):
            json.loads(call["function"]["arguments"])
        messages = [
            question,
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "user", "content": "Go on."},
        ]
        await page.say(**run(messages=messages, parameters={"tools": [WEATHER]}))
        assert (await page.hear_until("finished", "error"))[-1]["type"] == "finished"
    await books.settled(2)


async def test_an_answer_has_the_form_that_was_asked_for(
    site: Site, alice_browser: Client, books: Books
) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    for wanted, tools in (({"type": "json_object"}, []), (form, []), (form, [WEATHER])):
        async with site.page(alice_browser) as page:
            await page.say(**run(parameters={"response_format": wanted, "tools": tools}))
            _, *deltas, _ = await page.hear_until("finished", "error")
        answer = json.loads("".join(delta["text"] for delta in deltas))
        assert isinstance(answer, dict)
    assert isinstance(answer["n"], int)
    await books.settled(3)


async def test_a_schema_that_cannot_be_followed_is_refused_by_its_place(
    site: Site, alice_browser: Client, books: Books
) -> None:
    schema = {"type": "object", "not": {"required": ["a"]}}
    strict = {"name": "answer", "schema": schema, "strict": True}
    form = {"type": "json_schema", "json_schema": strict}
    tool = {"name": "weather", "parameters": schema, "strict": True}
    asked = [
        ({"response_format": form}, "parameters.response_format.json_schema.schema.not"),
        (
            {"tools": [{"type": "function", "function": tool}]},
            "parameters.tools[0].function.parameters.not",
        ),
    ]
    async with site.page(alice_browser) as page:
        for parameters, param in asked:
            await page.say(**run(parameters=parameters))
            error = await page.hear()
            assert (error["id"], error["error"]["param"]) == ("r1", param)
    assert await books.records() == []


async def test_probabilities_come_with_the_text_and_are_summed_up_by_the_server(
    site: Site, alice_browser: Client, books: Books
) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run(parameters={"logprobs": True, "top_logprobs": 3}))
        _, *deltas, finished = await page.hear_until("finished", "error")
    tokens = [token for delta in deltas for token in delta.get("logprobs", ())]
    summary = finished["summary"]
    assert len(tokens) == summary["completion_tokens"] - 1  # all but the end
    assert all(len(token["top"]) == 3 for token in tokens)
    text = "".join(delta["text"] for delta in deltas)
    assert "".join(token["token"] for token in tokens).startswith(text.partition("ü")[0])
    total = sum(token["logprob"] for token in tokens)
    assert math.isclose(summary["logprob"], total)
    assert math.isclose(summary["perplexity"], math.exp(-total / len(tokens)))
    await books.settled(1)


async def test_who_asks_for_no_probabilities_gets_none(
    site: Site, alice_browser: Client, books: Books
) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run())
        _, *deltas, finished = await page.hear_until("finished", "error")
    assert all("logprobs" not in delta for delta in deltas)
    assert "perplexity" not in finished["summary"]
    await books.settled(1)


async def test_a_completion_is_kept_with_the_text_that_it_went_on_with(
    site: Site, alice_browser: Client, books: Books
) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run(messages=None, prompt="Once upon", conversation="new"))
        _, *deltas, finished = await page.hear_until("finished", "error")
    kept = await db(Conversation.objects.get)
    assert (kept.mode, kept.title) == (Mode.COMPLETION, "Once upon")
    prompt, answer = await db(lambda: list(Message.objects.all()))
    assert (prompt.role, prompt.content) == ("user", "Once upon")
    assert answer.content == "".join(delta["text"] for delta in deltas)
    assert answer.measured == finished["summary"]
    await books.settled(1)


async def test_one_generation_is_cancelled_while_others_go_on(
    site: Site, alice_browser: Client, books: Books
) -> None:
    ids = {"a", "b", "c", "d"}
    async with site.page(alice_browser) as page:
        for name in sorted(ids):
            await page.say(**run(id=name, model="slow", parameters={"max_tokens": 120}))
        heard: set[str] = set()
        while heard < ids:
            frame = await page.hear()
            heard |= {frame["id"]} if frame["type"] == "delta" else set()
        await page.say(type="cancel", id="b")
        ends: dict[str, dict[str, Any]] = {}
        while len(ends) < 4:
            frame = await page.hear()
            if frame["type"] == "finished":
                ends[frame["id"]] = frame["summary"]
    assert next(iter(ends)) == "b"
    assert {name: summary["outcome"] for name, summary in ends.items()} == {
        "a": "finished", "b": "aborted", "c": "finished", "d": "finished",
    }  # fmt: skip
    assert ends["b"]["completion_tokens"] < 120
    await books.settled(4)
    await books.audit()
