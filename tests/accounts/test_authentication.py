"""Who a key stands for, and every reason to refuse one."""

from datetime import timedelta

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts import flows
from accounts.authentication import (
    Caller,
    KeyRefused,
    authenticate_key,
    caller_for_member,
    key_cache,
    no_longer_valid,
)
from accounts.models import ApiKey, Organisation, Role, Scope, User
from tests.conftest import PASSWORD, signed_in

NEW_PASSWORD = "another quite long one"
Key = tuple[ApiKey, str]


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    key_cache.clear()


def refusal(secret: str, ip: str = "203.0.113.5", scope: str = Scope.INFERENCE) -> KeyRefused:
    with pytest.raises(KeyRefused) as refused:
        authenticate_key(secret, ip, scope)
    return refused.value


def test_a_key_stands_for_its_organisation(api_key: Key, organisation: Organisation) -> None:
    key, secret = api_key
    caller = authenticate_key(secret, "203.0.113.5", Scope.INFERENCE)
    assert caller.organisation_id == organisation.id
    assert caller.api_key_id == key.id
    assert caller.multiplier_bp == 10_000
    assert caller.session_key is None


def test_a_second_look_costs_no_query(
    api_key: Key, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    authenticate_key(api_key[1], "203.0.113.5", Scope.INFERENCE)
    with django_assert_num_queries(0):
        authenticate_key(api_key[1], "203.0.113.5", Scope.INFERENCE)


def test_the_use_of_a_key_is_noted(api_key: Key) -> None:
    authenticate_key(api_key[1], "203.0.113.5", Scope.INFERENCE)
    api_key[0].refresh_from_db()
    assert api_key[0].last_used_at is not None
    noted = api_key[0].last_used_at
    key_cache.clear()
    authenticate_key(api_key[1], "203.0.113.5", Scope.INFERENCE)
    api_key[0].refresh_from_db()
    assert api_key[0].last_used_at == noted, "at most once a minute"


@pytest.mark.django_db
def test_an_unknown_key_is_refused() -> None:
    from accounts import keys

    refused = refusal(keys.mint().secret)
    assert (refused.code, refused.status) == ("invalid_api_key", 401)


def test_a_malformed_key_is_refused_without_the_database() -> None:
    assert refusal("sk-prl-nonsense").code == "invalid_api_key"


def test_a_revoked_key_is_refused(api_key: Key) -> None:
    flows.revoke_key(api_key[0])
    assert refusal(api_key[1]).code == "key_revoked"


def test_a_revoked_key_is_refused_after_two_seconds_though_cached(
    api_key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticate_key(api_key[1], "203.0.113.5", Scope.INFERENCE)
    flows.revoke_key(api_key[0])
    now = __import__("time").monotonic()
    monkeypatch.setattr("accounts.authentication.time.monotonic", lambda: now + 2.1)
    assert refusal(api_key[1]).code == "key_revoked"


def test_an_expired_key_is_refused(api_key: Key) -> None:
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert refusal(api_key[1]).code == "key_expired"


def test_a_suspended_organisations_key_is_refused(api_key: Key) -> None:
    Organisation.objects.update(suspended_at=timezone.now())
    refused = refusal(api_key[1])
    assert (refused.code, refused.status) == ("organisation_suspended", 403)


def test_an_inference_key_cannot_manage_nor_the_other_way_round(
    api_key: Key, organisation: Organisation, alice: User
) -> None:
    refused = refusal(api_key[1], scope=Scope.MANAGEMENT)
    assert refused.code == "wrong_scope"
    assert "has the scope 'inference'; this address needs 'management'" in refused.message
    _key, secret = flows.create_key(organisation, alice, "m", scope=Scope.MANAGEMENT)
    assert refusal(secret, scope=Scope.INFERENCE).code == "wrong_scope"


@pytest.mark.parametrize("ip", ["203.0.114.1", "not an address", "", "2001:db8::1"])
def test_an_address_outside_the_keys_ranges_is_refused(
    ip: str, organisation: Organisation, alice: User
) -> None:
    _key, secret = flows.create_key(organisation, alice, "k", ip_ranges=["203.0.113.0/24"])
    assert refusal(secret, ip).code == "ip_not_allowed"
    for inside in ("203.0.113.77", "::ffff:203.0.113.77"):
        assert authenticate_key(secret, inside, Scope.INFERENCE)


def test_running_streams_learn_of_revocation(api_key: Key) -> None:
    caller = authenticate_key(api_key[1], "203.0.113.5", Scope.INFERENCE)
    assert no_longer_valid([caller]) == set()
    flows.revoke_key(api_key[0])
    assert no_longer_valid([caller]) == {caller}


def test_running_streams_learn_of_the_end_of_a_session(
    alice: User, organisation: Organisation, alice_client: Client
) -> None:
    caller = caller_for_member(alice, organisation, alice_client.session.session_key or "")
    assert no_longer_valid([caller]) == set()
    SessionStore(caller.session_key).delete()
    assert no_longer_valid([caller]) == {caller}


def test_running_streams_learn_of_a_password_that_was_changed_elsewhere(
    alice: User, organisation: Organisation, alice_client: Client
) -> None:
    elsewhere = signed_in(alice)
    caller = caller_for_member(alice, organisation, elsewhere.session.session_key or "")
    words = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    alice_client.post("/accounts/password/change/", words)
    assert no_longer_valid([caller]) == {caller}
    kept = caller_for_member(alice, organisation, alice_client.session.session_key or "")
    assert no_longer_valid([kept]) == set()


def test_a_caller_is_no_longer_valid_when_the_session_became_somebody_elses(
    alice: User, bob_client: Client, organisation: Organisation
) -> None:
    caller = caller_for_member(alice, organisation, bob_client.session.session_key or "")
    assert no_longer_valid([caller]) == {caller}


def test_running_streams_learn_of_suspension(api_key: Key) -> None:
    caller = authenticate_key(api_key[1], "203.0.113.5", Scope.INFERENCE)
    Organisation.objects.update(suspended_at=timezone.now())
    assert no_longer_valid([caller]) == {caller}


def test_many_callers_cost_four_queries(
    api_key: Key, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    caller = authenticate_key(api_key[1], "203.0.113.5", Scope.INFERENCE)
    others = [
        Caller(caller.organisation_id, 10_000, None, None, f"session{n}", Scope.INFERENCE)
        for n in range(50)
    ]
    with django_assert_max_num_queries(4):
        assert no_longer_valid([caller, *others]) == set(others)


@pytest.mark.parametrize("how", ["removed", "made a viewer", "deactivated"])
def test_running_streams_learn_of_a_member_who_may_no_more(
    how: str, bob: User, organisation: Organisation, bob_client: Client
) -> None:
    caller = caller_for_member(bob, organisation, bob_client.session.session_key or "")
    assert no_longer_valid([caller]) == set()
    if how == "removed":
        flows.remove_member(bob.memberships.get())
    elif how == "made a viewer":
        flows.change_role(bob.memberships.get(), Role.VIEWER)
    else:
        User.objects.filter(pk=bob.pk).update(is_active=False)
    assert no_longer_valid([caller]) == {caller}
