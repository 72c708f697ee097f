"""The ledger: holds, settling, sweeping, credit; never below zero, never twice."""

from datetime import timedelta

import pytest
from django.db import (
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    transaction,
)
from django.db.models import F
from django.utils import timezone
from psycopg.errors import ReadOnlySqlTransaction

from accounts.models import ApiKey, Organisation, User
from billing import hold_rows, ledger
from billing.models import Account, Hold, HoldState, KeySpend, LateWaiver, Transfer, UsageRecord
from portal.lib.money import MAX_NANOS, NANOS_PER_DOLLAR
from tests.billing.money import account_of, audit_is_clean, context, draft, hold

TEN = 10 * NANOS_PER_DOLLAR


@pytest.fixture
def org(organisation: Organisation) -> str:
    return organisation.id


def test_a_hold_takes_from_what_is_available(org: str) -> None:
    hold("r1", org, 3 * NANOS_PER_DOLLAR)
    balance = ledger.balance(org)
    assert balance.posted_nanos == TEN
    assert balance.pending_nanos == 3 * NANOS_PER_DOLLAR
    assert balance.available_nanos == 7 * NANOS_PER_DOLLAR
    audit_is_clean()


def test_a_hold_beyond_the_balance_is_refused_and_leaves_nothing(org: str) -> None:
    hold("r1", org, TEN - 5)
    with pytest.raises(ledger.InsufficientCredit) as refused:
        hold("r2", org, 6)
    assert refused.value.available_nanos == 5
    assert refused.value.pending_nanos == TEN - 5
    assert not Hold.objects.filter(request_id="r2").exists()
    hold("r3", org, 5)
    assert ledger.balance(org).available_nanos == 0


def test_settling_charges_the_cost_and_releases_the_rest(org: str) -> None:
    hold("r1", org, 1000)
    hold("r2", org, 50)
    used, balance = ledger.settle("r1", draft(400))
    assert balance == ledger.balance(org) == ledger.Balance(TEN - 400, 50)
    ledger.settle("r2", draft(0))
    assert used == draft(400)
    record = UsageRecord.objects.get(request_id="r1")
    assert (record.cost_nanos, record.model) == (400, "starter")
    assert record.price_id == context()["price_id"]
    assert ledger.balance(org).available_nanos == TEN - 400
    assert Transfer.objects.get(reference="usage:r1").amount_nanos == 400
    assert Hold.objects.get(pk="r1").state == HoldState.SETTLED
    audit_is_clean()


def test_settling_twice_charges_once(org: str) -> None:
    hold("r1", org, 1000)
    ledger.settle("r1", draft(400))
    again, _balance = ledger.settle("r1", draft(999))
    assert again == draft(400)
    assert UsageRecord.objects.get(request_id="r1").cost_nanos == 400
    assert not LateWaiver.objects.exists(), "they were paid for"
    assert ledger.balance(org).available_nanos == TEN - 400
    audit_is_clean()


def test_a_free_request_writes_a_record_and_no_transfer(org: str) -> None:
    hold("r1", org, 1000)
    ledger.settle("r1", draft(0, outcome="failed", output_tokens=0, uncached_tokens=0))
    assert not Transfer.objects.filter(kind="usage").exists()
    assert UsageRecord.objects.get().cost_nanos == 0
    assert ledger.balance(org).available_nanos == TEN
    audit_is_clean()


def test_a_request_cannot_cost_more_than_it_holds(org: str) -> None:
    hold("r1", org, 1000)
    with pytest.raises(AssertionError):
        ledger.settle("r1", draft(1001))
    assert Hold.objects.get().state == HoldState.OPEN
    assert ledger.balance(org).posted_nanos == TEN


def test_a_hold_is_extended_when_it_can_be_paid(org: str) -> None:
    hold("r1", org, 1000)
    assert ledger.extend_hold("r1", 500)
    assert account_of(org).debits_pending == 1500
    assert not ledger.extend_hold("r1", TEN)
    assert account_of(org).debits_pending == 1500
    assert Hold.objects.get().amount_nanos == 1500
    ledger.settle("r1", draft(1500))
    assert not ledger.extend_hold("r1", 1)
    audit_is_clean()


def test_the_sweep_releases_what_nobody_vouches_for(org: str) -> None:
    hold("r1", org, 1000)
    hold("r2", org, 1000, owner="web2")
    Hold.objects.update(lease=0)
    assert ledger.renew_leases("web2", ["r1", "r2"]) == 1
    assert ledger.sweep() == 1
    assert ledger.renew_leases("web1", ["r1"]) == 0
    assert Hold.objects.get(pk="r1").state == HoldState.RELEASED
    assert Hold.objects.get(pk="r2").state == HoldState.OPEN
    record = UsageRecord.objects.get()
    assert (record.request_id, record.outcome, record.cost_nanos) == ("r1", "failed", 0)
    assert ledger.balance(org).pending_nanos == 1000
    assert ledger.sweep() == 0
    audit_is_clean()


def test_a_hold_its_process_does_not_know_of_ends_with_its_lease(org: str) -> None:
    hold("r1", org, 1000, owner="web1")  # committed, but the answer was lost on the way
    Hold.objects.update(lease=0)
    assert ledger.renew_leases("web1", ["r2"]) == 0
    assert ledger.sweep() == 1
    assert ledger.balance(org).pending_nanos == 0


def test_settling_a_swept_hold_is_free_and_its_tokens_are_waived(org: str) -> None:
    hold("r1", org, 1000)
    Hold.objects.update(lease=0)
    ledger.sweep()
    late = draft(400, output_tokens=5, waived_tokens=2)
    record, _balance = ledger.settle("r1", late)
    assert record.cost_nanos == 0
    waiver = LateWaiver.objects.get(request_id="r1")
    assert (waiver.tokens, waiver.model) == (7, UsageRecord.objects.get().model)
    ledger.settle("r1", late)
    assert LateWaiver.objects.count() == 1
    assert ledger.balance(org).available_nanos == TEN
    audit_is_clean()


def test_a_grant_with_a_used_reference_is_the_same_grant(org: str, charlie: User) -> None:
    first = ledger.grant(org, 100, reference="grant:x", description="Thanks")
    assert ledger.grant(org, 100, reference="grant:x", description="Thanks") == first
    assert ledger.balance(org).posted_nanos == TEN + 100
    with pytest.raises(ValueError, match="another transfer"):
        ledger.grant(org, 101, reference="grant:x", description="Thanks")
    other = charlie.organisations.get().pk
    with pytest.raises(ValueError, match="another transfer"):
        ledger.grant(other, 100, reference="grant:x", description="Thanks")
    audit_is_clean()


def test_what_is_given_is_more_than_nothing(org: str) -> None:
    for none in (-1, 0):
        with pytest.raises(ValueError, match="positive"):
            ledger.grant(org, none, reference="grant:y", description="No")
    ledger.grant(org, 1, reference="grant:y", description="Yes")
    assert ledger.balance(org).posted_nanos == TEN + 1


def test_what_an_account_takes_in_stays_within_64_bits(org: str) -> None:
    for number in range(3):
        ledger.grant(org, MAX_NANOS, reference=f"grant:{number}", description="Much")
    with pytest.raises(ValueError, match="more than an account takes"):
        ledger.grant(org, MAX_NANOS, reference="grant:3", description="Too much")
    assert ledger.balance(org).posted_nanos == TEN + 3 * MAX_NANOS
    with pytest.raises(IntegrityError), transaction.atomic():
        Account.objects.filter(organisation=org).update(credits_posted=F("credits_posted") * 4)
    audit_is_clean()


def test_a_hold_is_not_extended_beyond_its_keys_cap(org: str, api_key: tuple[ApiKey, str]) -> None:
    key_id = api_key[0].pk
    hold("r1", org, 600, api_key_id=key_id, monthly_cap_nanos=1000)
    assert ledger.extend_hold("r1", 400, monthly_cap_nanos=1000)
    with pytest.raises(ledger.CapReached):
        ledger.extend_hold("r1", 1, monthly_cap_nanos=1000)
    assert account_of(org).debits_pending == KeySpend.objects.get().pending_nanos == 1000
    audit_is_clean()


def test_a_keys_cap_counts_what_is_held_and_what_is_spent(
    org: str, api_key: tuple[ApiKey, str]
) -> None:
    key_id = api_key[0].pk
    hold("r1", org, 600, api_key_id=key_id, monthly_cap_nanos=1000)
    with pytest.raises(ledger.CapReached):
        hold("r2", org, 401, api_key_id=key_id, monthly_cap_nanos=1000)
    assert account_of(org).debits_pending == 600, "a refusal by the cap reserves nothing"
    hold("r3", org, 400, api_key_id=key_id, monthly_cap_nanos=1000)
    ledger.settle("r1", draft(100))
    hold("r4", org, 500, api_key_id=key_id, monthly_cap_nanos=1000)
    with pytest.raises(ledger.CapReached):
        hold("r5", org, 1, api_key_id=key_id, monthly_cap_nanos=1000)
    spend = KeySpend.objects.get()
    assert (spend.spent_nanos, spend.pending_nanos) == (100, 900)
    audit_is_clean()


def test_the_database_itself_refuses_a_negative_charge(org: str) -> None:
    hold("r1", org, 500)
    ledger.settle("r1", draft(500))
    hold("r2", org, 500)
    with pytest.raises(IntegrityError), transaction.atomic():
        ledger.settle("r2", draft(-1))
    assert Hold.objects.get(pk="r2").state == HoldState.OPEN
    charge, record = Transfer.objects.get(reference="usage:r1"), UsageRecord.objects.get()
    for amount in (-1, 0):
        with pytest.raises(IntegrityError, match="transfer_positive"), transaction.atomic():
            add(charge, reference="usage:r3", amount_nanos=amount)
    with pytest.raises(IntegrityError, match="usage_cost_not_negative"), transaction.atomic():
        add(record, request_id="r3", cost_nanos=-1)


def add(row: Transfer | UsageRecord, **changes: object) -> None:
    """Another row, like this one."""
    for name, value in {"pk": None, **changes}.items():
        setattr(row, name, value)
    row.save(force_insert=True)


def test_the_database_itself_refuses_an_overdraft(org: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Account.objects.filter(organisation_id=org).update(debits_posted=TEN + 1)
    with pytest.raises(IntegrityError), transaction.atomic():
        Account.objects.filter(organisation_id=org).update(debits_pending=-1)


@pytest.mark.parametrize("table", ["billing_transfer", "billing_usagerecord"])
@pytest.mark.parametrize("verb", ["UPDATE {} SET id = id", "DELETE FROM {}"])
def test_the_database_itself_refuses_to_change_posted_rows(org: str, table: str, verb: str) -> None:
    hold("r1", org, 1000)
    ledger.settle("r1", draft(400))
    with (
        pytest.raises(IntegrityError, match="immutable"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(verb.format(table))


def test_a_step_that_fails_takes_the_whole_settling_back(
    org: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold("r1", org, 1000)
    for module, step in (
        (hold_rows, "close"),
        (hold_rows, "unreserve"),
        (ledger, "house_account"),
        (hold_rows, "insert"),
        (ledger, "_record"),
    ):
        with monkeypatch.context() as broken:

            def crash(*_args: object, step: str = step, **_kwargs: object) -> None:
                raise RuntimeError(f"crash in {step}")

            broken.setattr(module, step, crash)
            with pytest.raises(RuntimeError):
                ledger.settle("r1", draft(400))
        assert Hold.objects.get().state == HoldState.OPEN
        assert account_of(org).debits_pending == 1000
        audit_is_clean()
    ledger.settle("r1", draft(400))
    audit_is_clean()


def test_the_audit_sees_what_is_off(org: str) -> None:
    from billing.audit import audit

    hold("r1", org, 1000)
    ledger.settle("r1", draft(400))
    hold("r2", org, 1000)
    Account.objects.filter(organisation_id=org).update(debits_posted=401, debits_pending=999)
    Hold.objects.filter(pk="r2").update(lease_until=timezone.now() - timedelta(seconds=31))
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER billing_transfer_no_update")
    off = {finding.code: finding.value for finding in audit() if finding.value}
    assert off == {"D1 debits": 1, "D1 pending": 1, "D3": 1, "triggers": 1}


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError, InternalError])
def test_a_database_that_is_away_is_told_from_one_that_refuses(
    db: None, kind: type[Exception]
) -> None:
    """Who settles tries again until it is there."""

    @ledger.accounting
    def fails(error: Exception, cause: Exception | None) -> None:
        raise error from cause

    with pytest.raises(ledger.AccountingUnavailable):
        fails(kind("gone"), ReadOnlySqlTransaction() if kind is InternalError else None)
    with pytest.raises(IntegrityError):
        fails(IntegrityError("a constraint"), None)
