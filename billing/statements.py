"""The ledger of one organisation, line by line, with a running balance."""

from collections.abc import Iterator
from typing import Any

from django.db.models import BigIntegerField, Case, F, Q, QuerySet, Sum, Value, When, Window
from django.db.models.functions import Coalesce

from billing.models import Account, Transfer
from portal.lib.money import format_signed
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
        yield csv_line(
            (
                line.created_at.isoformat(),
                line.kind,
                line.description,
                line.reference,
                format_signed(line.signed_nanos),
                format_signed(line.balance_nanos),
            )
        )
