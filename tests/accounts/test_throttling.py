"""How fast the management API may be called: by an organisation's keys, and by each of them."""

import pytest
import throttled
from django.conf import settings
from pytest_django.fixtures import Settings

from accounts import throttling
from accounts.authentication import key_cache
from accounts.models import ApiKey
from tests.inference.test_limits import Clock
from tests.management import Answer, Program


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(throttled.utils, "now_mono_f", clock)
    for kept in (throttling._counter, throttling._store):
        kept.cache_clear()
    key_cache.clear()
    return clock


def statuses(program: Program, times: int) -> list[int]:
    return [program("get", "api_organisation").status_code for _ in range(times)]


def test_a_refusal_says_whose_limit_and_when_it_ends(
    manager: Program, stranger: Program, settings: Settings, clock: Clock
) -> None:
    settings.MANAGEMENT_REQUESTS_PER_MINUTE = 4
    assert statuses(manager, 4) == [200] * 4
    answer: Answer = manager("get", "api_keys")
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    assert "organisation reached: 4 requests per minute" in answer.json()["error"]["message"]
    assert answer["Retry-After"] == "15"
    assert answer["retry-after-ms"] == "15000"
    assert (answer["x-ratelimit-limit-requests"], answer["x-ratelimit-remaining-requests"]) == (
        "4", "0",
    )  # fmt: skip
    assert answer["x-ratelimit-reset-requests"] == "1m0s"
    assert statuses(stranger, 1) == [200]
    clock.now_s += 14
    assert statuses(manager, 1) == [429]
    clock.now_s += 1
    assert statuses(manager, 2) == [200, 429]


def test_a_keys_own_limit_comes_before_its_organisations(
    manager: Program, settings: Settings
) -> None:
    settings.MANAGEMENT_REQUESTS_PER_MINUTE = 6
    made = manager("post", "api_keys", {"name": "slow", "scope": "management"}).json()
    ApiKey.objects.filter(pk=made["id"]).update(requests_per_minute=2)
    assert statuses(Program(made["secret"]), 4) == [200, 200, 429, 429]
    assert statuses(manager, 4) == [200] * 3 + [429]  # what its key was refused took nothing


def test_no_limit_and_no_key(manager: Program, settings: Settings) -> None:
    settings.MANAGEMENT_REQUESTS_PER_MINUTE = 0
    assert statuses(manager, 3) == [200] * 3
    settings.MANAGEMENT_REQUESTS_PER_MINUTE = 1
    assert statuses(Program("sk-prl-nope"), 3) == [401] * 3


def test_it_is_closed_while_its_store_is_away(
    manager: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")
    answer: Answer = manager("get", "api_organisation")
    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert answer.json()["error"]["code"] == "overloaded"
