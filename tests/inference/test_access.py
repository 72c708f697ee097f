"""A key is revoked, or a session ends, while an answer is made: it ends within two seconds."""

import asyncio
from collections.abc import Callable

import httpx
import pytest
from django.test import Client
from django.utils import timezone

from accounts import flows
from accounts.authentication import caller_for_member
from accounts.models import ApiKey, Organisation, User
from inference import service
from inference.engine.params import SamplingParams
from inference.errors import ServiceError
from inference.spec import GenerationSpec, TextDelta, TextPrompt
from portal.lib.db import db
from tests.inference.api.events import stream
from tests.inference.conftest import Books, Looks, chat, under_way

PATH = "/v1/chat/completions"


@pytest.fixture
def revoke(api_key: tuple[ApiKey, str]) -> Callable[[], object]:
    return lambda: flows.revoke_key(api_key[0])


async def test_a_revoked_key_stops_a_stream_within_two_seconds(
    running: service.Service, api: httpx.AsyncClient, revoke: Callable[[], object], books: Books,
    looks: Looks,
) -> None:  # fmt: skip
    answer = asyncio.create_task(stream(api, PATH, chat(model="slow", max_tokens=1000)))
    await under_way(running)
    await db(revoke)
    with looks.the_next_one_finds_it():
        events = await asyncio.wait_for(answer, 30)
    assert events.error is not None
    assert events.error["code"] == "access_withdrawn"
    assert not events.done
    record = await books.record()
    assert record.outcome == "aborted"
    assert 0 < record.output_tokens < 150
    assert record.cost_nanos > 0
    await books.audit()
    # The cache of keys forgets it after two seconds at most.
    await asyncio.sleep(2.1)
    refused = await api.post(PATH, json=chat())
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "key_revoked")


async def test_a_whole_answer_of_a_revoked_key_is_a_401_and_free(
    running: service.Service, api: httpx.AsyncClient, revoke: Callable[[], object], books: Books
) -> None:
    answer = asyncio.create_task(api.post(PATH, json=chat(model="slow", max_tokens=1000)))
    await under_way(running)
    await db(revoke)
    response = await asyncio.wait_for(answer, 30)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "access_withdrawn")
    assert (await books.record()).cost_nanos == 0


async def test_a_suspended_organisation_stops_too(
    running: service.Service, api: httpx.AsyncClient, organisation: Organisation
) -> None:
    answer = asyncio.create_task(stream(api, PATH, chat(model="slow", max_tokens=1000)))
    await under_way(running)
    suspended = Organisation.objects.filter(pk=organisation.pk)
    await db(lambda: suspended.update(suspended_at=timezone.now()))
    events = await asyncio.wait_for(answer, 30)
    assert events.error is not None


async def test_a_session_that_ends_stops_its_generation(
    running: service.Service, alice: User, organisation: Organisation, alice_client: Client
) -> None:
    """The way the playground calls: no key, a session."""
    key = alice_client.session.session_key
    assert key is not None
    caller = caller_for_member(alice, organisation, key)
    spec = GenerationSpec(
        model="slow",
        prompts=(TextPrompt("hi"),),
        sampling=SamplingParams(max_tokens=1000),
        max_tokens=1000,
        face="playground",
        endpoint="playground",
        stream=True,
    )
    generation = await service.prepare(spec, caller)
    events = []

    async def read() -> None:
        async for event in service.stream(generation):
            events.append(event)  # noqa: PERF401 (kept when the stream raises)

    reading = asyncio.create_task(read())
    await under_way(running)
    await db(alice_client.logout)
    with pytest.raises(ServiceError) as refusal:
        await asyncio.wait_for(reading, 30)
    assert refusal.value.code == "access_withdrawn"
    assert refusal.value.summary is not None
    assert refusal.value.summary.outcome == "aborted"
    assert refusal.value.summary.cost_nanos > 0
    assert all(isinstance(event, TextDelta) for event in events)


async def test_a_management_key_cannot_generate(
    api: httpx.AsyncClient, alice: User, organisation: Organisation, books: Books
) -> None:
    _key, secret = await db(
        lambda: flows.create_key(organisation, alice, "ops", scope="management")
    )
    headers = {"authorization": f"Bearer {secret}"}
    refused = await api.post(PATH, json=chat(), headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "wrong_scope")
    assert await books.records() == []


async def test_an_address_outside_the_keys_ranges_is_refused(
    api: httpx.AsyncClient, alice: User, organisation: Organisation
) -> None:
    def create() -> str:
        key, secret = flows.create_key(organisation, alice, "office")
        key.ip_ranges = ["10.0.0.0/8"]
        key.save(update_fields=["ip_ranges"])
        return secret

    headers = {"authorization": f"Bearer {await db(create)}", "x-forwarded-for": "10.0.0.1"}
    refused = await api.get("/v1/models", headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "ip_not_allowed")
