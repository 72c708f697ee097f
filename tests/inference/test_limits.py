"""Rate limits: true headers, true Retry-After, one organisation's alone, closed without Redis."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from uuid import UUID, uuid4

import httpx
import pytest
from django.conf import settings

from accounts import flows
from accounts.authentication import Caller, key_cache
from accounts.models import ApiKey
from billing import tiers
from inference import pace
from inference.errors import ServiceError
from inference.limits import Allowance, RateLimits
from portal.lib.db import db
from portal.lib.durations import spell_duration
from tests.inference.conftest import Books, chat
from tests.services import redis_server

PATH = "/v1/chat/completions"


def caller(
    organisation: str, key: UUID | None = None, *, requests: int | None = None,
    tokens: int | None = None,
) -> Caller:  # fmt: skip
    return Caller(
        organisation, 10_000, key, 1, None if key else "session", "inference",
        requests_per_minute=requests, tokens_per_minute=tokens,
    )  # fmt: skip


def tier(monkeypatch: pytest.MonkeyPatch, requests: int, tokens: int = 0) -> None:
    """One tier for everybody; 0 is no limit."""
    monkeypatch.setattr(settings, "RATE_LIMIT_TIERS", [f"only:0:{requests}:{tokens}"])


class Clock:
    """The time of the limits that are kept in this process: it passes when a test says so.

    Rates are chosen whose intervals are exact in binary: nothing else hides what is lost there.
    """

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "monotonic", clock)
    return clock


@pytest.fixture
def six_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    tier(monkeypatch, 6)


async def test_a_seventh_request_has_to_wait_for_as_long_as_it_is_told(
    six_a_minute: None, clock: Clock, api: httpx.AsyncClient, books: Books
) -> None:
    for left in range(5, -1, -1):
        response = await api.post(PATH, json=chat(max_tokens=1))
        assert response.status_code == 200
        assert response.headers["x-ratelimit-limit-requests"] == "6"
        assert response.headers["x-ratelimit-remaining-requests"] == str(left)
        assert "x-ratelimit-limit-tokens" not in response.headers  # there is none
    refused = await api.post(PATH, json=chat(max_tokens=1))
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert "this organisation" in refused.json()["error"]["message"]
    assert refused.headers["retry-after-ms"] == "10000"
    assert refused.headers["retry-after"] == "10"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert len(await books.records()) == 6
    clock.now_s += 9.5
    refused = await api.post(PATH, json=chat(max_tokens=1))
    assert (refused.headers["retry-after-ms"], refused.headers["retry-after"]) == ("500", "1")
    clock.now_s += 0.5
    assert (await api.post(PATH, json=chat(max_tokens=1))).status_code == 200


async def test_what_is_refused_for_another_reason_says_what_is_left(
    six_a_minute: None, api: httpx.AsyncClient
) -> None:
    response = await api.post(PATH, json=chat("z" * 3000))
    assert response.json()["error"]["code"] == "context_length_exceeded"
    assert response.headers["x-ratelimit-remaining-requests"] == "5"


@pytest.mark.parametrize(
    ("path", "body"), [(PATH, chat(model="none")), ("/tokenize", {"prompt": "a", "model": "none"})]
)
async def test_asking_for_models_that_are_not_there_counts_too(
    six_a_minute: None, api: httpx.AsyncClient, path: str, body: dict[str, object]
) -> None:
    answers = [await api.post(path, json=body) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [404] * 6 + [429]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/tokenize", {"prompt": "a"}),
        ("POST", "/v1/detokenize", {"tokens": [97]}),
        ("GET", "/tokenizer_info", None),
    ],
)
async def test_tokenising_counts_too(
    six_a_minute: None, api: httpx.AsyncClient, method: str, path: str, body: object
) -> None:
    answers = [await api.request(method, path, json=body) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 6 + [429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == [
        "5", "4", "3", "2", "1", "0", "0",
    ]  # fmt: skip
    assert answers[-1].headers["retry-after-ms"] == "10000"


async def test_tokens_of_many_at_once_are_limited_to_one_percent(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, web: httpx.AsyncClient
) -> None:
    """Over connections, 200 clients at once; no time passes, so nothing flows back."""
    allowed, tokens_of_each = 100, 600  # what is reserved counts, whatever is made of it
    tier(monkeypatch, 0, allowed * tokens_of_each)
    body = {"model": "starter", "prompt": "z" * 500, "max_tokens": 100}
    answers = await asyncio.gather(*(web.post("/v1/completions", json=body) for _ in range(200)))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses.keys() == {200, 429}
    assert abs(statuses[200] - allowed) <= allowed / 100
    # The next ones flow back in the time that they are told.
    [wait_ms] = {answer.headers["retry-after-ms"] for answer in answers if answer.is_error}
    clock.now_s += int(wait_ms) / 1000
    again = await asyncio.gather(*(web.post("/v1/completions", json=body) for _ in range(2)))
    assert sorted(answer.status_code for answer in again) == [200, 429]


@pytest.fixture
def redis_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with redis_server() as address:
        monkeypatch.setattr(settings, "REDIS_URL", address)
        yield


@pytest.mark.services
async def test_with_redis_headers_and_retry_after_are_as_true(
    redis_store: None, monkeypatch: pytest.MonkeyPatch, api: httpx.AsyncClient
) -> None:
    tier(monkeypatch, 60)
    first = await api.post("/tokenize", json={"prompt": "a"})
    assert first.headers["x-ratelimit-limit-requests"] == "60"
    assert first.headers["x-ratelimit-remaining-requests"] == "59"
    while (answer := await api.post("/tokenize", json={"prompt": "a"})).status_code == 200:
        pass
    wait_ms = int(answer.headers["retry-after-ms"])
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert 0 < wait_ms <= 1000
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    await asyncio.sleep(wait_ms / 1000)
    assert (await api.post("/tokenize", json={"prompt": "a"})).status_code == 200


async def test_by_default_64_benchmark_clients_run_at_once(flushable: None, clock: Clock) -> None:
    """In the lowest tier each asks for 2,048 tokens, three times in two seconds, for minutes."""
    lowest = tiers.table()[0]
    assert (lowest.requests_per_minute, lowest.tokens_per_minute) == (30_000, 20_000_000)
    limits, clients, rounds = RateLimits(), 64, 200
    for _ in range(rounds):
        for unit, cost in (("requests", 1), ("tokens", 2_048)):
            await asyncio.gather(
                *(limits.take(caller("a"), unit, cost, Allowance()) for _ in range(clients))
            )
        clock.now_s += 2 / 3


async def test_retry_after_is_true(
    flushable: None, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier(monkeypatch, 480)
    limits = RateLimits()
    for _ in range(480):
        await limits.take(caller("a"), "requests", 1, Allowance())
    assert await refused_for_s(limits, caller("a"), "requests", 4) == 0.5
    clock.now_s += 0.5
    await limits.take(caller("a"), "requests", 4, Allowance())
    # Another organisation never noticed.
    await limits.take(caller("b"), "requests", 480, Allowance())


async def test_retry_after_is_true_of_all_limits_at_once(
    flushable: None, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The organisation refuses, and the key, which had let it pass, has to fill up longer."""
    tier(monkeypatch, 3_840)
    limits, key = RateLimits(), caller("a", uuid4(), requests=240)
    for _ in range(239):
        await limits.take(key, "requests", 1, Allowance())
    await limits.take(caller("a"), "requests", 3_601, Allowance())
    # Of the organisation alone: a 64th.
    assert await refused_for_s(limits, key, "requests", 1) == 0.25
    clock.now_s += 0.25
    await limits.take(key, "requests", 1, Allowance())


async def test_tokens_that_were_refused_wait_for_a_request_as_well(
    flushable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier(monkeypatch, 120, 60_000)
    limits = RateLimits()
    await limits.take(caller("a"), "requests", 120, Allowance())
    await limits.take(caller("a"), "tokens", 60_000, Allowance())
    assert await refused_for_s(limits, caller("a"), "tokens", 1) == 0.5


async def refused_for_s(limits: RateLimits, who: Caller, unit: str, cost: int) -> float:
    with pytest.raises(ServiceError) as refusal:
        await limits.take(who, unit, cost, Allowance())
    assert (refusal.value.status, refusal.value.type) == (429, unit)
    return int(refusal.value.headers["retry-after-ms"]) / 1000


async def test_tokens_are_prompt_and_reserved_output(api: httpx.AsyncClient) -> None:
    count = (await api.post("/tokenize", json=chat())).json()["count"]
    response = await api.post(PATH, json=chat(max_tokens=100, n=2))
    limit = int(response.headers["x-ratelimit-limit-tokens"])
    left = int(response.headers["x-ratelimit-remaining-tokens"])
    assert left == limit - count - 200


async def test_what_is_larger_than_the_limit_takes_all_of_it(
    flushable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier(monkeypatch, 0, 100)
    limits, allowance = RateLimits(), Allowance()
    await limits.take(caller("a"), "tokens", 5000, allowance)
    assert allowance.states["tokens"].remaining == 0


async def test_a_key_has_the_limits_that_its_owner_set(
    api: httpx.AsyncClient, api_key: tuple[ApiKey, str]
) -> None:
    await db(ApiKey.objects.update, requests_per_minute=2, tokens_per_minute=1_000)
    key_cache.clear()
    answers = [await api.post(PATH, json=chat(max_tokens=1)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["x-ratelimit-limit-requests"] == "2"
    assert answers[0].headers["x-ratelimit-limit-tokens"] == "1000"
    assert "this key" in answers[2].json()["error"]["message"]


READING = [
    ("GET", "/v1/models", 200),
    ("GET", "/v1/models/starter", 200),
    ("GET", "/v1/requests/req_1", 404),
    ("GET", "/v1/responses/resp_1", 404),
    ("GET", "/v1/responses/resp_1?stream=true", 400),
    ("DELETE", "/v1/responses/resp_1", 404),
    ("GET", "/v1/responses/resp_1/input_items", 404),
    ("GET", "/tokenizer_info", 200),
]


@pytest.mark.parametrize(("method", "path", "status"), READING)
async def test_what_only_reads_is_counted_as_well(
    api: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    await db(ApiKey.objects.update, requests_per_minute=2)
    key_cache.clear()
    answers = [await api.request(method, path) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status, status, 429]
    left = [answer.headers["x-ratelimit-remaining-requests"] for answer in answers]
    assert left == ["1", "0", "0"]
    assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
    assert answers[2].headers["retry-after"] == "30"
    assert not [name for name in answers[0].headers if name.endswith("-tokens")]


async def test_a_key_that_is_too_fast_leaves_other_keys_alone(
    flushable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier(monkeypatch, 4)
    limits, one, other = RateLimits(), caller("a", uuid4(), requests=2), caller("a", uuid4())
    for _ in range(2):
        await limits.take(one, "requests", 1, Allowance())
    for _ in range(20):
        await refused_for_s(limits, one, "requests", 1)
    for _ in range(2):
        await limits.take(other, "requests", 1, Allowance())


async def test_a_rotated_key_and_its_successors_have_one_limit(
    api: httpx.AsyncClient, api_key: tuple[ApiKey, str]
) -> None:
    await db(ApiKey.objects.update, requests_per_minute=2)
    key_cache.clear()
    key = await db(ApiKey.objects.get, pk=api_key[0].pk)
    successor, _ = await db(flows.rotate_key, key, None)
    _, last = await db(flows.rotate_key, successor, None)
    headers = {"authorization": f"Bearer {last}"}
    assert (await api.post(PATH, json=chat(max_tokens=1))).status_code == 200
    assert (await api.post(PATH, json=chat(max_tokens=1), headers=headers)).status_code == 200
    for sent in (None, headers):
        refused = await api.post(PATH, json=chat(max_tokens=1), headers=sent)
        assert refused.status_code == 429
        assert "this key" in refused.json()["error"]["message"]


async def test_a_key_cannot_have_more_than_its_organisation(
    flushable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier(monkeypatch, 2)
    limits, key, allowance = RateLimits(), caller("a", uuid4(), requests=1_000), Allowance()
    for _ in range(2):
        await limits.take(key, "requests", 1, allowance)
    assert allowance.headers()["x-ratelimit-limit-requests"] == "2"
    await refused_for_s(limits, key, "requests", 1)


async def test_a_tier_is_read_once_for_many_requests(
    flushable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings: list[str] = []
    standing = tiers.standing

    def counted(organisation_id: str) -> tiers.Standing:
        readings.append(organisation_id)
        return standing(organisation_id)

    monkeypatch.setattr(tiers, "standing", counted)
    limits = RateLimits()
    takes = [limits.take(caller("a"), "requests", 1, Allowance()) for _ in range(50)]
    await asyncio.gather(*takes)
    await limits.take(caller("a"), "tokens", 1, Allowance())
    assert readings == ["a"]
    monkeypatch.setattr(settings, "RATE_LIMIT_TIER_CACHE_S", 0)
    limits = RateLimits()
    for _ in range(3):
        await limits.take(caller("a"), "requests", 1, Allowance())
    assert readings == ["a"] * 4


async def test_without_its_redis_it_refuses(
    flushable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
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
