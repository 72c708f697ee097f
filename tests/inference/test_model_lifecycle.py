"""A model is loaded, drained and unloaded while it serves; its engines share the work."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import StringIO

import httpx
import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError

from inference import catalog, lifecycle, service
from inference.engine.wire import engine_pb2 as wire
from inference.models import ModelState, ServedModel
from portal.lib.db import db
from tests.inference.api.events import Events, stream
from tests.inference.conftest import Books, chat
from tests.inference.engines import FakeEngine

PATH = "/v1/chat/completions"
SPEECH = "word " * 500


async def want(running: service.Service, name: str, state: ModelState, **more: int) -> None:
    """As an operator says it; without waiting until this process looks at the table again."""
    await db(lambda: lifecycle.want(name, state, **more))
    await running.pool._follow()


@asynccontextmanager
async def engines(running: service.Service, *found: FakeEngine) -> AsyncIterator[None]:
    for engine in found:
        await asyncio.to_thread(engine.start)
    try:
        await running.pool._follow()
        addresses = {engine.address for engine in found}
        while addresses - {link.address for link in running.pool.links if link.healthy}:
            await asyncio.sleep(0.01)
        yield
    finally:
        for engine in found:
            engine.stop()


async def begin(
    api: httpx.AsyncClient, running: service.Service, model: str, num_tokens: int
) -> "asyncio.Task[Events]":
    """Start a streamed answer and wait until it speaks."""
    begun = asyncio.create_task(stream(api, PATH, chat(model=model, max_tokens=num_tokens)))
    while not any(g.output_tokens for g in running.generations.values() if g.model == model):
        assert not begun.done(), await begun
        await asyncio.sleep(0.01)
    return begun


def refused(response: httpx.Response) -> None:
    assert (response.status_code, response.json()["error"]["code"]) == (503, "overloaded")
    assert int(response.headers["retry-after"]) >= 1


async def test_a_drained_model_finishes_what_runs_and_refuses_the_rest(
    running: service.Service, api: httpx.AsyncClient, books: Books
) -> None:
    begun = await begin(api, running, "slow", 40)
    await want(running, "slow", ModelState.DRAINED)
    response = await api.post(PATH, json=chat(model="slow"))
    refused(response)
    assert "drained" in response.json()["error"]["message"]
    refused(await api.post("/v1/tokenize", json={"model": "slow", "prompt": "hi"}))
    events = await begun
    assert (events.done, events.finish_reasons) == (True, ["length"])
    assert (await books.record()).output_tokens == 40
    await want(running, "slow", ModelState.LOADED)
    assert (await api.post(PATH, json=chat(model="slow", max_tokens=2))).status_code == 200


async def test_an_unloaded_model_loses_its_engine_when_the_last_answer_has_ended(
    running: service.Service, api: httpx.AsyncClient
) -> None:
    begun = await begin(api, running, "slow", 120)
    [link] = [link for link in running.pool.links if link.model == "slow"]
    await want(running, "slow", ModelState.UNLOADED)
    refused(await api.post(PATH, json=chat(model="slow")))
    assert link in running.pool.links
    events = await begun
    assert (events.done, events.finish_reasons) == (True, ["length"])
    while link in running.pool.links:
        await asyncio.sleep(0.01)
    await want(running, "slow", ModelState.LOADED)
    assert await running.pool.wait_until_healthy("slow", 60)
    assert (await api.post(PATH, json=chat(model="slow", max_tokens=2))).status_code == 200


async def test_a_terminated_engine_finishes_its_answers_and_refuses_the_rest(
    running: service.Service, api: httpx.AsyncClient, add_model: Callable[..., ServedModel]
) -> None:
    engine = FakeEngine("leaving", fake_tokens_per_second=50, fake_text=SPEECH)
    await db(add_model, "leaving")
    async with engines(running, engine):
        begun = await begin(api, running, "leaving", 60)
        engine.terminate()
        while running.pool.pick("leaving") is not None:
            await asyncio.sleep(0.01)
        refused(await api.post(PATH, json=chat(model="leaving")))
        events = await begun
        assert (events.done, events.finish_reasons) == (True, ["length"])
        assert engine.process is not None
        assert await asyncio.to_thread(engine.process.wait, 10) == 0


async def test_what_was_on_its_way_when_an_engine_said_that_it_drains_is_answered(
    running: service.Service, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = running.pool.pick("starter")
    assert link is not None
    tokenize = link.tokenize

    async def told_meanwhile(request: wire.TokenizeRequest) -> wire.TokenizeReply:
        reply = await tokenize(request)
        assert link.info is not None
        link.info.draining = True
        return reply

    monkeypatch.setattr(link, "tokenize", told_meanwhile)
    assert (await api.post(PATH, json=chat(model="starter", max_tokens=2))).status_code == 200


async def test_engines_of_a_model_share_the_work_and_one_steps_in_for_another(
    running: service.Service, api: httpx.AsyncClient, add_model: Callable[..., ServedModel]
) -> None:
    pair = [
        FakeEngine("pair", number, fake_tokens_per_second=50, fake_text=SPEECH) for number in (1, 2)
    ]
    await db(lambda: add_model("pair", num_engines=2))
    async with engines(running, *pair):
        begun = [await begin(api, running, "pair", 300) for _ in range(6)]
        links = [link for link in running.pool.links if link.model == "pair"]
        while sum(len(link._sinks) for link in links) < 6:
            await asyncio.sleep(0.01)
        assert [len(link._sinks) for link in links] == [3, 3]
        pair[0].terminate()
        unaware = asyncio.create_task(stream(api, PATH, chat(model="pair", max_tokens=100)))
        begun.append(unaware)
        while links[0].healthy:
            await asyncio.sleep(0.01)
        reports = {r.address: r.state for r in service.engines() if r.model == "pair"}
        assert [reports[engine.address] for engine in pair] == ["draining", "ready"]
        later = await api.post(PATH, json=chat(model="pair", max_tokens=2))
        assert later.status_code == 200
        for events in await asyncio.gather(*begun):
            assert (events.done, events.finish_reasons) == (True, ["length"])


async def test_a_waiting_queue_counts_as_work(running: service.Service) -> None:
    link = running.pool.pick("starter")
    assert link is not None
    assert link.info is not None
    link.info.stats.num_running, link.info.stats.num_waiting = 2, 3
    assert link.load == 5


async def test_a_model_that_still_loads_is_listed_and_answers_503_until_it_is_ready(
    running: service.Service, api: httpx.AsyncClient, add_model: Callable[..., ServedModel]
) -> None:
    await db(add_model, "late")
    await running.pool._follow()
    listed = (await api.get("/v1/models")).json()["data"]
    assert "late" in [model["id"] for model in listed]
    refused(await api.post(PATH, json=chat(model="late")))
    async with engines(running, FakeEngine("late")):
        assert await running.pool.wait_until_healthy("late", 60)
        assert (await api.post(PATH, json=chat(model="late", max_tokens=2))).status_code == 200


def test_what_is_wanted_is_a_state_there_is(db: None) -> None:
    ServedModel.objects.create(name="a", source="x")
    with pytest.raises(IntegrityError):
        ServedModel.objects.update(state="asleep")


@pytest.mark.parametrize("number", [0, 17])
def test_a_number_of_engines_out_of_range_is_refused(db: None, number: int) -> None:
    ServedModel.objects.create(name="a", source="x")
    with pytest.raises(ValueError, match=f"1 to 16 engines, not {number}"):
        lifecycle.want("a", ModelState.LOADED, num_engines=number)
    with pytest.raises(IntegrityError):
        ServedModel.objects.update(num_engines=number)


def test_commands_say_what_happens(db: None) -> None:
    ServedModel.objects.create(name="a", source="x")

    def run(*command: str) -> tuple[str, ServedModel]:
        out = StringIO()
        call_command(*command, stdout=out)
        return out.getvalue(), ServedModel.objects.get()

    for verb, state in (("drain", "drained"), ("unload", "unloaded"), ("load", "loaded")):
        told, row = run(f"{verb}model", "a")
        assert told.strip() == lifecycle.TOLD[ModelState(state)]
        assert row.state == state
    assert run("loadmodel", "a", "--engines", "3")[1].num_engines == 3
    addresses = [address for name, address in catalog.engine_addresses() if name == "a"]
    assert len(set(addresses)) == 3
    with pytest.raises(CommandError, match="no model 'b'"):
        run("drainmodel", "b")
