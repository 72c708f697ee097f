"""The ledger of one organisation, line by line, with a running balance and what explains it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db.models import BigIntegerField, Case, F, OuterRef, QuerySet, Subquery, Sum, When
from django.db.models.functions import Coalesce

from billing.models import Account, Dispute, Refund, TopUp, Transfer
from portal.lib.money import format_plain
from portal.lib.spreadsheets import csv_line

COLUMNS = ("time", "kind", "description", "reference", "amount_usd", "balance_usd")


def lines(account: Account, newest: str = "") -> QuerySet[Any]:
    """Transfers of the account, newest first, each with `signed_nanos`.

    From the line with the reference `newest` on, where the account has it. Each side in the order
    of its own index: of both together the database would sort all.
    """
    incoming = Transfer.objects.filter(credit_account=account)
    outgoing = Transfer.objects.filter(debit_account=account)
    for side in (incoming, outgoing) if newest else ():
        if line := side.filter(reference=newest).first():
            incoming, outgoing = incoming.filter(pk__lte=line.pk), outgoing.filter(pk__lte=line.pk)
    return (
        incoming.annotate(signed_nanos=F("amount_nanos"))
        .union(outgoing.annotate(signed_nanos=-F("amount_nanos")), all=True)
        .order_by("-id")
    )


def balance(account: Account, lines: Sequence[Any]) -> None:
    """Give each of these neighbouring lines its `balance_nanos`, what was left after it.

    From the account's totals back, in one statement: a sum from the first line on would read the
    whole ledger whenever somebody looks at a page of it.
    """
    if not lines:
        return
    left = Account.objects.filter(pk=account.pk).values_list(
        F("credits_posted") - F("debits_posted")
        - _newer("credit_account", lines[0]) + _newer("debit_account", lines[0]), flat=True
    ).get()  # fmt: skip
    for line in lines:
        line.balance_nanos = left
        left -= line.signed_nanos


def _newer(side: str, line: Any) -> Coalesce:
    """The sum of an account's transfers on one side that came after a line."""
    newer = Transfer.objects.filter(**{side: OuterRef("pk")}, pk__gt=line.pk)
    sums = newer.order_by().values(side).values_list(Sum("amount_nanos"))
    return Coalesce(Subquery(sums), 0, output_field=BigIntegerField())


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
    balance_nanos = 0
    for line in lines(account).order_by("id").iterator(chunk_size=1000):
        balance_nanos += line.signed_nanos
        yield csv_of(line, balance_nanos)


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
