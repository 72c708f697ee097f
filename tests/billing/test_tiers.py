"""Tiers follow what was paid in, and nothing else; an operator may choose another one."""

import pytest
from django.conf import LazySettings
from django.core.checks import run_checks
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Organisation, User
from billing import tiers, topups
from billing.models import Dispute, Refund, TierOverride, TopUp
from portal.lib.money import NANOS_PER_DOLLAR
from tests.conftest import signed_in

TABLE = ["small:0:10:1000", "middle:50:100:10000", "large:500:0:0"]


@pytest.fixture(autouse=True)
def _three_tiers(settings: LazySettings) -> None:
    settings.RATE_LIMIT_TIERS = TABLE


def pay(organisation: Organisation, dollars: int, payment: str, **parts: int) -> TopUp:
    top_up = TopUp.objects.create(
        organisation=organisation, amount_cents=dollars * 100, form_token=payment
    )
    topups.book(top_up, payment, "Top-up by card", **parts)
    return top_up


def test_it_rises_with_all_payments_together(organisation: Organisation) -> None:
    before = tiers.standing(organisation.pk)
    assert (before.tier.name, before.paid_nanos) == ("small", 0)  # the ten dollars were a gift
    assert before.next_tier is not None
    assert before.next_tier.name == "middle"
    pay(organisation, 49, "a")
    assert tiers.standing(organisation.pk).tier.name == "small"
    pay(organisation, 1, "b")
    assert tiers.standing(organisation.pk).tier == tiers.Tier(
        "middle", 50 * NANOS_PER_DOLLAR, 100, 10_000
    )
    pay(organisation, 450, "c")
    top = tiers.standing(organisation.pk)
    assert (top.tier.name, top.next_tier, top.tier.requests_per_minute) == ("large", None, 0)


def test_what_was_paid_back_does_not_count(organisation: Organisation) -> None:
    top_up = pay(organisation, 60, "a")
    assert tiers.standing(organisation.pk).tier.name == "middle"
    for cents, state in ((1200, "succeeded"), (1000, "created"), (500, "failed")):
        Refund.objects.create(
            top_up=top_up, amount_cents=cents, tax_cents=100, state=state, form_token=state
        )
    standing = tiers.standing(organisation.pk)
    assert (standing.tier.name, standing.paid_nanos) == ("small", 40 * NANOS_PER_DOLLAR)


@pytest.mark.parametrize("taken", [True, False])
def test_what_a_bank_has_taken_back_does_not_count(organisation: Organisation, taken: bool) -> None:
    top_up = pay(organisation, 60, "a")
    Dispute.objects.create(
        dispute_id="dp_1", top_up=top_up, amount_cents=6000, tax_cents=500, taken=taken
    )
    left = 5 if taken else 60
    assert tiers.standing(organisation.pk).paid_nanos == left * NANOS_PER_DOLLAR


def test_a_discount_and_tax_are_not_paid_for_credit(organisation: Organisation) -> None:
    pay(organisation, 60, "a", discount_cents=1500, tax_cents=900)
    assert tiers.standing(organisation.pk).paid_nanos == 45 * NANOS_PER_DOLLAR


def test_no_transfer_is_read_for_a_tier(organisation: Organisation) -> None:
    with CaptureQueriesContext(connection) as queries:
        tiers.standing(organisation.pk)
    assert not [query for query in queries if "billing_transfer" in query["sql"]]


def test_another_organisations_payments_and_what_went_back_of_them_do_not_count(
    organisation: Organisation, charlie: User
) -> None:
    other = charlie.memberships.get().organisation
    theirs = pay(other, 500, "a")
    Refund.objects.create(top_up=theirs, amount_cents=100, form_token="b")
    Dispute.objects.create(dispute_id="dp_1", top_up=theirs, amount_cents=100, taken=True)
    TierOverride.objects.create(organisation=other, tier="large")
    pay(organisation, 50, "c")
    standing = tiers.standing(organisation.pk)
    assert (standing.tier.name, standing.overridden) == ("middle", False)


def test_an_operators_choice_counts_until_the_tier_is_gone(
    organisation: Organisation, settings: LazySettings
) -> None:
    TierOverride.objects.create(organisation=organisation, tier="large", reason="a friend")
    standing = tiers.standing(organisation.pk)
    assert (standing.tier.name, standing.overridden, standing.next_tier) == ("large", True, None)
    settings.RATE_LIMIT_TIERS = TABLE[:2]
    assert tiers.standing(organisation.pk).tier.name == "small"


@pytest.mark.parametrize(
    "rows",
    [
        [], ["a:1:1:1"], ["a:0:1:1", "b:0:1:1"], ["a:0:1:1", "b:9:1:1", "c:5:1:1"],
        ["a:0:1:1", "a:9:1:1"], ["a:0:1"], ["a:x:1:1"], ["a:0:-1:1"], ["a:0:1:-1"],
        ["a:0:1:1", "b:-9:1:1"], [":0:1:1"],
    ],
)  # fmt: skip
def test_a_table_that_makes_no_sense_is_refused(rows: list[str], settings: LazySettings) -> None:
    settings.RATE_LIMIT_TIERS = rows
    with pytest.raises(ValueError, match="RATE_LIMIT_TIERS"):
        tiers.table()
    assert "billing.E002" in {message.id for message in run_checks()}


@pytest.fixture
def operator(alice: User) -> Client:
    alice.is_staff = alice.is_superuser = True
    alice.save()
    return signed_in(alice)


def test_an_operator_sees_tiers_and_chooses_one(
    operator: Client, organisation: Organisation
) -> None:
    assert "small" in operator.get("/operator/billing/account/").content.decode()
    address = "/operator/billing/tieroverride/add/"
    fields = {"organisation": organisation.pk, "tier": "middle", "reason": "as agreed"}
    refused = operator.post(address, {**fields, "tier": "none"})
    assert refused.status_code == 200  # the form again
    assert not TierOverride.objects.exists()
    assert operator.post(address, fields).status_code == 302
    assert tiers.standing(organisation.pk).tier.name == "middle"
