"""Who sends an `Idempotency-Key` while it runs: told when its answer is there, at little cost."""

import asyncio
from typing import Any

import httpx
import pytest

from accounts.models import ApiKey
from inference.api import keyed_wait
from inference.log import replays
from portal.lib.db import db
from tests.billing.money import beats
from tests.inference.api.test_idempotency import CHAT, key, rows
from tests.inference.conftest import Books, chat


@pytest.mark.parametrize("stream", [False, True])
async def test_who_comes_meanwhile_joins(
    web: httpx.AsyncClient, books: Books, stream: bool
) -> None:
    body = chat(model="slow", max_tokens=20, stream=stream)
    found = await asyncio.gather(*(web.post(CHAT, json=body, headers=key()) for _ in range(6)))
    assert {answer.status_code for answer in found} == {200}
    assert len({answer.content for answer in found}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in found) == 5
    await books.settled(1)


async def test_one_asks_the_database_for_all_who_wait(
    web: httpx.AsyncClient, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, claims = counted(monkeypatch, "is_running"), counted(monkeypatch, "claim")
    body = chat(model="slow", max_tokens=80)
    found = await asyncio.gather(*(web.post(CHAT, json=body, headers=key()) for _ in range(12)))
    assert len({answer.content for answer in found}) == 1
    assert len(claims) <= 2 * 12  # when each came, and when it was there
    assert 1 <= len(looks) < 12  # their pauses grow to a second
    assert not keyed_wait._watches
    await books.settled(1)


async def test_only_so_many_wait(
    web: httpx.AsyncClient, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyed_wait, "MAX_WAITING", 2)
    body = chat(model="slow", max_tokens=80)
    first = asyncio.create_task(web.post(CHAT, json=body, headers=key()))
    while not await rows():
        await asyncio.sleep(0.005)
    found = await asyncio.gather(*(web.post(CHAT, json=body, headers=key()) for _ in range(5)))
    assert sorted(answer.status_code for answer in found) == [200, 200, 429, 429, 429]
    for answer in found:
        if answer.status_code == 429:
            assert answer.json()["error"]["code"] == "rate_limit_exceeded"
            assert answer.json()["error"]["param"] == "Idempotency-Key"
            assert answer.headers["retry-after"] == "1"
    assert (await first).status_code == 200
    later = await web.post(CHAT, json=body, headers=key())
    assert later.headers["idempotent-replayed"] == "true"
    await books.settled(1)


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[tuple[Any, ...]]:
    """The calls of one of the functions of `replays`, from now on."""
    function, calls = getattr(replays, name), []

    def watch(*arguments: Any) -> Any:
        calls.append(arguments)
        return function(*arguments)

    monkeypatch.setattr(replays, name, watch)
    return calls


async def test_who_waits_may_leave(
    web: httpx.AsyncClient, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = counted(monkeypatch, "is_running")
    body = chat(model="slow", max_tokens=80)
    first = asyncio.create_task(web.post(CHAT, json=body, headers=key()))
    while not await rows():
        await asyncio.sleep(0.005)
    second = asyncio.create_task(web.post(CHAT, json=body, headers=key()))
    while not asked:
        await asyncio.sleep(0.005)
    second.cancel()
    while keyed_wait._watches:
        await asyncio.sleep(0.005)
    until_then = len(asked)
    assert not first.done()
    assert (await first).status_code == 200
    assert len(asked) == until_then  # nobody asks for who has left
    await books.settled(1)


async def test_a_dead_process_row_is_taken_over_when_its_lease_is_over(
    api: httpx.AsyncClient, api_key: tuple[ApiKey, str], books: Books
) -> None:
    body = chat(max_tokens=2)
    request = api.build_request("POST", CHAT, json=body)
    dead = replays.asked(api_key[0].organisation_id, "order 1", CHAT, request.content, "req_dead")
    assert isinstance(await db(replays.claim, dead), replays.Ours)
    await db(beats, 3)
    again = asyncio.create_task(api.post(CHAT, json=body, headers=key()))
    await asyncio.sleep(0.3)
    assert not again.done()
    await db(beats, 1)
    answer = await asyncio.wait_for(again, 30)
    assert answer.status_code == 200
    assert "idempotent-replayed" not in answer.headers
    await books.settled(1)
