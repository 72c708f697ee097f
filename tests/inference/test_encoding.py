"""A request to an encoder ends once: answered, refused, hung up, its engine lost. Then free."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from inference import service
from inference.encoding import Encoding
from inference.engine.wire import engine_pb2 as wire
from inference.models import ServedModel
from inference.settling import OVERRUN_WAIT_S
from portal.lib.db import db
from tests.inference.conftest import Books
from tests.inference.engines import FakeEngine

PATH = "/v1/embeddings"
MODEL = "slow-vectors"


@pytest.fixture
async def slow(
    running: service.Service, add_model: Callable[..., ServedModel]
) -> AsyncIterator[FakeEngine]:
    """An encoder that takes a second for 500 tokens, 100 of them a step."""
    engine = FakeEngine(
        MODEL, fake_kind="embeddings", fake_tokens_per_second=500, max_model_len=100,
        token_budget=100, max_waiting=10,
    )  # fmt: skip
    await asyncio.to_thread(engine.start)
    await db(lambda: add_model(MODEL, kind="embeddings", is_chat=False))
    await running.pool._follow()
    assert await running.pool.wait_until_healthy(MODEL, 60)
    yield engine
    engine.stop()


def body(num_inputs: int) -> dict[str, object]:
    return {"model": MODEL, "input": ["x" * 100] * num_inputs}


async def stats(running: service.Service) -> wire.EngineStats:
    link = running.pool.pick(MODEL)
    assert link is not None
    info: wire.EngineInfo = await link._ask_info()
    return info.stats


async def begun(running: service.Service) -> None:
    while not (await stats(running)).num_running:
        await asyncio.sleep(0.01)


async def test_a_hang_up_stops_the_engine_within_a_step_and_is_free(
    web: httpx.AsyncClient, running: service.Service, slow: FakeEngine, books: Books
) -> None:
    call = asyncio.create_task(web.post(PATH, json=body(20)))
    await begun(running)
    link = running.pool.pick(MODEL)
    assert link is not None
    assert link.load >= 1
    call.cancel()
    [record] = await books.settled(1)
    assert (record.outcome, record.cost_nanos, record.uncached_tokens) == ("aborted", 0, 0)
    assert (await stats(running)).num_waiting == 0
    assert (await stats(running)).steps < 15
    assert link._sinks == {}
    await books.audit()


async def test_a_killed_engine_is_an_error_at_once_and_free(
    web: httpx.AsyncClient, running: service.Service, slow: FakeEngine, books: Books
) -> None:
    call = asyncio.create_task(web.post(PATH, json=body(20)))
    await begun(running)
    slow.kill()
    failed = await asyncio.wait_for(call, 10)
    assert (failed.status_code, failed.json()["error"]["code"]) == (503, "engine_lost")
    [record] = await books.settled(1)
    assert (record.outcome, record.error, record.cost_nanos) == ("failed", "engine_lost", 0)
    await books.audit()


async def test_a_full_queue_is_a_503_with_a_time_to_come_back_and_free(
    web: httpx.AsyncClient, running: service.Service, slow: FakeEngine, books: Books
) -> None:
    calls = [asyncio.create_task(web.post(PATH, json=body(5))) for _ in range(8)]
    answers = await asyncio.gather(*calls)
    refused = [answer for answer in answers if answer.status_code == 503]
    assert 1 <= len(refused) <= 7
    assert {answer.json()["error"]["code"] for answer in refused} == {"overloaded"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert {answer.status_code for answer in answers} == {200, 503}
    # Who was refused before it was submitted has left no record.
    records = [record for record in await books.records() if record.cost_nanos]
    assert [record.cost_nanos for record in records] == [500 * 1000] * (8 - len(refused))
    await books.audit()


async def test_who_comes_to_a_full_queue_is_refused_before_anything_is_written(
    web: httpx.AsyncClient, running: service.Service, slow: FakeEngine, books: Books
) -> None:
    answering = asyncio.create_task(web.post(PATH, json=body(100)))  # as much as ten that may wait
    await begun(running)
    ids = {"model": MODEL, "input": [[1] * 100] * 2}
    flood = await asyncio.gather(*(web.post(PATH, json=each) for each in (body(2), ids) * 3))
    assert await books.open_holds() == 1
    for answer in flood:
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
        assert int(answer.headers["retry-after-ms"]) > 0
    answering.cancel()
    await books.settled(1)
    await books.audit()


async def test_a_deadline_is_a_503_and_free(
    web: httpx.AsyncClient, slow: FakeEngine, books: Books, settings: Any
) -> None:
    settings.REQUEST_DEADLINE_S = 1
    late = await web.post(PATH, json=body(20))
    assert (late.status_code, late.json()["error"]["code"]) == (503, "overloaded")
    assert (await books.record()).cost_nanos == 0


async def test_what_runs_when_the_server_stops_is_answered_or_free(
    web: httpx.AsyncClient, running: service.Service, slow: FakeEngine, books: Books
) -> None:
    call = asyncio.create_task(web.post(PATH, json=body(20)))
    await begun(running)
    await running.stop(drain_s=0.3)
    failed = await call
    assert (failed.status_code, failed.json()["error"]["code"]) == (503, "overloaded")
    [record] = await books.settled(1)
    assert record.cost_nanos == 0


async def test_one_that_ends_before_its_call_has_begun_settles_at_once(
    web: httpx.AsyncClient, slow: FakeEngine, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Encoding.begin

    def begin_too_late(encoding: Encoding) -> None:
        begin(encoding)
        encoding.cancel()

    monkeypatch.setattr(Encoding, "begin", begin_too_late)
    await asyncio.wait_for(web.post(PATH, json=body(1)), OVERRUN_WAIT_S / 2)
    [record] = await books.settled(1)
    assert (record.outcome, record.cost_nanos) == ("aborted", 0)
    await books.audit()
