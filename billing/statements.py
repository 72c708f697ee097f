"""The ledger of one organisation, line by line, with a running balance and what explains it."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import BigIntegerField, Case, F, Q, QuerySet, Sum, Value, When, Window
from django.db.models.functions import Coalesce

from billing.models import Account, Dispute, Refund, TopUp, Transfer
from portal.lib.money import format_plain
from portal.lib.spreadsheets import csv_line

COLUMNS = ("time", "kind", "description", "reference", "amount_usd", "balance_usd")


def lines(account: Account) -> QuerySet[Any]:
    """Transfers of the account, newest first, each with `signed_nanos` and `balance_nanos`."""
    return (
        Transfer.objects.filter(Q(credit_account=account) | Q(debit_account=account))
        .annotate(signed_nanos=signed(account))
        .annotate(
            balance_nanos=Coalesce(
                Window(Sum("signed_nanos"), order_by=F("id").asc()),
                Value(0),
                output_field=BigIntegerField(),
            )
        )
        .order_by("-id")
    )


def explain(lines: Iterable[Any]) -> None:
    """Give each line a `top_up_id`: of a payment, a refund or a dispute, what has its receipt."""
    named = {line.pk: line.reference.split(":")[1] for line in lines if ":" in line.reference}
    ids = set(named.values())
    payments = TopUp.objects.filter(payment_intent_id__in=ids)
    top_ups: dict[str | None, str] = dict(payments.values_list("payment_intent_id", "pk"))
    for kind in (Refund, Dispute):
        top_ups |= dict(kind.objects.filter(pk__in=ids).values_list("pk", "top_up_id"))
    for line in lines:
        line.top_up_id = top_ups.get(named.get(line.pk))


def signed(account: Account) -> Case:
    """What a transfer adds to the account's balance: negative when it is a charge."""
    return Case(
        When(credit_account=account, then=F("amount_nanos")),
        default=-F("amount_nanos"),
        output_field=BigIntegerField(),
    )


def csv_lines(account: Account) -> Iterator[str]:
    """The whole ledger as CSV, oldest first, a line at a time."""
    yield csv_line(COLUMNS)
    for line in lines(account).order_by("id").iterator(chunk_size=1000):
        yield csv_of(line, line.balance_nanos)


def csv_of(line: Any, balance_nanos: int) -> str:
    """A transfer with `signed_nanos`, and the balance after it, in the order of COLUMNS."""
    return csv_line(
        (
            line.created_at.isoformat(),
            line.kind,
            line.description,
            line.reference,
            format_plain(line.signed_nanos),
            format_plain(balance_nanos),
        )
    )
