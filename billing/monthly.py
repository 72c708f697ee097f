"""Statements: one organisation and one calendar month (UTC), summed from the ledger alone.

Opening balance + what came in - what went out = closing balance, to the nano-dollar, since all
four are sums over the same transfers; a month's closing balance is the next one's opening.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.utils import timezone

from billing import statements
from billing.models import Account, Transfer, TransferKind, UsageRecord
from billing.months import before, bounds, month_of
from portal.lib.money import format_plain
from portal.lib.spreadsheets import csv_line


@dataclass(frozen=True, slots=True)
class Line:
    """What one kind of transfer, of usage one model, came to; negative: it was charged."""

    kind: TransferKind
    model: str
    num_transfers: int
    amount_nanos: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a model's requests of the month used, by tier; the meters are disjoint."""

    model: str
    service_tier: str
    requests: int
    uncached: int
    cached: int
    output: int


@dataclass(frozen=True, slots=True)
class Statement:
    month: date
    opening_nanos: int
    lines: list[Line]
    closing_nanos: int
    tokens: list[Tokens]
    is_over: bool  # until then it still grows


def statement(account: Account, month: date) -> Statement:
    begin, end = bounds(month)
    opening = _sum(_transfers(account).filter(created_at__lt=begin))
    lines = _lines(account, begin, end)
    return Statement(
        month=month,
        opening_nanos=opening,
        lines=lines,
        closing_nanos=opening + sum(line.amount_nanos for line in lines),
        tokens=_tokens(account, begin, end),
        is_over=end <= timezone.now(),
    )


def months(account: Account) -> list[date]:
    """The months that have a statement, newest first: from the first transfer to this one."""
    first = statements.lines(account).order_by("id").first()
    month = month_of(timezone.now())
    earliest = month if first is None else month_of(first.created_at)
    found = [month]
    while found[-1] > earliest:
        found.append(before(found[-1]))
    return found


def csv_lines(account: Account, month: date) -> Iterator[str]:
    """Every transfer of the month between its two balances, a line at a time."""
    begin, end = bounds(month)
    balance = _sum(_transfers(account).filter(created_at__lt=begin))
    yield csv_line(statements.COLUMNS)
    yield csv_line((begin.isoformat(), "opening balance", "", "", "", format_plain(balance)))
    rows = _transfers(account).filter(created_at__gte=begin, created_at__lt=end)
    for row in rows.order_by("created_at", "id").iterator(chunk_size=1000):
        balance += row.signed_nanos
        yield statements.csv_of(row, balance)
    yield csv_line((end.isoformat(), "closing balance", "", "", "", format_plain(balance)))


def _transfers(account: Account) -> QuerySet[Any]:
    """Each with `signed_nanos`."""
    own = Transfer.objects.filter(Q(credit_account=account) | Q(debit_account=account))
    return own.annotate(signed_nanos=statements.signed(account))


def _sum(transfers: QuerySet[Any]) -> int:
    return int(transfers.aggregate(total=Sum("signed_nanos"))["total"] or 0)


def _lines(account: Account, begin: datetime, end: datetime) -> list[Line]:
    """Money in first; usage by model and tier, which a charge's description says."""
    within = _transfers(account).filter(created_at__gte=begin, created_at__lt=end)
    usage = within.filter(kind=TransferKind.USAGE).values_list("kind", "description")
    others = within.exclude(kind=TransferKind.USAGE).values_list("kind")
    sums = (Count("pk"), Sum("signed_nanos"))
    rows = [(kind, "", *found) for kind, *found in others.annotate(*sums).order_by("kind")]
    rows += usage.annotate(*sums).order_by("description")
    return [Line(TransferKind(kind), model, number, nanos) for kind, model, number, nanos in rows]


def _tokens(account: Account, begin: datetime, end: datetime) -> list[Tokens]:
    records = UsageRecord.objects.filter(
        organisation_id=account.organisation_id, created_at__gte=begin, created_at__lt=end
    )
    meters = (Sum("uncached_tokens"), Sum("cached_tokens"), Sum("output_tokens"))
    groups = ("model", "service_tier")
    rows = records.values_list(*groups).annotate(Count("pk"), *meters).order_by(*groups)
    return [Tokens(*row) for row in rows]
