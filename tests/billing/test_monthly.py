"""Statements: each month adds up to the ledger, to the nano-dollar, on the page and as CSV."""

import csv
import io
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Membership, Organisation, Role, User
from billing import ledger, ledger_payments, monthly, statements
from billing.models import Account, TransferKind
from billing.months import bounds, month_of
from portal.lib.money import NANOS_PER_DOLLAR
from tests.billing.money import account_of, draft, hold

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = datetime(2025, 11, 30, 12, tzinfo=UTC)
NOW = datetime(2026, 2, 3, tzinfo=UTC)


@pytest.fixture
def account(alice: User, monkeypatch: pytest.MonkeyPatch) -> Account:
    """Sixty charges and some credit in four months; one just before a new year, one just in it."""
    organisation = Organisation.objects.create(name="Acme")
    Membership.objects.create(organisation=organisation, user=alice, role=Role.OWNER)
    chance = random.Random(5)
    moments = sorted(
        [NEW_YEAR - timedelta(microseconds=1), NEW_YEAR, NOW - timedelta(hours=1)]
        + [FIRST + chance.random() * (NOW - FIRST) for _each in range(57)]
    )
    at(monkeypatch, FIRST)
    other = Organisation.objects.create(name="Other")
    for each in (organisation, other):
        ledger.open_account(each.pk)
    ledger.grant(other.pk, 5, reference="grant:other", description="")
    hold("r", other.pk, 5)
    ledger.settle("r", draft(5))
    ledger_payments.record_payment(
        organisation.pk, 10**10, reference="payment:a", description="paid in"
    )
    for number, moment in enumerate(moments):
        at(monkeypatch, moment)
        cost = chance.randrange(10**7)
        hold(f"r{number}", organisation.pk, cost)
        ledger.settle(f"r{number}", draft(cost))
        if number % 20 == 0:
            ledger.grant(organisation.pk, number + 1, reference=f"grant:{number}", description="")
    at(monkeypatch, NOW)
    return account_of(organisation.pk)


def at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    monkeypatch.setattr(timezone, "now", lambda: moment)


def test_every_month_from_the_first_transfer_on_has_one(account: Account) -> None:
    assert monthly.months(account) == [
        date(2026, 2, 1), date(2026, 1, 1), date(2025, 12, 1), date(2025, 11, 1),
    ]  # fmt: skip


def test_the_months_add_up_to_the_ledger(account: Account) -> None:
    found = [monthly.statement(account, month) for month in reversed(monthly.months(account))]
    assert found[0].opening_nanos == 0
    for earlier, later in pairwise(found):
        assert earlier.closing_nanos == later.opening_nanos
    assert found[-1].closing_nanos == account.credits_posted - account.debits_posted
    charged = [line for each in found for line in each.lines if line.kind == TransferKind.USAGE]
    assert -sum(line.amount_nanos for line in charged) == account.debits_posted
    assert sum(line.num_transfers for line in charged) == 60
    assert sum(row.requests for each in found for row in each.tokens) == 60
    assert [each.is_over for each in found] == [True, True, True, False]


def test_a_closing_balance_is_the_ledgers_after_the_months_last_line(account: Account) -> None:
    for month in monthly.months(account):
        _begin, end = bounds(month)
        lines = list(statements.lines(account))
        statements.balance(account, lines)
        last = next(line for line in lines if line.created_at < end)
        assert monthly.statement(account, month).closing_nanos == last.balance_nanos


def test_a_pages_balances_are_the_ledgers_from_its_first_line_on(account: Account) -> None:
    lines = list(statements.lines(account))
    for begin in range(0, len(lines), 7):
        page = lines[begin : begin + 7]
        statements.balance(account, page)
        left = [
            sum(line.signed_nanos for line in lines[place:]) for place in range(begin, begin + 7)
        ]
        assert [line.balance_nanos for line in page] == left[: len(page)]


def test_the_csv_is_every_line_between_its_two_balances(account: Account) -> None:
    for month in monthly.months(account):
        told = monthly.statement(account, month)
        rows = list(csv.DictReader(io.StringIO("".join(monthly.csv_lines(account, month)))))
        opening, *lines, closing = rows
        amounts = [nanos(row["amount_usd"]) for row in lines]
        assert nanos(opening["balance_usd"]) == told.opening_nanos
        assert nanos(closing["balance_usd"]) == told.closing_nanos
        assert told.opening_nanos + sum(amounts) == told.closing_nanos
        assert len(lines) == sum(line.num_transfers for line in told.lines)
        assert nanos(lines[-1]["balance_usd"]) == told.closing_nanos


def nanos(dollars: str) -> int:
    amount = Decimal(dollars) * NANOS_PER_DOLLAR
    assert amount == int(amount)
    return int(amount)


def test_the_month_of_the_statement_is_the_month_of_the_cap(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = monthly.statement(account, date(2026, 2, 1))
    charged = sum(line.amount_nanos for line in told.lines if line.kind == TransferKind.USAGE)
    assert account.spent_in(date(2026, 2, 1)) == -charged


def test_the_pages_show_it(account: Account, alice_client: Client, alice: User) -> None:
    organisation = account.organisation
    assert organisation is not None
    alice_client.post(reverse("organisation_switch"), {"organisation": organisation.pk})
    assert "January 2026" in alice_client.get(reverse("billing_statements")).content.decode()
    page = alice_client.get(reverse("billing_statement", args=[2026, 1])).content.decode()
    told = monthly.statement(account, date(2026, 1, 1))
    assert f'data-nanos="{told.closing_nanos}"' in page
    answer = alice_client.get(reverse("billing_statement_csv", args=[2026, 1]))
    text = answer.content.decode()
    assert text == "".join(monthly.csv_lines(account, date(2026, 1, 1)))


@pytest.mark.parametrize(("year", "month"), [(2024, 1), (2126, 1), (2026, 13), (2026, 0), (0, 1)])
def test_a_month_without_a_statement_is_not_found(
    year: int, month: int, alice_client: Client
) -> None:
    for name in ("billing_statement", "billing_statement_csv"):
        assert alice_client.get(reverse(name, args=[year, month])).status_code == 404


@pytest.mark.parametrize("role", Role)
def test_who_sees_the_ledger_sees_statements(role: Role, bob: User, bob_client: Client) -> None:
    Membership.objects.filter(user=bob).update(role=role)
    month = month_of(timezone.now())
    address = reverse("billing_statement", args=[month.year, month.month])
    sees = role != Role.VIEWER
    assert bob_client.get(reverse("billing_statements")).status_code == (200 if sees else 403)
    assert bob_client.get(address).status_code == (200 if sees else 403)
    takes = role in {Role.OWNER, Role.ADMIN, Role.BILLING}
    address = reverse("billing_statement_csv", args=[month.year, month.month])
    assert bob_client.get(address).status_code == (200 if takes else 403)
