"""`Idempotency-Key`: sent again, answered once, charged once."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from django.db import OperationalError
from pytest_django.fixtures import Settings
from starlette.routing import Route

from accounts import flows
from accounts.authentication import key_cache
from accounts.models import ApiKey, User
from billing import ledger
from inference import service
from inference.api import app, idempotency
from inference.log import replays
from inference.log.models import KeyedState
from inference.models import KeyedRequest
from portal.lib.db import db
from tests.billing.money import beats
from tests.inference.api.events import parse_events
from tests.inference.api.test_hang_up import assert_engine_idle
from tests.inference.conftest import Books, chat, under_way
from tests.inference.engines import FakeEngine

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
BODIES = [
    (CHAT, chat(max_tokens=8)),
    (CHAT, chat(max_tokens=8, stream=True)),
    (COMPLETIONS, {"model": "starter", "prompt": "hi", "max_tokens": 8}),
    (COMPLETIONS, {"model": "starter", "prompt": "hi", "max_tokens": 8, "stream": True}),
    ("/v1/engines/starter/completions", {"prompt": "hi", "max_tokens": 8}),
]


def key(value: str = "order 1") -> dict[str, str]:
    return {"idempotency-key": value}


async def rows() -> list[KeyedRequest]:
    return await db(lambda: list(KeyedRequest.objects.order_by("pk")))


async def stored(*states: str) -> None:
    """Wait until the rows are in these states: what is kept is kept after its last byte is sent."""
    while [row.state for row in await rows()] != list(states):
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(("path", "body"), BODIES)
async def test_the_first_answer_comes_again(
    api: httpx.AsyncClient, books: Books, path: str, body: dict[str, Any]
) -> None:
    first = await api.post(path, json=body, headers=key())
    again = await api.post(path, json=body, headers=key())
    assert first.status_code == again.status_code == 200, first.text
    assert first.content == again.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    for name in ("content-type", "cache-control", "x-request-id"):
        assert again.headers[name] == first.headers[name]
    assert again.headers.get("x-request-cost") == first.headers.get("x-request-cost")
    [record] = await books.settled(1)
    assert record.request_id == first.headers["x-request-id"]
    await books.audit()


async def test_what_comes_again_counts_as_a_request(
    api: httpx.AsyncClient, api_key: tuple[ApiKey, str]
) -> None:
    await db(ApiKey.objects.update, requests_per_minute=3)
    key_cache.clear()
    bodies = [chat(max_tokens=2), chat(max_tokens=2), chat(max_tokens=3), chat(max_tokens=2)]
    answers = [await api.post(CHAT, json=body, headers=key()) for body in bodies]
    assert [answer.status_code for answer in answers] == [200, 200, 422, 429]
    left = [answer.headers["x-ratelimit-remaining-requests"] for answer in answers]
    assert left == ["2", "1", "0", "0"]
    assert answers[3].headers["retry-after"] == "20"
    assert answers[3].headers["x-request-id"] != answers[0].headers["x-request-id"]


async def test_what_was_ignored_is_told_again(api: httpx.AsyncClient) -> None:
    body = chat(max_tokens=2, colour="red")
    await api.post(CHAT, json=body, headers=key())
    assert (await api.post(CHAT, json=body, headers=key())).headers["x-ignored-fields"] == "colour"


async def test_other_keys_and_no_keys_run(api: httpx.AsyncClient, books: Books) -> None:
    body = chat(max_tokens=2)
    for headers in (key("a"), key("b"), {}, {}):
        answer = await api.post(CHAT, json=body, headers=headers)
        assert "idempotent-replayed" not in answer.headers
    await books.settled(4)


@pytest.mark.parametrize(
    ("path", "body"), [(CHAT, chat(max_tokens=9)), (COMPLETIONS, chat(max_tokens=8))]
)
@pytest.mark.parametrize("under_way", [True, False], ids=["running", "kept"])
async def test_another_body_or_address_is_refused(
    web: httpx.AsyncClient, books: Books, path: str, body: dict[str, Any], under_way: bool
) -> None:
    first = asyncio.create_task(web.post(CHAT, json=chat(max_tokens=8), headers=key()))
    if not under_way:
        await first
    while not await rows():
        await asyncio.sleep(0.005)
    answer = await web.post(path, json=body, headers=key())
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (422, "Idempotency-Key")
    assert error["code"] == "idempotency_key_reused"
    assert "Idempotency-Key" in error["message"]
    assert (await first).status_code == 200
    await books.settled(1)


async def test_another_organisations_key_is_another(
    api: httpx.AsyncClient, charlie: User, books: Books
) -> None:
    other = await db(lambda: charlie.memberships.get().organisation)
    await db(ledger.grant, other.id, 10**9, reference="grant:c", description="")
    _key, secret = await db(flows.create_key, other, charlie, "k")
    first = await api.post(CHAT, json=chat(max_tokens=2), headers=key())
    theirs = {**key(), "authorization": f"Bearer {secret}"}
    second = await api.post(CHAT, json=chat(max_tokens=2), headers=theirs)
    assert "idempotent-replayed" not in second.headers
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    await books.settled(2)


@pytest.mark.parametrize("bad", ["", "x" * 256, "tab\there", "caf\u00e9", "\u2713"])
async def test_a_key_that_is_none_is_refused(api: httpx.AsyncClient, bad: str) -> None:
    headers = [(b"idempotency-key", bad.encode())]
    answer = await api.post(CHAT, json=chat(), headers=headers)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "Idempotency-Key")


async def test_the_longest_key_is_taken(api: httpx.AsyncClient) -> None:
    answer = await api.post(CHAT, json=chat(max_tokens=1), headers=key("x" * 255))
    assert answer.status_code == 200


async def test_it_needs_a_valid_api_key_first(api: httpx.AsyncClient) -> None:
    await api.post(CHAT, json=chat(max_tokens=1), headers=key())
    strange = {**key(), "authorization": "Bearer sk-prl-nope"}
    assert (await api.post(CHAT, json=chat(max_tokens=1), headers=strange)).status_code == 401


# --- What is not kept -----------------------------------------------------------------------------


async def test_a_refusal_is_forgotten(api: httpx.AsyncClient, books: Books) -> None:
    refused = await api.post(CHAT, json=chat(temperature=9), headers=key())
    assert refused.status_code == 400
    await stored()
    assert (await api.post(CHAT, json=chat(max_tokens=2), headers=key())).status_code == 200
    await books.settled(1)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_is_forgotten_and_the_next_try_is_a_real_one(
    running: service.Service, web: httpx.AsyncClient, add_model: Callable[..., object], stream: bool
) -> None:
    await db(add_model, "fragile", max_model_len=2048)
    body = chat(model="fragile", max_tokens=400, stream=stream)
    engine = FakeEngine("fragile", max_model_len=2048, fake_tokens_per_second=50).start()
    try:
        assert await running.pool.wait_until_healthy("fragile", 60)
        first = asyncio.create_task(web.post(CHAT, json=body, headers=key()))
        await under_way(running, "fragile")
    finally:
        engine.stop()
    broken = await first
    if stream:
        events = parse_events(broken.text)
        assert (events.done, events.error is not None) == (False, True)
    else:
        assert broken.status_code == 503
    await stored()
    again = await web.post(CHAT, json=body, headers=key())
    assert (again.status_code, "idempotent-replayed" in again.headers) == (503, False)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_is_too_large_is_given_once_and_that_is_said(
    web: httpx.AsyncClient, books: Books, settings: Settings, stream: bool
) -> None:
    settings.REPLAY_MAX_BYTES = 300
    body = chat(max_tokens=200, stream=stream, logprobs=True)
    first = await web.post(CHAT, json=body, headers=key())
    assert first.status_code == 200
    assert not stream or parse_events(first.text).done
    await stored(KeyedState.TOO_LARGE)
    again = await web.post(CHAT, json=body, headers=key())
    error = again.json()["error"]
    assert (again.status_code, error["code"]) == (409, "idempotent_answer_not_kept")
    assert first.headers["x-request-id"] in error["message"]
    assert again.headers["x-should-retry"] == "false"
    await books.settled(1)


async def test_an_answer_whose_seal_is_lost_is_not_charged_again(
    api: httpx.AsyncClient, books: Books, settings: Settings
) -> None:
    await api.post(CHAT, json=chat(max_tokens=2), headers=key())
    await stored(KeyedState.KEPT)
    settings.SECRET_KEY = "another"
    again = await api.post(CHAT, json=chat(max_tokens=2), headers=key())
    assert again.status_code == 409
    await books.settled(1)


async def test_a_database_that_is_away_for_a_moment_loses_no_answer(
    api: httpx.AsyncClient, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, refused = replays.keep, []

    def fail_once(*args: Any) -> bool:
        if not refused:
            refused.append(args)
            raise OperationalError("away")
        return keep(*args)

    monkeypatch.setattr(replays, "keep", fail_once)
    await api.post(CHAT, json=chat(max_tokens=2), headers=key())
    again = await api.post(CHAT, json=chat(max_tokens=2), headers=key())
    assert (len(refused), again.headers["idempotent-replayed"]) == (1, "true")
    await books.settled(1)


async def test_no_row_holds_a_text(api: httpx.AsyncClient) -> None:
    body = {"model": "starter", "prompt": "my secret prompt", "echo": True, "max_tokens": 2}
    assert "secret" in (await api.post(COMPLETIONS, json=body, headers=key("secret key"))).text
    await stored(KeyedState.KEPT)
    [row] = await rows()
    for value in vars(row).values():
        assert b"secret" not in (value if isinstance(value, bytes) else str(value).encode())


# --- Who goes away --------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_after_a_hang_up_the_answer_is_made_and_waits(
    running: service.Service, web: httpx.AsyncClient, books: Books, stream: bool
) -> None:
    body = chat(model="slow", max_tokens=50, stream=stream)
    leaving = asyncio.create_task(web.post(CHAT, json=body, headers=key()))
    await under_way(running)
    leaving.cancel()
    again = await web.post(CHAT, json=body, headers=key())
    assert again.headers["idempotent-replayed"] == "true"
    [record] = await books.settled(1)
    assert (record.outcome, record.output_tokens) == ("finished", 50)
    if stream:
        assert parse_events(again.text).done
    else:
        assert again.json()["usage"]["completion_tokens"] == 50


async def test_nobody_waits_for_an_answer_that_cannot_be_kept(
    running: service.Service, web: httpx.AsyncClient, books: Books, settings: Settings
) -> None:
    settings.REPLAY_MAX_BYTES = 1000
    body = chat(model="slow", max_tokens=1500, stream=True)
    async with web.stream("POST", CHAT, json=body, headers=key()) as response:
        await anext(response.aiter_lines())
    [record] = await books.settled(1)
    assert (record.outcome, record.output_tokens < 100) == ("aborted", True)
    await assert_engine_idle(running, "slow")
    await stored()  # half an answer is none


async def test_a_revoked_key_ends_what_nobody_waits_for(
    running: service.Service, web: httpx.AsyncClient, api_key: tuple[ApiKey, str], books: Books
) -> None:
    body = chat(model="slow", max_tokens=1500, stream=True)
    async with web.stream("POST", CHAT, json=body, headers=key()) as response:
        await anext(response.aiter_lines())
    await db(flows.revoke_key, api_key[0])
    [record] = await books.settled(1)
    assert record.outcome == "aborted"
    await stored()


async def test_a_living_process_renews_its_lease(
    web: httpx.AsyncClient, books: Books, settings: Settings
) -> None:
    settings.HOLD_RENEW_S = 0.1
    body = chat(model="slow", max_tokens=60)
    asking = asyncio.gather(*(web.post(CHAT, json=body, headers=key()) for _ in range(2)))
    while not asking.done():  # for much longer than a lease
        await asyncio.sleep(0.2)
        await db(beats, 1)
    found = await asking
    assert found[0].content == found[1].content
    await books.settled(1)


async def test_a_process_that_lost_its_row_stops_and_changes_nothing(
    running: service.Service, web: httpx.AsyncClient, books: Books, settings: Settings
) -> None:
    settings.HOLD_RENEW_S = 0.1
    body = chat(model="slow", max_tokens=1500)
    first = asyncio.create_task(web.post(CHAT, json=body, headers=key()))
    while not await books.open_holds():  # sooner than that it would stop before it owes anything
        await asyncio.sleep(0.005)
    await db(lambda: KeyedRequest.objects.update(token="another's"))
    [record] = await books.settled(1)
    assert record.outcome == "aborted"
    await first
    [row] = await rows()
    assert (row.token, row.state) == ("another's", KeyedState.RUNNING)


# --- The seam -------------------------------------------------------------------------------------


async def test_without_a_key_nothing_of_this_is_touched(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        pytest.fail("a query nobody asked for")

    for name in ("claim", "keep", "release", "renew"):
        monkeypatch.setattr(replays, name, fail)
    for path, body in BODIES:
        assert (await api.post(path, json=body)).status_code == 200


def test_every_endpoint_that_generates_has_it() -> None:
    free = {"tokenize", "detokenize", "count_input", "count_tokens"}
    free |= {"not_yet", "nothing_to_cancel"}
    for route in app._routes():
        assert isinstance(route, Route)
        if "POST" in (route.methods or ()) and route.endpoint.__name__ not in free:
            assert route.endpoint.__module__ == idempotency.__name__, route.path
