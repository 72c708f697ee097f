"""Bodies of the API are kept for who wants them: what went over the wire, of what was accepted."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from accounts.authentication import key_cache
from accounts.models import Organisation
from inference import service
from inference.log import bodies
from inference.log.bodies import Bodies
from inference.models import KeptBodies
from portal.lib.db import db
from tests.inference.conftest import Books, chat, under_way
from tests.inference.engines import FakeEngine

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
BODIES = [
    (CHAT, chat("hi, 你好", max_tokens=4)),
    (CHAT, chat(max_tokens=4, stream=True)),
    (COMPLETIONS, {"model": "starter", "prompt": "hi", "max_tokens": 4}),
    (COMPLETIONS, {"model": "starter", "prompt": "hi", "max_tokens": 4, "stream": True}),
]


@pytest.fixture
async def keeper(organisation: Organisation) -> Organisation:
    def turn_on() -> None:
        Organisation.objects.filter(pk=organisation.pk).update(keeps_bodies=True)
        key_cache.clear()

    await db(turn_on)
    return organisation


async def kept(organisation: Organisation, request_id: str) -> Bodies:
    """Of this request, a moment after its end at the latest."""
    for _ in range(200):
        if (found := await db(bodies.read, organisation.id, request_id)) is not None:
            return found
        await asyncio.sleep(0.02)
    pytest.fail("nothing is kept")


@pytest.mark.parametrize("headers", [{}, {"idempotency-key": "1"}])
@pytest.mark.parametrize(("path", "body"), BODIES)
async def test_request_and_answer_are_kept_as_they_were(
    api: httpx.AsyncClient,
    keeper: Organisation,
    path: str,
    body: dict[str, Any],
    headers: dict[str, str],
) -> None:
    request = api.build_request("POST", path, json=body, headers=headers)
    answer = await api.send(request)
    found = await db(bodies.read, keeper.id, answer.headers["x-request-id"])
    assert found == Bodies(
        request.content, answer.content, len(request.content), len(answer.content)
    )


@pytest.mark.parametrize(("path", "body"), BODIES)
async def test_nothing_is_kept_of_anybody_else(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any]
) -> None:
    def fail(*_args: object) -> None:
        pytest.fail("a query nobody asked for")

    monkeypatch.setattr(bodies, "keep", fail)
    assert (await api.post(path, json=body)).status_code == 200
    assert not await db(KeptBodies.objects.exists)


@pytest.mark.parametrize("body", [chat(temperature=9), chat(model="nobody"), {}])
async def test_what_was_refused_is_not_kept(
    api: httpx.AsyncClient, keeper: Organisation, body: dict[str, Any]
) -> None:
    assert (await api.post(CHAT, json=body)).status_code >= 400
    assert (await api.post(CHAT, content=b"{")).status_code == 400
    assert not await db(KeptBodies.objects.exists)


async def test_a_replayed_answer_is_kept_once(
    api: httpx.AsyncClient, keeper: Organisation, books: Books
) -> None:
    for _ in range(2):
        await api.post(CHAT, json=chat(max_tokens=2), headers={"idempotency-key": "1"})
    await books.settled(1)
    assert await db(KeptBodies.objects.count) == 1


async def test_a_hang_up_keeps_what_was_sent_until_then(
    web: httpx.AsyncClient, keeper: Organisation, books: Books
) -> None:
    body = chat(model="slow", max_tokens=1000, stream=True)
    async with web.stream("POST", CHAT, json=body) as response:
        await anext(response.aiter_lines())
        request_id = response.headers["x-request-id"]
    found = await kept(keeper, request_id)
    assert found.answer.startswith(b"data: {")
    assert b"[DONE]" not in found.answer
    assert (await books.settled(1))[0].outcome == "aborted"


async def test_who_hung_up_before_a_whole_answer_kept_the_question(
    running: service.Service, web: httpx.AsyncClient, keeper: Organisation, books: Books
) -> None:
    leaving = asyncio.create_task(web.post(CHAT, json=chat(model="slow", max_tokens=500)))
    await under_way(running)
    leaving.cancel()
    [record] = await books.settled(1)
    found = await kept(keeper, record.request_id)
    assert (b"slow" in found.request, found.answer) == (True, b"")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_keeps_its_error(
    running: service.Service,
    web: httpx.AsyncClient,
    keeper: Organisation,
    add_model: Callable[..., object],
    books: Books,
    stream: bool,
) -> None:
    await db(add_model, "fragile", max_model_len=2048)
    engine = FakeEngine("fragile", max_model_len=2048, fake_tokens_per_second=50).start()
    try:
        assert await running.pool.wait_until_healthy("fragile", 60)
        body = chat(model="fragile", max_tokens=400, stream=stream)
        first = asyncio.create_task(web.post(CHAT, json=body))
        await under_way(running, "fragile")
    finally:
        engine.stop()
    answer = await first
    [record] = await books.settled(1)
    found = await kept(keeper, record.request_id)
    assert found.answer == answer.content
    assert b'"error"' in found.answer
