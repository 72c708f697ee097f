"""Whatever is used, at whatever price: rows, pages, files and the ledger are one sum."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Organisation
from billing import ledger, ledger_payments, monthly, pricing, statements, usage
from billing.models import UsageRecord
from portal.lib.ids import new_id
from portal.lib.money import NANOS_PER_DOLLAR, parse_dollars
from portal.pages.requests import sum_of
from tests.billing.money import account_of, audit_is_clean, context, draft, hold
from tests.billing.rules import broken

LINE = 5 * NANOS_PER_DOLLAR


@dataclass(frozen=True)
class Used:
    """One request: how much of which meter, of which model, in which tier, held how far above."""

    model: int
    uncached: int
    cached: int
    output: int
    flex: bool
    spare: int


PRICES = st.tuples(*[st.integers(0, 10**10)] * 3, st.integers(0, 10_000))
USED = st.builds(
    Used, st.integers(0, 2), *[st.integers(0, 40_000)] * 3, st.booleans(), st.integers(0, 99)
)


@pytest.mark.slow
@pytest.mark.django_db
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    prices=st.lists(PRICES, min_size=3, max_size=3), rate_bp=st.integers(1, 30_000),
    requests=st.lists(USED, min_size=1, max_size=12),
)  # fmt: skip
def test_rows_pages_files_and_the_ledger_are_one_sum(
    organisation: Organisation, alice_client: Client, prices: list[tuple[int, ...]],
    requests: list[Used], rate_bp: int,
) -> None:  # fmt: skip
    ledger_payments.set_credit_line(organisation.pk, LINE)
    sheets = [
        pricing.set_price(new_id("model"), *nanos, flex_multiplier_bp=flex)
        for *nanos, flex in prices
    ]
    before = account_of(organisation.pk).debits_posted
    costs = [_use(organisation, sheets[used.model], used, rate_bp) for used in requests]
    account = account_of(organisation.pk)
    assert account.debits_posted == before + sum(costs)
    assert account.debits_pending == 0
    assert _sums(organisation, alice_client) == dict.fromkeys(PLACES, account.debits_posted)
    audit_is_clean()
    assert broken() == []


def _use(organisation: Organisation, sheet: pricing.PriceSheet, used: Used, rate_bp: int) -> int:
    """What it cost: nothing where the credit line refuses it."""
    multiplier = pricing.together_bp(rate_bp, sheet, flex=used.flex)
    meters = {"uncached": used.uncached, "cached": used.cached, "output": used.output}
    cost = pricing.cost_nanos(sheet, **meters, multiplier_bp=multiplier)
    whole = {
        **context(), "model": sheet.model, "price_id": sheet.price_id, "rate_bp": rate_bp,
        "multiplier_bp": multiplier, "service_tier": "flex" if used.flex else "default",
    }  # fmt: skip
    request_id = new_id("req")
    try:
        hold(request_id, organisation.pk, cost + used.spare, context=whole)
    except ledger.InsufficientCredit:
        return 0
    tokens = {f"{name}_tokens": number for name, number in meters.items()}
    ledger.settle(request_id, draft(cost, **tokens))
    return cost


PLACES = ("records", "sums", "page", "csv", "statement", "statement csv", "ledger csv", "cap")


def _sums(organisation: Organisation, client: Client) -> dict[str, int]:
    """What was charged, as each place adds it up."""
    account = account_of(organisation.pk)
    month = monthly.months(account)[0]
    records = UsageRecord.objects.filter(organisation=organisation).select_related("price")
    days = usage.sums(
        organisation.pk, since=month, until=month + timedelta(days=40), group_by="day"
    )
    page = client.get(reverse("usage"), {"range": "month"}).context["totals"]
    file = client.get(reverse("usage_csv"), {"range": "month", "group": "model"}).content.decode()
    lines = monthly.statement(account, month).lines
    found = (
        sum(sum_of(record).rounded_nanos for record in records),
        sum(row["cost_nanos"] for row in days),
        page.cost_nanos,
        sum(int(row["cost_nanos"]) for row in csv.DictReader(io.StringIO(file))),
        -sum(line.amount_nanos for line in lines if line.kind == "usage"),
        _charged(monthly.csv_lines(account, month)),
        _charged(statements.csv_lines(account)),
        account.spent_nanos,
    )
    return dict(zip(PLACES, found, strict=True))


def _charged(lines: Iterator[str]) -> int:
    """Nanos of a ledger's CSV, whose amounts are dollars below nothing."""
    rows = csv.DictReader(io.StringIO("".join(lines)))
    return sum(parse_dollars(row["amount_usd"][1:]) for row in rows if row["kind"] == "usage")
