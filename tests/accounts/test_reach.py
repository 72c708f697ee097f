"""What a limited management key makes reaches no further than it does itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts import flows
from accounts.authentication import key_cache
from accounts.models import ApiKey, Organisation, Scope
from tests.management import Program

HOME = ["127.0.0.0/8", "2001:db8::/32"]
ENDS = datetime(2099, 1, 1, tzinfo=UTC)


@pytest.fixture
def limited(organisation: Organisation) -> tuple[ApiKey, Program]:
    key_cache.clear()
    limits: dict[str, Any] = {"ip_ranges": HOME, "expires_at": ENDS}
    key, secret = flows.create_key(organisation, None, "limited", scope=Scope.MANAGEMENT, **limits)
    return key, Program(secret)


def test_what_is_not_said_is_as_with_its_maker(limited: tuple[ApiKey, Program]) -> None:
    for scope in Scope.values:
        made = limited[1]("post", "api_keys", {"name": "k", "scope": scope}).json()
        key = ApiKey.objects.get(pk=made["id"])
        assert (key.ip_ranges, key.expires_at) == (HOME, ENDS)


WIDER = [
    ("ip_ranges", []),
    ("ip_ranges", ["127.0.0.1", "192.0.2.1"]),
    ("ip_ranges", ["0.0.0.0/0"]),
    ("ip_ranges", ["2001::/16"]),
    ("expires_at", None),
    ("expires_at", (ENDS + timedelta(seconds=1)).isoformat()),
]


@pytest.mark.parametrize(("field", "value"), WIDER)
def test_more_is_refused_by_its_name(
    field: str, value: object, limited: tuple[ApiKey, Program], api_key: tuple[ApiKey, str]
) -> None:
    """For a new key, for another one, and for itself."""
    maker, program = limited
    for method, name, args in (
        ("post", "api_keys", []),
        ("patch", "api_key", [api_key[0].pk]),
        ("patch", "api_key", [maker.pk]),
    ):
        answer = program(method, name, {"name": "wide", field: value}, args)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
        assert ": your key " in answer.json()["error"]["message"]
    assert not ApiKey.objects.filter(name="wide").exists()
    maker.refresh_from_db()
    assert (maker.ip_ranges, maker.expires_at) == (HOME, ENDS)


@pytest.mark.parametrize(
    "fields",
    [
        {"ip_ranges": ["127.0.0.1", "2001:db8:1::/48"]},
        {"expires_at": (ENDS - timedelta(days=1)).isoformat()},
        {"name": "another"},
    ],
)
def test_less_is_given(
    fields: dict[str, object], limited: tuple[ApiKey, Program], api_key: tuple[ApiKey, str]
) -> None:
    program = limited[1]
    assert program("post", "api_keys", {"name": "k", **fields}).status_code == 201
    assert program("patch", "api_key", fields, [api_key[0].pk]).status_code == 200


def test_a_key_that_goes_further_is_not_its_to_rotate(
    limited: tuple[ApiKey, Program], api_key: tuple[ApiKey, str]
) -> None:
    """A rotation's answer is the secret of a key with the old one's rights."""
    maker, program = limited
    answer = program("post", "api_key_rotate", args=[api_key[0].pk])
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "ip_ranges")
    api_key[0].refresh_from_db()
    assert api_key[0].revoked_at is None
    assert program("post", "api_key_rotate", args=[maker.pk]).status_code == 201
