"""The engine dies, fails or is full: an error where an answer was, free, and it comes back."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from django.conf import settings

from inference import service
from inference.models import ServedModel
from portal.lib.db import db
from tests.inference.api.events import Events, parse_events, stream
from tests.inference.conftest import Books, Serve, chat, under_way
from tests.inference.engines import FakeEngine

PATH = "/v1/chat/completions"


@pytest.fixture
async def doomed(serve: Serve) -> AsyncIterator[FakeEngine]:
    async with serve("doomed", fake_tokens_per_second=50, fake_text="word " * 500) as engine:
        yield engine


async def test_kill_nine_ends_every_stream_with_an_error_and_costs_nothing(
    web: httpx.AsyncClient, running: service.Service, doomed: FakeEngine, books: Books
) -> None:
    begun = [asyncio.Event() for _ in range(3)]

    async def read(begun: asyncio.Event) -> Events:
        text = ""
        async with web.stream("POST", PATH, json=chat(model="doomed", stream=True)) as response:
            async for line in response.aiter_lines():
                text += f"{line}\n"
                if '"content":"w"' in text:
                    begun.set()
        return parse_events(text)

    streams = [asyncio.create_task(read(each)) for each in begun]
    whole = asyncio.create_task(web.post(PATH, json=chat(model="doomed")))
    bystander = asyncio.create_task(web.post(PATH, json=chat(model="slow", max_tokens=40)))
    await asyncio.wait_for(asyncio.gather(*(each.wait() for each in begun)), 10)
    await under_way(running, "doomed", 4)
    doomed.kill()
    for events in await asyncio.wait_for(asyncio.gather(*streams), 10):
        assert events.error is not None
        assert events.error["code"] == "engine_lost"
        assert not events.done
        assert events.finish_reasons == []
        assert events.text
    lost = await asyncio.wait_for(whole, 10)
    assert (lost.status_code, lost.json()["error"]["code"]) == (503, "engine_lost")
    assert "retry-after" in lost.headers
    away = time.perf_counter()
    refused = await web.post(PATH, json=chat(model="doomed"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert time.perf_counter() - away < 3
    assert (await bystander).json()["usage"]["completion_tokens"] == 40

    await asyncio.to_thread(doomed.start)
    back = time.perf_counter()
    assert await running.pool.wait_until_healthy("doomed", 60)
    again = await web.post(PATH, json=chat(model="doomed", max_tokens=2))
    assert again.status_code == 200
    assert time.perf_counter() - back < 10
    records = await books.settled(6)
    failed = [record for record in records if record.outcome == "failed"]
    assert len(failed) == 4
    assert all(record.cost_nanos == 0 and record.output_tokens == 0 for record in failed)
    assert sum(record.waived_tokens for record in failed) > 0
    await books.audit()


@pytest.mark.slow
async def test_an_engine_that_hangs_is_found_and_what_it_ran_ends(
    running: service.Service, api: httpx.AsyncClient, serve: Serve, books: Books
) -> None:
    async with serve("hanging", fake_hang_after=20, fake_tokens_per_second=100) as engine:
        body = chat(model="hanging", max_tokens=100, ignore_eos=True)
        events = await asyncio.wait_for(stream(api, PATH, body), 20)
        assert events.error is not None
        assert (events.error["code"], events.done) == ("engine_lost", False)
        assert events.text
        refused = await api.post(PATH, json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
        engine.kill()
        await asyncio.to_thread(engine.start)
        assert await running.pool.wait_until_healthy("hanging", 60)
        again = await api.post(PATH, json=body | {"max_tokens": 5})
        assert again.json()["usage"]["completion_tokens"] == 5
        lost, paid = await books.settled(2)
        assert (lost.outcome, lost.cost_nanos) == ("failed", 0)
        assert lost.waived_tokens > 0
        assert paid.cost_nanos > 0
        await books.audit()


async def test_a_request_that_crashes_a_step_fails_alone(
    api: httpx.AsyncClient, serve: Serve, books: Books
) -> None:
    async with serve("poisonable", fake_fail_on="poison", fake_tokens_per_second=100):
        good, bad, streamed = await asyncio.gather(
            api.post(PATH, json=chat(model="poisonable", max_tokens=30)),
            api.post(PATH, json=chat("poison", model="poisonable")),
            api.post(PATH, json=chat("poison", model="poisonable", stream=True)),
        )
        assert good.status_code == 200
        for response in (bad, streamed):  # before its first token: a real status, streamed or not
            assert (response.status_code, response.json()["error"]["code"]) == (500, "engine_error")
            assert response.headers["x-request-id"] in response.json()["error"]["message"]
        records = await books.settled(3)
        assert sorted(r.cost_nanos > 0 for r in records) == [False, False, True]
        await books.audit()


async def test_a_full_queue_is_503_with_retry_after(
    running: service.Service, api: httpx.AsyncClient, serve: Serve, books: Books
) -> None:
    async with serve("tiny", max_running=1, max_waiting=1, fake_tokens_per_second=20):
        body = chat(model="tiny", max_tokens=20)
        answers = await asyncio.gather(
            *(api.post(PATH, json=body | {"stream": n % 2 == 0}) for n in range(8))
        )
        refused = [answer for answer in answers if answer.status_code == 503]
        assert 4 <= len(refused) <= 6
        waits = []
        for answer in refused:
            assert answer.json()["error"]["code"] == "overloaded"
            assert int(answer.headers["retry-after"]) >= 1
            waits.append(int(answer.headers["retry-after-ms"]))
        # As the engine estimated it: each of them is told the time of another place.
        assert len(set(waits)) > 1
        records = await books.records()
        assert sum(record.cost_nanos > 0 for record in records) == 8 - len(refused)
        await books.audit()


async def test_who_comes_to_a_full_queue_is_refused_before_anything_is_written(
    running: service.Service, api: httpx.AsyncClient, serve: Serve, books: Books
) -> None:
    """A flood that held and settled what it is refused would keep the ledger from its customers."""
    async with serve("tiny", max_running=1, max_waiting=1, fake_tokens_per_second=50):
        body = chat(model="tiny", max_tokens=150, ignore_eos=True)
        answering = [asyncio.create_task(api.post(PATH, json=body)) for _ in range(2)]
        async with asyncio.timeout(10):
            while not service.loads()["tiny"].waiting:
                await asyncio.sleep(0.01)
        flood = await asyncio.gather(
            *(
                api.post("/v1/completions", json={"model": "tiny", "prompt": "hi"})
                for _ in range(5)
            ),
            *(api.post("/v1/completions", json={"model": "tiny", "prompt": [1]}) for _ in range(5)),
            *(api.post(PATH, json=body | {"stream": True}) for _ in range(5)),
        )
        assert await books.open_holds() == 2
        for answer in flood:
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
            assert int(answer.headers["retry-after-ms"]) > 0
        for answer in await asyncio.gather(*answering):
            assert answer.json()["usage"]["completion_tokens"] == 150
        await books.settled(2)
        await books.audit()


async def test_odd_pieces_make_the_same_answer(api: httpx.AsyncClient, serve: Serve) -> None:
    async with serve("odd", flags=["--fake-odd-pieces"]):
        events = await stream(api, PATH, chat(model="odd", logprobs=True))
        straight = await stream(api, PATH, chat(model="starter", logprobs=True))
        assert events.text == straight.text
        assert events.finish_reasons == straight.finish_reasons == ["stop"]


async def test_no_engine_at_all_is_said_at_once(
    running: service.Service, api: httpx.AsyncClient, add_model: Callable[..., ServedModel],
    books: Books,
) -> None:  # fmt: skip
    await db(add_model, "nowhere")
    begun = time.perf_counter()
    response = await api.post(PATH, json=chat(model="nowhere"))
    assert (response.status_code, response.json()["error"]["code"]) == (503, "overloaded")
    assert int(response.headers["retry-after-ms"]) > 0
    assert time.perf_counter() - begun < 3
    assert await books.records() == []


# Deadlines: one for all requests, by a setting.


async def test_an_answer_past_its_deadline_ends_with_an_error_and_its_tokens_are_billed(
    api: httpx.AsyncClient, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "REQUEST_DEADLINE_S", 2)
    events = await stream(api, PATH, chat(model="slow", max_tokens=500))
    assert events.error is not None
    assert events.error["code"] == "deadline_exceeded"
    assert not events.done
    assert events.finish_reasons == []
    [record] = await books.settled(1)
    assert (record.outcome, record.error) == ("aborted", "deadline_exceeded")
    assert 20 < record.output_tokens < 130
    assert record.cost_nanos > 0
    await books.audit()


async def test_a_whole_answer_past_its_deadline_is_free(
    api: httpx.AsyncClient, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "REQUEST_DEADLINE_S", 2)
    response = await api.post(PATH, json=chat(model="slow", max_tokens=500))
    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert response.headers["x-should-retry"] == "false"
    [record] = await books.settled(1)
    assert record.cost_nanos == 0
    await books.audit()


async def test_what_waited_until_its_deadline_was_never_begun(
    running: service.Service, api: httpx.AsyncClient, serve: Serve,
    books: Books, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    async with serve("narrow", max_running=1, fake_tokens_per_second=50):
        first = asyncio.create_task(api.post(PATH, json=chat(model="narrow", max_tokens=200)))
        # It runs: what is set now is for the next one alone.
        while not any(generation.output_tokens for generation in running.generations.values()):
            await asyncio.sleep(0.01)
        monkeypatch.setattr(settings, "REQUEST_DEADLINE_S", 1)
        response = await api.post(PATH, json=chat(model="narrow", max_tokens=5))
        assert (response.status_code, response.json()["error"]["code"]) == (503, "overloaded")
        assert "retry-after" in response.headers
        assert (await first).status_code == 200
        records = await books.settled(2)
        assert sorted(record.cost_nanos > 0 for record in records) == [False, True]
        await books.audit()
