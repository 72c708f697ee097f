"""Rate limits: true headers, true Retry-After, one organisation's alone, closed without Redis."""

import asyncio

import httpx
import pytest
from django.conf import settings

from accounts.authentication import Caller
from inference.errors import ServiceError
from inference.limits import Allowance, RateLimits, spell_duration
from tests.inference.conftest import Books, chat

PATH = "/v1/chat/completions"


def caller(organisation: str) -> Caller:
    return Caller(organisation, 10_000, None, 1, "session", "inference")


@pytest.fixture
def six_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "RATE_LIMIT_REQUESTS_PER_MINUTE", 6)


async def test_a_seventh_request_has_to_wait_for_as_long_as_it_is_told(
    six_a_minute: None, api: httpx.AsyncClient, books: Books
) -> None:
    for left in range(5, -1, -1):
        response = await api.post(PATH, json=chat(max_tokens=1))
        assert response.status_code == 200
        assert response.headers["x-ratelimit-remaining-requests"] == str(left)
    refused = await api.post(PATH, json=chat(max_tokens=1))
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    wait_ms = int(refused.headers["retry-after-ms"])
    assert 8_000 < wait_ms <= 10_000
    assert int(refused.headers["retry-after"]) == -(-wait_ms // 1000)
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert len(await books.records()) == 6


async def test_tokenising_counts_too(six_a_minute: None, api: httpx.AsyncClient) -> None:
    statuses = [(await api.post("/tokenize", json={"prompt": "a"})).status_code for _ in range(7)]
    assert statuses == [200] * 6 + [429]


async def test_retry_after_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "RATE_LIMIT_REQUESTS_PER_MINUTE", 600)
    limits = RateLimits()
    for _ in range(600):
        await limits.take(caller("a"), "requests", 1, Allowance())
    with pytest.raises(ServiceError) as refusal:
        await limits.take(caller("a"), "requests", 5, Allowance())
    wait_ms = int(refusal.value.headers["retry-after-ms"])
    assert 300 < wait_ms <= 500
    await asyncio.sleep(wait_ms / 1000)
    await limits.take(caller("a"), "requests", 5, Allowance())
    # Another organisation never noticed.
    await limits.take(caller("b"), "requests", 600, Allowance())


async def test_tokens_are_prompt_and_reserved_output(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = (await api.post("/tokenize", json=chat())).json()["count"]
    response = await api.post(PATH, json=chat(max_tokens=100, n=2))
    left = int(response.headers["x-ratelimit-remaining-tokens"])
    assert left == 4_000_000 - count - 200


async def test_what_is_larger_than_the_limit_takes_all_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "RATE_LIMIT_TOKENS_PER_MINUTE", 100)
    limits, allowance = RateLimits(), Allowance()
    await limits.take(caller("a"), "tokens", 5000, allowance)
    assert allowance.states["tokens"].remaining == 0


async def test_a_key_can_have_a_limit_of_its_own(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "RATE_LIMIT_KEY_REQUESTS_PER_MINUTE", 2)
    limits = RateLimits()
    from uuid import uuid4

    one, other = uuid4(), uuid4()
    for key in (one, one, other):
        await limits.take(
            Caller("a", 10_000, key, 1, None, "inference"), "requests", 1, Allowance()
        )
    with pytest.raises(ServiceError):
        await limits.take(
            Caller("a", 10_000, one, 1, None, "inference"), "requests", 1, Allowance()
        )


async def test_without_its_redis_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")
    limits = RateLimits()
    with pytest.raises(ServiceError) as refusal:
        await limits.take(caller("a"), "requests", 1, Allowance())
    assert (refusal.value.status, refusal.value.code) == (503, "overloaded")
    assert "retry-after" in refusal.value.headers


@pytest.mark.parametrize(
    ("seconds", "spelt"),
    [(0, "0ms"), (0.0124, "12ms"), (1, "1s"), (6.5, "6.5s"), (63, "1m3s"), (3600, "60m0s")],
)
def test_durations_are_spelt_like_openais(seconds: float, spelt: str) -> None:
    assert spell_duration(seconds) == spelt
