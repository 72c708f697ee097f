"""Starting, draining, leases and the metrics of the service."""

import asyncio

import httpx
import pytest
from prometheus_client import REGISTRY

from billing import pulse
from billing.models import Hold
from inference import service
from portal.lib.db import db
from tests.inference.api.events import stream
from tests.inference.conftest import Books, chat, under_way

PATH = "/v1/chat/completions"


async def test_a_drain_lets_what_runs_finish_and_refuses_what_is_new(
    running: service.Service, api: httpx.AsyncClient, books: Books
) -> None:
    begun = asyncio.create_task(stream(api, PATH, chat(model="slow", max_tokens=50)))
    while not running.generations:
        await asyncio.sleep(0.01)
    stopping = asyncio.create_task(running.stop(drain_s=20))
    await asyncio.sleep(0)
    service._Current.service = running  # requests of this moment still find it
    refused = await api.post(PATH, json=chat())
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    events = await begun
    assert events.done
    await stopping
    assert (await books.record()).outcome == "finished"
    service._Current.service = None


async def test_what_does_not_end_in_time_ends_with_an_error_and_is_free(
    running: service.Service, api: httpx.AsyncClient, books: Books
) -> None:
    begun = asyncio.create_task(stream(api, PATH, chat(model="slow", max_tokens=1000)))
    await under_way(running)
    await service.stop(drain_s=0.2)
    events = await begun
    assert events.error is not None
    assert not events.done
    record = await books.record()
    assert (record.outcome, record.cost_nanos) == ("failed", 0)
    assert await books.open_holds() == 0
    await books.audit()


async def test_leases_are_renewed_together(
    running: service.Service, api: httpx.AsyncClient, books: Books
) -> None:
    begun = [asyncio.create_task(api.post(PATH, json=chat(model="slow", max_tokens=1000)))
             for _ in range(3)]  # fmt: skip
    await under_way(running, number=3)
    while await books.open_holds() < 3:
        await asyncio.sleep(0.01)
    await db(lambda: Hold.objects.update(lease=0))
    await running._renew()
    left = await db(lambda: list(Hold.objects.values_list("lease", flat=True)))
    assert left == [await db(pulse.new_lease)] * 3
    for generation in list(running.generations.values()):
        generation.cancel()
    await asyncio.gather(*begun)


async def test_an_engine_is_picked_by_its_model(running: service.Service) -> None:
    link = running.pool.pick("slow")
    assert link is not None
    assert link.info is not None
    assert (link.info.model, link.info.max_model_len) == ("slow", 2048)
    assert running.pool.healthy()
    assert service.engines_healthy()
    assert running.pool.pick("unheard-of") is None


async def test_it_counts_what_it_does(running: service.Service, api: httpx.AsyncClient) -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    def tokens() -> float:
        return value(
            "gen_ai_client_token_usage_total",
            gen_ai_request_model="starter", gen_ai_token_type="output",
        )  # fmt: skip

    def answers(status: str) -> float:
        labels = {"endpoint": "chat.completions", "status": status}
        return value("parlance_api_responses_total", **labels)

    before, answered, refused = tokens(), answers("200"), answers("400")
    await api.post(PATH, json=chat(max_tokens=7))
    assert value("parlance_generations_running") == 0
    await api.post(PATH, json=chat(max_tokens=7, temperature=9))
    async with asyncio.timeout(5):
        while running.generations:  # it is counted after the answer
            await asyncio.sleep(0)
    assert tokens() == before + 7
    assert answers("200") == answered + 1
    assert answers("400") == refused + 1
    assert value("gen_ai_server_time_to_first_token_seconds_count",
                 gen_ai_request_model="starter") >= 1  # fmt: skip


async def test_an_unread_generation_is_given_up_and_settled(
    running: service.Service, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, books: Books
) -> None:
    """A face that forgets its generation cannot keep the engine busy for ever."""
    from inference import generation

    monkeypatch.setattr(generation, "STALLED_READER_S", 0.3)
    monkeypatch.setattr(service, "stream", None)
    response = await api.post(PATH, json=chat(model="slow", max_tokens=1000))
    assert response.status_code == 500
    [record] = await books.settled(1)
    assert record.outcome == "aborted"
