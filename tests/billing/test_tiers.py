"""Tiers follow what was paid in, and nothing else; an operator may choose another one."""

import pytest
from django.conf import LazySettings
from django.core.checks import run_checks
from django.test import Client

from accounts.models import Organisation, User
from billing import ledger, ledger_payments, tiers
from billing.models import Account, AccountKind, TierOverride, Transfer, TransferKind
from portal.lib.money import NANOS_PER_DOLLAR
from tests.conftest import signed_in

TABLE = ["small:0:10:1000", "middle:50:100:10000", "large:500:0:0"]


@pytest.fixture(autouse=True)
def _three_tiers(settings: LazySettings) -> None:
    settings.RATE_LIMIT_TIERS = TABLE


def pay(organisation: Organisation, dollars: int, reference: str) -> None:
    ledger_payments.record_payment(
        organisation.pk, dollars * NANOS_PER_DOLLAR, reference=f"payment:{reference}",
        description="",
    )  # fmt: skip


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
    pay(organisation, 60, "a")
    Transfer.objects.create(
        reference="refund:a",
        kind=TransferKind.REFUND,
        debit_account=Account.objects.get(organisation=organisation),
        credit_account=ledger.house_account(AccountKind.REFUNDS),
        amount_nanos=20 * NANOS_PER_DOLLAR,
    )
    standing = tiers.standing(organisation.pk)
    assert (standing.tier.name, standing.paid_nanos) == ("small", 40 * NANOS_PER_DOLLAR)


def test_another_organisations_payments_do_not_count(
    organisation: Organisation, charlie: User
) -> None:
    pay(charlie.memberships.get().organisation, 500, "a")
    assert tiers.standing(organisation.pk).tier.name == "small"


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
        ["a:0:1:1", "a:9:1:1"], ["a:0:1"], ["a:x:1:1"], ["a:0:-1:1"], [":0:1:1"],
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
