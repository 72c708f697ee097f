"""An engine is lost before it has said a word: another one of its model answers, for one price."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import httpx
import pytest

from accounts.models import Organisation
from inference import service
from inference.client import EngineLink
from inference.models import ServedModel
from portal.lib.db import db
from tests.inference.conftest import Books, Holds, chat
from tests.inference.engines import FakeEngine
from tests.inference.test_begun_early import begin, only, until
from tests.inference.test_model_lifecycle import engines

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
MODEL = "twins"
Twins = dict[str, FakeEngine]  # by address
A_SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "integer"}}}
GIVEN_NANOS = 10 * 10**9


@pytest.fixture
def serve_two(
    running: service.Service, add_model: Callable[..., ServedModel]
) -> Callable[..., AbstractAsyncContextManager[Twins]]:
    """Makes a model with two engines; `others` are options of the second alone."""

    @asynccontextmanager
    async def serving(
        kind: str = "text", others: dict[str, object] | None = None, **options: object
    ) -> AsyncIterator[Twins]:
        await db(partial(add_model, MODEL, num_engines=2, kind=kind, is_chat=kind == "text"))
        options = {"fake_kind": kind, "max_model_len": 2048} | options
        both = FakeEngine(MODEL, **options), FakeEngine(MODEL, 2, **options | (others or {}))
        async with engines(running, *both):
            yield {engine.address: engine for engine in both}

    return serving


@pytest.fixture
async def twins(
    serve_two: Callable[..., AbstractAsyncContextManager[Twins]],
) -> AsyncIterator[Twins]:
    """Two engines of one model."""
    async with serve_two() as both:
        yield both


async def lose(twins: Twins, link: EngineLink) -> None:
    """`kill -9` one of them, and wait until that is known."""
    twins[link.address].kill()
    await until(lambda: not link.answers)


def the_next(running: service.Service, twins: Twins) -> tuple[EngineLink, FakeEngine]:
    """The engine that the next request goes to."""
    link = running.pool.pick(MODEL)
    assert link is not None
    return link, twins[link.address]


# Before anything is held.


@pytest.mark.parametrize(
    ("call", "path", "body"),
    [
        ("tokenize", CHAT, chat(model=MODEL, max_tokens=3, stream=True)),
        ("check_grammar", CHAT, chat(model=MODEL, max_tokens=3, response_format=A_SCHEMA)),
        ("tokenize", "/tokenize", {"model": MODEL, "prompt": "hi"}),
        ("detokenize", "/detokenize", {"model": MODEL, "tokens": [104, 105]}),
    ],
)
async def test_what_an_engine_is_asked_when_it_is_lost_another_one_is_asked(
    running: service.Service, api: httpx.AsyncClient, twins: Twins, books: Books,
    monkeypatch: pytest.MonkeyPatch, call: str, path: str, body: dict[str, object],
) -> None:  # fmt: skip
    link, engine = the_next(running, twins)
    real, lost = getattr(link, call), []

    async def asked(request: object) -> object:
        engine.kill()
        lost.append(call)
        return await real(request)

    monkeypatch.setattr(link, call, asked)
    answer = await api.post(path, json=body)
    assert (answer.status_code, lost) == (200, [call])
    if path == CHAT:
        [record] = await books.settled(1)
        assert record.outcome == "finished"
        assert record.cost_nanos == 1000 * (record.uncached_tokens + record.output_tokens) > 0
    await books.audit()


async def test_where_every_engine_is_lost_nothing_was_held(
    running: service.Service, api: httpx.AsyncClient, twins: Twins, books: Books,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    link, _ = the_next(running, twins)
    real = link.tokenize

    async def asked(request: object) -> object:
        for engine in twins.values():
            engine.kill()
        return await real(request)  # type: ignore[arg-type]

    monkeypatch.setattr(link, "tokenize", asked)
    refused = await api.post(CHAT, json=chat(model=MODEL))
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert all(other.load == 0 for other in running.pool.links if other.model == MODEL)
    assert await books.records() == []
    assert await books.open_holds() == 0


# While the hold is written.


async def test_who_waits_for_the_hold_of_a_lost_engine_is_answered_by_another(
    running: service.Service, api: httpx.AsyncClient, twins: Twins, books: Books,
    late_holds: Holds, organisation: Organisation,
) -> None:  # fmt: skip
    asked, generation = await begin(running, api, late_holds, model=MODEL, max_tokens=3)
    lost = generation.link
    await lose(twins, lost)
    assert not generation.submitted
    late_holds.allowed.set()
    assert (await asked).json()["usage"]["completion_tokens"] == 3
    assert generation.link is not lost
    [record] = await books.settled(1)
    assert record.cost_nanos == 1000 * (record.uncached_tokens + 3) > 3000
    balance = await books.balance(organisation.pk)
    assert balance.available_nanos == GIVEN_NANOS - record.cost_nanos
    await books.audit()


async def test_an_encoder_s_too(
    running: service.Service, api: httpx.AsyncClient, books: Books, late_holds: Holds,
    serve_two: Callable[..., AbstractAsyncContextManager[Twins]],
) -> None:  # fmt: skip
    async with serve_two("embeddings") as twins:
        body = {"model": MODEL, "input": "x" * 100}
        asked = asyncio.create_task(api.post(EMBEDDINGS, json=body))
        await until(late_holds.asked.is_set)
        await lose(twins, only(running).link)
        late_holds.allowed.set()
        assert (await asked).json()["usage"]["prompt_tokens"] == 100
    [record] = await books.settled(1)
    assert record.cost_nanos == 100 * 1000
    await books.audit()


@pytest.mark.parametrize("others", [{"max_model_len": 1024}, {"max_model_len": 4096}])
async def test_an_engine_with_another_limit_does_not_suit(
    running: service.Service, api: httpx.AsyncClient, books: Books, late_holds: Holds,
    serve_two: Callable[..., AbstractAsyncContextManager[Twins]], others: dict[str, object],
    organisation: Organisation,
) -> None:  # fmt: skip
    async with serve_two(others=others) as twins:
        asked, generation = await begin(running, api, late_holds, model=MODEL, max_tokens=3)
        await lose(twins, generation.link)
        late_holds.allowed.set()
        failed = await asked
    assert (failed.status_code, failed.json()["error"]["code"]) == (503, "engine_lost")
    [record] = await books.settled(1)
    assert (record.outcome, record.cost_nanos) == ("failed", 0)
    assert (await books.balance(organisation.pk)).available_nanos == GIVEN_NANOS
    await books.audit()
