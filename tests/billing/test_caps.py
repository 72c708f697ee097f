"""Monthly caps of organisations and keys: hard, by month, in the statement that makes the hold."""

from datetime import UTC, date, datetime
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import flows
from accounts.models import Organisation, User
from billing import ledger, spending
from billing.models import Account, KeySpend
from tests.billing.money import account_of, audit_is_clean, draft, hold
from tests.billing.rules import broken


@pytest.fixture
def org(organisation: Organisation) -> str:
    ledger.set_monthly_cap(organisation.pk, 1000)
    return organisation.pk


class Calendar:
    """Turns the clock that the ledger reads."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch

    def turn_to(self, *day: int) -> None:
        moment = datetime(*day, tzinfo=UTC)  # type: ignore[arg-type, misc]
        self.patch.setattr(timezone, "now", lambda: moment)


@pytest.fixture
def calendar(monkeypatch: pytest.MonkeyPatch) -> Calendar:
    return Calendar(monkeypatch)


def test_what_is_spent_and_what_is_held_stay_below_the_cap(org: str) -> None:
    hold("r1", org, 600)
    ledger.settle("r1", draft(500))
    hold("r2", org, 400)
    with pytest.raises(ledger.CapReached) as refused:
        hold("r3", org, 101)
    reached = refused.value
    assert (reached.whose, reached.cap_nanos) == ("organisation", 1000)
    assert (reached.spent_nanos, reached.pending_nanos) == (500, 400)
    assert account_of(org).debits_pending == 400, "what was refused holds nothing"
    hold("r4", org, 100)
    audit_is_clean()


def test_a_hold_that_is_released_counts_no_more(org: str) -> None:
    hold("r1", org, 1000)
    ledger.settle("r1", draft(0))
    hold("r2", org, 1000)


def test_a_shortage_of_credit_is_named_before_a_cap(org: str) -> None:
    with pytest.raises(ledger.InsufficientCredit):
        hold("r1", org, account_of(org).balance_nanos + 1)


def test_a_hold_grows_only_up_to_the_cap(org: str) -> None:
    hold("r1", org, 900)
    assert ledger.extend_hold("r1", 100)
    with pytest.raises(ledger.CapReached):
        ledger.extend_hold("r1", 1)
    assert account_of(org).debits_pending == 1000
    audit_is_clean()


def test_a_cap_changes_for_the_next_request_and_may_be_taken_away(org: str) -> None:
    hold("r1", org, 1000)
    ledger.set_monthly_cap(org, 500)
    ledger.settle("r1", draft(1000))
    with pytest.raises(ledger.CapReached):
        hold("r2", org, 1)
    ledger.set_monthly_cap(org, None)
    hold("r3", org, 10_000)


def test_a_cap_of_nothing_refuses_whatever_costs(org: str) -> None:
    ledger.set_monthly_cap(org, 0)
    hold("free", org, 0)
    with pytest.raises(ledger.CapReached):
        hold("r1", org, 1)


def test_what_is_free_is_refused_by_no_cap_also_not_by_one_below_what_is_spent(org: str) -> None:
    capped = {"api_key_id": uuid4(), "monthly_cap_nanos": 500}
    hold("r1", org, 500, **capped)
    ledger.settle("r1", draft(500))
    capped["monthly_cap_nanos"] = 499
    with pytest.raises(ledger.CapReached):
        hold("r2", org, 1, **capped)
    hold("free 1", org, 0, **capped)
    ledger.set_monthly_cap(org, 499)
    hold("free 2", org, 0, **capped)
    with pytest.raises(ledger.CapReached):
        hold("r3", org, 1)


def test_a_month_begins_with_nothing_spent(org: str, calendar: Calendar) -> None:
    calendar.turn_to(2026, 1, 31, 23, 59)
    hold("r1", org, 1000)
    ledger.settle("r1", draft(1000))
    assert spending.standing(org).spent_nanos == 1000
    calendar.turn_to(2026, 2, 1)
    assert spending.standing(org).spent_nanos == 0
    hold("r2", org, 1000)
    ledger.settle("r2", draft(1))
    assert spending.standing(org).spent_nanos == 1
    audit_is_clean()


def test_a_charge_counts_in_the_month_in_which_its_request_ended(
    org: str, calendar: Calendar
) -> None:
    key = uuid4()
    calendar.turn_to(2026, 1, 31, 23, 59)
    hold("r1", org, 400, api_key_id=key, monthly_cap_nanos=1000)
    calendar.turn_to(2026, 2, 1)
    with pytest.raises(ledger.CapReached):
        hold("r2", org, 601, api_key_id=key, monthly_cap_nanos=1000)
    ledger.settle("r1", draft(300))
    spend = KeySpend.objects.get(api_key_id=key)
    assert (account_of(org).spent_nanos, spend.spent_nanos, spend.pending_nanos) == (300, 300, 0)
    with pytest.raises(ledger.CapReached):
        hold("r3", org, 701)
    audit_is_clean()


def test_a_clock_that_is_behind_neither_reopens_a_month_nor_counts_twice(
    org: str, calendar: Calendar
) -> None:
    calendar.turn_to(2026, 1, 31)
    hold("old", org, 100)
    calendar.turn_to(2026, 2, 1)
    hold("new", org, 900)
    ledger.settle("new", draft(900))
    calendar.turn_to(2026, 1, 31, 23, 59, 59)
    ledger.settle("old", draft(100))
    account = account_of(org)
    assert (account.spend_month, account.spent_nanos) == (date(2026, 2, 1), 900)
    with pytest.raises(ledger.CapReached):
        hold("r3", org, 101)
    audit_is_clean()


@pytest.mark.parametrize("wrong", [(2036, 5, 1), (2025, 12, 31, 22)])
def test_a_clock_that_was_wrong_for_a_while_leaves_no_charge_out_of_its_month(
    org: str, calendar: Calendar, wrong: tuple[int, ...]
) -> None:
    key = uuid4()
    capped = {"api_key_id": key, "monthly_cap_nanos": 900}
    for number, day in enumerate([(2026, 1, 20), wrong, (2026, 1, 21), (2026, 1, 22)]):
        calendar.turn_to(*day)
        hold(f"r{number}", org, 300, **capped)
        ledger.settle(f"r{number}", draft(300))
        audit_is_clean()
        assert not [query for query in broken() if "spend_month" in query]
    account, spend = account_of(org), KeySpend.objects.get(api_key_id=key)
    assert (account.spent_nanos, spend.spent_nanos) == (900, 900)
    assert account.spend_month == spend.spend_month == date(2026, 1, 1)
    calendar.turn_to(*wrong)
    with pytest.raises(ledger.CapReached) as refused:
        hold("r5", org, 601, **capped)
    reached = refused.value
    assert (reached.whose, reached.spent_nanos, reached.pending_nanos) == ("key", 300, 0)
    with pytest.raises(ledger.CapReached) as refused:
        hold("r6", org, 701)
    assert (refused.value.whose, refused.value.spent_nanos) == ("organisation", 300)


def test_a_month_that_comes_again_counts_what_a_key_and_its_successor_spent_in_it(
    organisation: Organisation, alice: User, calendar: Calendar
) -> None:
    calendar.turn_to(2026, 3, 2)
    first, _secret = flows.create_key(organisation, alice, "cli", monthly_cap_nanos=1000)
    second, _secret = flows.rotate_key(first, alice)
    for number, (key, month) in enumerate([(first, 3), (second, 3), (first, 4), (second, 3)]):
        calendar.turn_to(2026, month, 2)
        hold(f"r{number}", organisation.pk, 100, api_key_id=key.pk, monthly_cap_nanos=1000)
        ledger.settle(f"r{number}", draft(100))
    assert spending.spent_by_keys([second.pk]) == {second.pk: 300}
    audit_is_clean()


def test_a_keys_refusal_says_that_it_is_the_keys(org: str) -> None:
    key = uuid4()
    hold("r1", org, 300, api_key_id=key, monthly_cap_nanos=500)
    with pytest.raises(ledger.CapReached) as refused:
        hold("r2", org, 201, api_key_id=key, monthly_cap_nanos=500)
    reached = refused.value
    assert (reached.whose, reached.cap_nanos, reached.spent_nanos, reached.pending_nanos) == (
        "key", 500, 0, 300,
    )  # fmt: skip
    assert account_of(org).debits_pending == 300


def test_a_rotated_key_and_its_successors_have_one_cap(
    organisation: Organisation, alice: User
) -> None:
    first, _secret = flows.create_key(organisation, alice, "cli", monthly_cap_nanos=1000)
    second, _secret = flows.rotate_key(first, alice)
    capped = {"monthly_cap_nanos": second.monthly_cap_nanos}
    hold("r1", organisation.pk, 600, api_key_id=first.pk, **capped)
    ledger.settle("r1", draft(500))
    third, _secret = flows.rotate_key(second, alice)
    hold("r2", organisation.pk, 200, api_key_id=first.pk, **capped)
    for key in (first, second, third):
        with pytest.raises(ledger.CapReached) as refused:
            hold("r3", organisation.pk, 301, api_key_id=key.pk, **capped)
        assert (refused.value.spent_nanos, refused.value.pending_nanos) == (500, 200)
    hold("r4", organisation.pk, 300, api_key_id=third.pk, **capped)
    audit_is_clean()
    ledger.settle("r2", draft(150))
    ledger.settle("r4", draft(250))
    keys = [first.pk, second.pk, third.pk]
    assert spending.spent_by_keys(keys) == dict.fromkeys(keys, 900)
    with pytest.raises(IntegrityError), transaction.atomic():
        KeySpend.objects.filter(api_key_id=third.pk).update(spent_nanos=1)
    audit_is_clean()


def test_the_database_itself_refuses_what_cannot_be(org: str) -> None:
    for wrong in ({"monthly_cap_nanos": -1}, {"spent_nanos": -1}, {"spent_nanos": 1}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Account.objects.filter(organisation_id=org).update(**wrong)
