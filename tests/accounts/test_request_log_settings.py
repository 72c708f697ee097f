"""What is kept of an organisation's requests: nothing until it asks, for as long as it says."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from accounts import audit, flows
from accounts.authentication import authenticate_key, key_cache
from accounts.models import MAX_RETENTION_DAYS, ApiKey, Membership, Organisation, Role, Scope, User

FIELDS = {"keeps_bodies": "on", "body_retention_days": "7", "metadata_retention_days": "14"}


def kept(organisation: Organisation) -> tuple[bool, int, int]:
    organisation.refresh_from_db()
    return (
        organisation.keeps_bodies,
        organisation.body_retention_days,
        organisation.metadata_retention_days,
    )


def save(client: Client, **fields: str) -> int:
    posted = {"form": "request-log", **FIELDS, **fields}
    return client.post(reverse("settings"), posted).status_code


def test_nothing_is_kept_until_somebody_asks(organisation: Organisation) -> None:
    assert kept(organisation) == (False, 30, 90)


def test_an_owner_or_admin_decides_and_the_log_says_who(
    bob_client: Client, bob: User, organisation: Organisation
) -> None:
    flows.change_role(Membership.objects.get(user=bob), Role.ADMIN)
    assert save(bob_client) == 302
    assert kept(organisation) == (True, 7, 14)
    newest = audit.entries(organisation)[0]
    assert (str(newest.actor), newest.changes_dict["keeps_bodies"]) == (
        "bob@example.com",
        ["False", "True"],
    )


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.BILLING, Role.VIEWER])
def test_others_neither_decide_nor_see_the_form(
    role: str, bob_client: Client, bob: User, organisation: Organisation
) -> None:
    Membership.objects.filter(user=bob).update(role=role)
    assert save(bob_client) == 403
    assert kept(organisation) == (False, 30, 90)
    assert "request-log-title" not in bob_client.get(reverse("settings")).content.decode()


@pytest.mark.parametrize("days", ["0", "-1", str(MAX_RETENTION_DAYS + 1), "", "x", "9" * 30])
@pytest.mark.parametrize("name", ["body_retention_days", "metadata_retention_days"])
def test_days_out_of_range_are_refused(
    name: str, days: str, alice_client: Client, organisation: Organisation
) -> None:
    answer = alice_client.post(reverse("settings"), {"form": "request-log", **FIELDS, name: days})
    assert answer.status_code == 400
    assert answer.context["request_log"].errors.keys() == {name}
    assert kept(organisation) == (False, 30, 90)


@pytest.mark.parametrize("days", [0, MAX_RETENTION_DAYS + 1])
@pytest.mark.parametrize("name", ["body_retention_days", "metadata_retention_days"])
def test_the_database_refuses_them_too(name: str, days: int, organisation: Organisation) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Organisation.objects.filter(pk=organisation.pk).update(**{name: days})


def test_a_management_key_reads_and_decides(organisation: Organisation, alice: User) -> None:
    key_cache.clear()
    _key, secret = flows.create_key(organisation, alice, "manages", scope=Scope.MANAGEMENT)
    headers = {"Authorization": f"Bearer {secret}"}
    address = reverse("api_organisation")

    def change(**fields: object) -> dict[str, Any]:
        answer = Client().patch(address, fields, content_type="application/json", headers=headers)
        found: dict[str, Any] = answer.json()
        return found

    assert change(keeps_bodies=True, body_retention_days=3)["body_retention_days"] == 3
    assert kept(organisation) == (True, 3, 90)
    assert change(metadata_retention_days=0)["error"]["param"] == "metadata_retention_days"
    assert change(keeps_bodies="perhaps")["error"]["param"] == "keeps_bodies"
    assert kept(organisation) == (True, 3, 90)


def test_who_calls_knows_whether_bodies_are_kept(
    organisation: Organisation, api_key: tuple[ApiKey, str]
) -> None:
    key_cache.clear()
    assert not authenticate_key(api_key[1], "", Scope.INFERENCE).keeps_bodies
    Organisation.objects.filter(pk=organisation.pk).update(keeps_bodies=True)
    key_cache.clear()
    assert authenticate_key(api_key[1], "", Scope.INFERENCE).keeps_bodies
