"""What is too long is not even encoded, and no organisation's long texts hold up another's."""

import asyncio

import httpx
import pytest

from accounts import flows
from accounts.models import User
from inference.prompts import MAX_TEXT_BYTES
from portal.lib.db import db
from tests.inference.conftest import Books, chat

TOO_LONG = "€" * (MAX_TEXT_BYTES // 3 + 1)
TURN = [{"role": "user", "content": TOO_LONG}]


@pytest.mark.usefixtures("encoders")
@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/tokenize", {"prompt": TOO_LONG}, "prompt"),
        ("/tokenize", {"messages": TURN}, "messages"),
        ("/tokenize", {"model": "vectors", "prompt": TOO_LONG}, "prompt"),
        ("/v1/completions", {"prompt": ["a", TOO_LONG], "max_tokens": 1}, "prompt[1]"),
        ("/v1/chat/completions", {"messages": TURN}, "messages"),
        ("/v1/responses", {"input": TOO_LONG}, "input"),
        ("/v1/responses/input_tokens", {"input": TOO_LONG}, "input"),
        ("/v1/embeddings", {"model": "vectors", "input": ["a", TOO_LONG]}, "input[1]"),
        ("/v1/fill-mask", {"model": "masks", "input": TOO_LONG}, "input"),
    ],
)
async def test_a_text_that_is_too_long_is_refused_by_its_size(
    api: httpx.AsyncClient, books: Books, path: str, fields: dict[str, object], param: str
) -> None:
    refused = await api.post(path, json={"model": "starter"} | fields)
    error = refused.json()["error"]
    assert (refused.status_code, error["param"], error["code"]) == (
        400, param, "context_length_exceeded",
    )  # fmt: skip
    assert "maximum context length is" in error["message"]  # as libraries know it
    assert f"at most {MAX_TEXT_BYTES} bytes" in error["message"]
    assert await books.records() == []
    assert await books.open_holds() == 0


async def test_anthropics_clients_are_told_too(api: httpx.AsyncClient) -> None:
    asked = {"model": "starter", "messages": TURN}
    refused = await api.post("/v1/messages/count_tokens", json=asked)
    assert (refused.status_code, refused.json()["error"]["details"]["param"]) == (400, "messages")


async def test_the_longest_text_is_counted(api: httpx.AsyncClient) -> None:
    text = "a" * (MAX_TEXT_BYTES - 100)
    assert (await api.post("/tokenize", json={"prompt": text})).json()["count"] == len(text)
    asked = chat("a" * (MAX_TEXT_BYTES - 100))
    told = (await api.post("/v1/chat/completions", json=asked)).json()["error"]["message"]
    assert "your prompt has 10" in told  # it was counted


async def test_long_texts_of_others_have_their_turn(api: httpx.AsyncClient, charlie: User) -> None:
    organisation = await db(lambda: charlie.memberships.get().organisation)
    _key, secret = await db(flows.create_key, organisation, charlie, "k")
    theirs = {"authorization": f"Bearer {secret}"}
    asked = {"prompt": " the" * (MAX_TEXT_BYTES // 5)}
    ended: list[str] = []

    async def count(who: str, headers: dict[str, str]) -> None:
        assert (await api.post("/tokenize", json=asked, headers=headers)).status_code == 200
        ended.append(who)

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(count("a crowd", {}))
        await asyncio.sleep(0.2)  # it is there before
        group.create_task(count("another", theirs))
    assert ended.index("another") < 4
