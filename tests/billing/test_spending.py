"""An organisation's monthly cap: its page, the management API, the audit log."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import audit
from accounts.models import ApiKey, Membership, Organisation, Role, User
from billing import ledger
from billing.months import month_of
from portal.lib.money import NANOS_PER_DOLLAR
from tests.billing.money import account_of, draft, hold
from tests.management import Program

FIVE = 5 * NANOS_PER_DOLLAR


def test_a_program_reads_and_sets_the_cap(manager: Program, organisation: Organisation) -> None:
    hold("req_done", organisation.pk, 1000)
    ledger.settle("req_done", draft(400))
    hold("req_running", organisation.pk, 70)
    told = manager("get", "api_spending").json()
    month = month_of(timezone.now()).isoformat()
    assert told == {
        "month": month, "spent_nanos": 400, "held_nanos": 70, "monthly_cap_nanos": None,
    }  # fmt: skip
    told = manager("patch", "api_spending", {"monthly_cap_nanos": FIVE}).json()
    assert told["monthly_cap_nanos"] == account_of(organisation.pk).monthly_cap_nanos == FIVE
    assert manager("patch", "api_spending", {}).json()["monthly_cap_nanos"] == FIVE
    told = manager("patch", "api_spending", {"monthly_cap_nanos": None}).json()
    assert told["monthly_cap_nanos"] is account_of(organisation.pk).monthly_cap_nanos is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"monthly_cap_nanos": -1}, "monthly_cap_nanos"),
        ({"monthly_cap_nanos": "5"}, "monthly_cap_nanos"),
        ({"monthly_cap_nanos": 10**19}, "monthly_cap_nanos"),
        ({"spent_nanos": 0}, "spent_nanos"),
        ({"cap": 1}, "cap"),
    ],
)
def test_what_is_no_cap_is_named(
    body: dict[str, Any], param: str, manager: Program, organisation: Organisation
) -> None:
    answer = manager("patch", "api_spending", body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert account_of(organisation.pk).monthly_cap_nanos is None


def test_a_program_sets_its_own_organisations_cap_alone(
    stranger: Program, organisation: Organisation, api_key: tuple[ApiKey, str]
) -> None:
    stranger("patch", "api_spending", {"monthly_cap_nanos": 1})
    assert account_of(organisation.pk).monthly_cap_nanos is None
    assert Client().get(reverse("api_spending")).status_code == 401
    assert Program(api_key[1])("patch", "api_spending", {}).status_code == 403
    assert stranger("post", "api_spending", {}).status_code == 405


def test_the_page_sets_the_cap_and_shows_what_is_spent_of_it(
    alice_client: Client, organisation: Organisation
) -> None:
    assert "There is no cap" in alice_client.get(reverse("billing")).content.decode()
    answer = alice_client.post(reverse("billing_cap"), {"monthly_cap": "2.5"}, follow=True)
    assert account_of(organisation.pk).monthly_cap_nanos == FIVE // 2
    page = answer.content.decode()
    assert "$0.00 of $2.50 spent." in page
    assert 'value="2.50"' in page, "the form holds what is set"
    alice_client.post(reverse("billing_cap"), {"monthly_cap": ""})
    assert account_of(organisation.pk).monthly_cap_nanos is None


@pytest.mark.parametrize("wrong", ["-1", "much", "NaN", "0.0000000001", "9999999999"])
def test_a_wrong_cap_is_refused_beside_its_field(
    wrong: str, alice_client: Client, organisation: Organisation
) -> None:
    answer = alice_client.post(reverse("billing_cap"), {"monthly_cap": wrong})
    assert answer.status_code == 400
    assert answer.context["cap_form"].errors["monthly_cap"]
    assert account_of(organisation.pk).monthly_cap_nanos is None


@pytest.mark.parametrize("role", Role)
def test_who_pays_sets_the_cap(
    role: Role, bob: User, bob_client: Client, organisation: Organisation
) -> None:
    Membership.objects.filter(user=bob).update(role=role)
    answer = bob_client.post(reverse("billing_cap"), {"monthly_cap": "1"})
    may = role in {Role.OWNER, Role.ADMIN, Role.BILLING}
    assert answer.status_code == (302 if may else 403)
    assert (account_of(organisation.pk).monthly_cap_nanos is not None) == may


def test_the_change_stands_in_the_audit_log(
    alice: User, alice_client: Client, organisation: Organisation
) -> None:
    for _twice in range(2):
        alice_client.post(reverse("billing_cap"), {"monthly_cap": "5"})
    [entry] = [
        entry
        for entry in audit.entries(organisation)
        if "monthly_cap_nanos" in (entry.changes or {})
    ]
    assert entry.changes == {"monthly_cap_nanos": ["None", str(FIVE)]}
    assert entry.actor == alice


def test_a_keys_limits_are_changed_on_its_page(
    alice_client: Client, api_key: tuple[ApiKey, str]
) -> None:
    key = api_key[0]
    address = reverse("key_limits", args=[key.pk])
    assert address in alice_client.get(reverse("keys")).content.decode()
    fields = {"monthly_cap": "5", "requests_per_minute": "60", "tokens_per_minute": ""}
    assert alice_client.post(address, fields).status_code == 302
    key.refresh_from_db()
    assert (key.monthly_cap_nanos, key.requests_per_minute) == (FIVE, 60)
    assert 'value="5.00"' in alice_client.get(address).content.decode()
    refused = alice_client.post(address, {**fields, "monthly_cap": "-1"})
    assert (refused.status_code, "monthly_cap" in refused.context["form"].errors) == (400, True)


def test_a_strangers_key_has_no_page(charlie_client: Client, api_key: tuple[ApiKey, str]) -> None:
    address = reverse("key_limits", args=[api_key[0].pk])
    assert charlie_client.get(address).status_code == 404
    assert charlie_client.post(address, {"monthly_cap": "1"}).status_code == 404
