"""Compares Stripe with the ledger, every night: payments, refunds and disputes, one by one, and
of each organisation that pays later what its meter was told.

What it finds is kept and shown in the console; normally it is nothing. It corrects no difference: a
person looks at it. What a lost webhook would have said is no difference: of payment pages
`catch_up` hears, of invoices and subscriptions each comparison before it compares.

Both sides are read from `WINDOW` ago to `SETTLES` ago; what is younger may be under way. What only
one side made in that time is asked for by its id, so the ends of the window hide nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import TypeVar

from django.db import transaction
from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from billing import invoices, stripe_api, stripe_billing, subscriptions, topups
from billing.disputes import MONEY_GONE
from billing.models import (
    Difference,
    DifferenceKind,
    Dispute,
    MeterBatch,
    Reconciliation,
    Refund,
    RefundState,
    StripeCustomer,
    TopUp,
    TopUpState,
    Transfer,
    TransferKind,
)
from billing.refunds import GONE_BACK
from billing.stripe_objects import Payment, StripeDispute, StripeRefund
from portal.lib.money import NANOS_PER_CENT

T = TypeVar("T", StripeRefund, StripeDispute)

WINDOW = timedelta(days=35)
# An invoice that is sent may be paid so much later.
INVOICES_WAIT = timedelta(days=stripe_billing.DAYS_DUE)
SETTLES = timedelta(minutes=10)
# How far Stripe's clock may be from ours, with the way of an answer.
SKEW = timedelta(minutes=1)
# Stripe's payment pages end after a day; we ask once more afterwards.
PAGE_LIVES = timedelta(hours=30)
PAGES_AT_ONCE = 200


def reconcile() -> Reconciliation | None:
    """One comparison, kept; with an `error` when Stripe did not answer to its end."""
    if not stripe_api.enabled():
        return None
    until = timezone.now() - SETTLES
    run = Reconciliation.objects.create(since=until - WINDOW, until=until)
    try:
        subscriptions.catch_up()
        invoices.catch_up(run.since - INVOICES_WAIT, run.until)
        found = [*_payments(run), *_refunds(run), *_disputes(run), *_usage(run)]
    except stripe_api.StripeUnavailable as away:
        run.error = str(away)[:500]
        run.save(update_fields=["error"])
        return run
    run.finished_at = timezone.now()
    run.num_differences = len(found)
    with transaction.atomic():
        Difference.objects.bulk_create(found)
        run.save(update_fields=["finished_at", "num_differences", "compared"])
    return run


def catch_up() -> None:
    """Hear of payment pages whose webhook never came; Stripe's answer counts, as with any other."""
    if not stripe_api.enabled():
        return
    now = timezone.now()
    pages = TopUp.objects.filter(
        state=TopUpState.CREATED, automatic=False, checkout_session_id__isnull=False,
        created_at__range=(now - PAGE_LIVES, now - SETTLES),
    )  # fmt: skip
    try:
        # In no order: those that nobody pays must not keep any other waiting.
        some = pages.order_by("?")[:PAGES_AT_ONCE]
        for session_id in some.values_list("checkout_session_id", flat=True):
            hear_of(session_id or "")
    except stripe_api.StripeUnavailable:
        return  # the next run asks again


def hear_of(session_id: str) -> bool:
    """What became of a payment page; True while its bank has not answered.

    Raises StripeUnavailable.
    """
    try:
        session = stripe_api.fetch_checkout(session_id)
    except stripe_api.RequestRefused:  # it is of another account, or of test keys: nobody pays it
        return False
    try:
        topups.credit(session)
    except topups.PaymentRefused:
        return False  # the comparison will show it
    if session.status == "expired":
        topups.expire(session_id)
    return topups.hear_bank(session)


# --- Comparing -----------------------------------------------------------------------------------


def _payments(run: Reconciliation) -> Iterator[Difference]:
    """What Stripe took, with its tax, beside what the ledger's cash has of it."""
    customers = set(StripeCustomer.objects.values_list("customer_id", flat=True))
    made = {
        each.payment_intent_id: _paid_nanos(each)
        for each in stripe_api.payments_between(run.since, run.until)
        # Others are another business's of the same Stripe account.
        if each.top_up_id or each.customer_id in customers
    }
    yield from _compare(run, DifferenceKind.PAYMENT, made, _booked(run, made), _fetch_paid_nanos)


def _booked(run: Reconciliation, made: Mapping[str, int]) -> dict[str, int]:
    """Nanos of each payment in the ledger: of those that Stripe made, and of this time."""
    references = [f"payment:{payment_id}{part}" for payment_id in made for part in ("", ":tax")]
    posted = Transfer.objects.filter(
        Q(reference__in=references)
        | Q(created_at__range=(run.since, run.until), reference__startswith="payment:"),
        kind__in=[TransferKind.PAYMENT, TransferKind.TAX],
    )
    booked: Counter[str] = Counter()
    for reference, nanos in posted.values_list("reference", "amount_nanos"):
        booked[reference.split(":")[1]] += nanos
    return dict(booked)


def _refunds(run: Reconciliation) -> Iterator[Difference]:
    listed = stripe_api.refunds_between(run.since, run.until)
    made = {each.refund_id: _refunded_nanos(each) for each in _of_our_payments(listed)}
    rows = Refund.objects.filter(_of(run, made, "stripe_refund_id"))
    # One that Stripe has not been reached for has no id there.
    ours = {
        row.stripe_refund_id or row.id: 0 if row.state == RefundState.FAILED else row.amount_nanos
        for row in rows
    }
    yield from _compare(
        run, DifferenceKind.REFUND, made, ours,
        lambda refund_id: _refunded_nanos(stripe_api.fetch_refund(refund_id)),
    )  # fmt: skip


def _disputes(run: Reconciliation) -> Iterator[Difference]:
    listed = stripe_api.disputes_between(run.since, run.until)
    made = {each.dispute_id: _disputed_nanos(each) for each in _of_our_payments(listed)}
    rows = Dispute.objects.filter(_of(run, made, "dispute_id"))
    ours = {row.dispute_id: row.amount_nanos if row.taken else 0 for row in rows}
    yield from _compare(
        run, DifferenceKind.DISPUTE, made, ours,
        lambda dispute_id: _disputed_nanos(stripe_api.fetch_dispute(dispute_id)),
    )  # fmt: skip


def _usage(run: Reconciliation) -> Iterator[Difference]:
    """What Stripe's meters counted, by customer, beside the batches that were sent.

    A meter counts by whole minutes of Stripe's clock: a batch at an end of the window may be on
    either side of it, so there Stripe may say less or more.
    """
    since, until = (each.replace(second=0, microsecond=0) for each in (run.since, run.until))
    customers = StripeCustomer.objects.filter(organisation__post_paid__isnull=False)
    for customer in customers.order_by("customer_id"):
        counted = _fetched(
            lambda customer_id: stripe_billing.told_nanos(customer_id, since, until),
            customer.customer_id,
        )
        batches = MeterBatch.objects.filter(post_paid=customer.organisation_id)
        least = batches.filter(attempted_at__gte=since + SKEW, sent_at__lt=until - SKEW)
        most = batches.filter(attempted_at__lt=until + SKEW).exclude(sent_at__lt=since - SKEW)
        run.compared += 1
        if (told := min(max(counted, _sum(least)), _sum(most))) != counted:
            yield Difference(
                reconciliation=run, kind=DifferenceKind.USAGE, stripe_id=customer.customer_id,
                stripe_nanos=counted, ledger_nanos=told,
            )  # fmt: skip


def _sum(batches: QuerySet[MeterBatch]) -> int:
    return int(batches.aggregate(total=Sum("amount_nanos"))["total"] or 0)


def _of_our_payments(listed: list[T]) -> list[T]:
    """Others are another business's of the same Stripe account."""
    known = TopUp.objects.filter(payment_intent_id__in=[each.payment_intent_id for each in listed])
    mine = set(known.values_list("payment_intent_id", flat=True))
    return [each for each in listed if each.payment_intent_id in mine]


def _of(run: Reconciliation, made: Mapping[str, int], stripe_id: str) -> Q:
    """Our rows of what Stripe made, and of this time."""
    return Q(**{f"{stripe_id}__in": made}) | Q(created_at__range=(run.since, run.until))


def _compare(
    run: Reconciliation,
    kind: DifferenceKind,
    made: Mapping[str, int],
    ours: Mapping[str, int],
    fetch: Callable[[str], int],
) -> Iterator[Difference]:
    """What differs of nanos by Stripe's id; `fetch` asks Stripe for one it did not list."""
    for stripe_id in sorted(made.keys() | ours.keys()):
        theirs = made[stripe_id] if stripe_id in made else _fetched(fetch, stripe_id)
        run.compared += 1
        if theirs != ours.get(stripe_id, 0):
            yield Difference(
                reconciliation=run, kind=kind, stripe_id=stripe_id, stripe_nanos=theirs,
                ledger_nanos=ours.get(stripe_id, 0),
            )  # fmt: skip


def _fetched(fetch: Callable[[str], int], stripe_id: str) -> int:
    try:
        return fetch(stripe_id)
    except stripe_api.RequestRefused:  # Stripe does not know it
        return 0


def _paid_nanos(payment: Payment) -> int:
    return payment.amount_cents * NANOS_PER_CENT if payment.status == "succeeded" else 0


def _fetch_paid_nanos(payment_id: str) -> int:
    if not payment_id.startswith("in_"):
        return _paid_nanos(stripe_api.fetch_payment(payment_id))
    # Paid another way than by a card, by transfer say: the payment is the invoice.
    invoice = stripe_billing.fetch_invoice(payment_id)
    return invoice.paid_cents * NANOS_PER_CENT if invoice.status == "paid" else 0


def _refunded_nanos(refund: StripeRefund) -> int:
    return 0 if refund.status in GONE_BACK else refund.amount_cents * NANOS_PER_CENT


def _disputed_nanos(dispute: StripeDispute) -> int:
    return dispute.amount_cents * NANOS_PER_CENT if dispute.status in MONEY_GONE else 0
