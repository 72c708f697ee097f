"""System checks: unsafe combinations are refused, each by an error that says what to set."""

import pytest
from pytest_django.fixtures import Settings

from portal import checks


def ids(found: list[checks.CheckMessage]) -> set[str | None]:
    return {message.id for message in found}


def test_the_embedded_default_is_fine() -> None:
    assert checks.check_stripe(None) == []
    assert checks.check_production(None) == []
    assert checks.check_several_processes(None) == []


def test_stripe_without_a_webhook_secret_is_refused(settings: Settings) -> None:
    settings.STRIPE_SECRET_KEY = "sk_test_x"
    settings.STRIPE_WEBHOOK_SECRET = ""
    assert ids(checks.check_stripe(None)) == {"parlance.E001"}


def test_keys_of_stripe_in_each_others_place_are_refused(settings: Settings) -> None:
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = "whsec_x", "pk_test_x"
    found = checks.check_stripe(None)
    assert ids(found) == {"parlance.E007"}
    assert [message.msg.split()[0] for message in found] == [
        "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET",
    ]  # fmt: skip
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = "rk_live_x", "whsec_x"
    assert checks.check_stripe(None) == []


def test_production_needs_its_services(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PRODUCTION = True
    settings.DEBUG = True
    monkeypatch.setenv("SECRET_KEY", "x" * 49)
    settings.DATABASE_URL = settings.REDIS_URL = ""
    settings.BASE_URL = "http://example.com"
    expected = {"parlance.E002", "parlance.E003", "parlance.E004", "parlance.E005", "parlance.W001"}
    assert ids(checks.check_production(None)) == expected


def test_several_web_processes_need_redis(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    settings.REDIS_URL = ""
    assert ids(checks.check_several_processes(None)) == {"parlance.E006"}
    settings.REDIS_URL = "redis://localhost"
    assert checks.check_several_processes(None) == []


def test_a_proxy_that_hides_its_visitors_is_warned_of(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`serve` speaks no TLS, so something stands before a site whose address is https."""
    settings.PRODUCTION = True
    monkeypatch.setenv("SECRET_KEY", "x" * 50)
    settings.DATABASE_URL, settings.REDIS_URL = "postgres://h/n", "redis://h"
    settings.BASE_URL = "https://example.com"
    settings.TRUST_FORWARDED_FOR = False
    assert ids(checks.check_production(None)) == {"parlance.W002"}
    settings.TRUST_FORWARDED_FOR = True
    assert checks.check_production(None) == []
