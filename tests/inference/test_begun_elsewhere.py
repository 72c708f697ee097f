"""An engine is lost before it has said a word: another one of its model answers, for one price."""

from collections.abc import AsyncIterator, Callable
from functools import partial

import httpx
import pytest

from inference import service
from inference.client import EngineLink
from inference.models import ServedModel
from portal.lib.db import db
from tests.inference.conftest import Books, chat
from tests.inference.engines import FakeEngine
from tests.inference.test_model_lifecycle import engines

CHAT = "/v1/chat/completions"
MODEL = "twins"
Twins = dict[str, FakeEngine]  # by address
A_SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "integer"}}}


@pytest.fixture
async def twins(
    running: service.Service, add_model: Callable[..., ServedModel]
) -> AsyncIterator[Twins]:
    """Two engines of one model."""
    await db(partial(add_model, MODEL, num_engines=2))
    both = [FakeEngine(MODEL, number, max_model_len=2048) for number in (1, 2)]
    async with engines(running, *both):
        yield {engine.address: engine for engine in both}


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
