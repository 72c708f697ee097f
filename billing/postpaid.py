"""Organisations that pay later: a credit line here, a meter and an invoice at Stripe.

Usage is charged in the ledger as ever; the balance may go below zero, down to the line (a CHECK).
What is owed is told to Stripe in batches, each once: its id is the meter event's identifier, one
waits at a time (a constraint), and a batch that may have been told long ago is looked for before it
is told again. While Stripe is away nothing is lost: what piles up is the next batch. Stripe's
invoice, once paid, is a payment in the ledger like any other. It is rounded to the cent: what it
left out is owed still, and told again; less than half a cent is billed when it has become more.
"""

import logging
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q, Sum
from django.utils import timezone
from django.utils.translation import gettext_noop

from accounts.models import Organisation
from billing import customers, ledger, ledger_payments, stripe_api, stripe_billing
from billing.models import MeterBatch, PostPaid, StripeCustomer, UsageInvoice
from billing.stripe_api import KEY_LIVES
from billing.stripe_billing import StripeInvoice
from portal.lib.money import NANOS_PER_CENT

# An invoice of less is rounded to nothing.
SMALLEST_NANOS = NANOS_PER_CENT // 2
# Of a meter event Stripe takes fifteen digits.
MOST_NANOS = 10**15 - 1

logger = logging.getLogger(__name__)


# --- The operator's switch -----------------------------------------------------------------------


@transaction.atomic
def turn_on(organisation: Organisation, line_nanos: int, by: str) -> None:
    """Let it owe so much. Raises ValueError when it owes more already, or the line is none."""
    if line_nanos <= 0:
        raise ValueError("a credit line is more than nothing")
    ledger_payments.set_credit_line(organisation.pk, line_nanos)
    post_paid, created = PostPaid.objects.select_for_update().get_or_create(
        organisation=organisation, defaults={"set_by": by}
    )
    if not created and not post_paid.active:
        PostPaid.objects.filter(pk=post_paid.pk).update(
            active=True, term=F("term") + 1, subscription_id=None, set_by=by, since=timezone.now()
        )


@transaction.atomic
def turn_off(organisation: Organisation) -> None:
    """No more usage on credit. What is owed stays owed, until Stripe's last invoice is paid."""
    # The account's row first, as everywhere: two that wait for each other would be ended by force.
    ledger_payments.close_credit_line(organisation.pk)
    PostPaid.objects.filter(organisation=organisation).update(active=False)


def owed_nanos(organisation_id: str) -> int:
    return max(0, -ledger.balance(organisation_id).posted_nanos)


def settle(
    organisation_id: str, invoice: StripeInvoice, credited_cents: int, carried_cents: int
) -> None:
    """An invoice of usage was paid, or voided: what it asked for is told no more. Idempotent.

    What it rounded away, and what it left to be paid nowhere, is part of the next batch.
    """
    _settle(
        organisation_id, invoice, units_nanos=invoice.units, price_cents=invoice.subtotal_cents,
        credited_cents=credited_cents, carried_cents=carried_cents,
        voided=invoice.status == "void",
    )  # fmt: skip


def collect(organisation_id: str, invoice: StripeInvoice, carried_cents: int) -> None:
    """A plan's invoice was paid, and what earlier ones had left with it. Idempotent."""
    _settle(
        organisation_id, invoice, units_nanos=0, price_cents=0, credited_cents=0,
        carried_cents=carried_cents,
    )  # fmt: skip


@transaction.atomic
def _settle(organisation_id: str, invoice: StripeInvoice, **parts: int) -> None:
    """Write one invoice down, and what all of them settle: the order in which they come is one."""
    post_paid = PostPaid.objects.select_for_update().filter(pk=organisation_id).first()
    if post_paid is None:
        return
    UsageInvoice.objects.get_or_create(
        invoice_id=invoice.invoice_id, defaults={"post_paid": post_paid, **parts}
    )
    settled = _settled_nanos(post_paid)
    PostPaid.objects.filter(pk=organisation_id).update(settled_nanos=settled)
    if not post_paid.active:
        ledger_payments.close_credit_line(organisation_id)


def _settled_nanos(post_paid: PostPaid) -> int:
    """The usage on all invoices, less what of their prices is still to be paid with a next one."""
    sums = post_paid.invoices.aggregate(
        units=Sum("units_nanos", default=0),
        unpaid=Sum(F("price_cents") - F("credited_cents"), filter=Q(voided=False), default=0),
        carried=Sum("carried_cents", default=0),
    )
    # Beyond what usage left, an earlier invoice of a plan left it.
    return int(sums["units"] - max(0, sums["unpaid"] - sums["carried"]) * NANOS_PER_CENT)


@transaction.atomic
def forgive_rest(organisation_id: str) -> None:
    """Give what no invoice can ask for: less than half a cent, of who uses no more. Idempotent."""
    if 0 < (rest := owed_nanos(organisation_id)) < SMALLEST_NANOS:
        ledger.grant(
            organisation_id, rest, reference=f"rest:{organisation_id}",
            description=gettext_noop("Less than half a cent"),
        )  # fmt: skip


# --- Telling Stripe ------------------------------------------------------------------------------


def run() -> None:
    """Tell Stripe of what was used since the last time. Called by beat."""
    _close_lines()
    if not stripe_api.enabled():
        return
    try:
        for post_paid in PostPaid.objects.order_by("since"):
            try:
                tell(post_paid)
            except stripe_api.RequestRefused as refused:  # the others are told all the same
                logger.error("Stripe refuses the usage of %s: %s", post_paid.pk, refused)
    except stripe_api.StripeUnavailable as away:  # the others would only wait as well
        logger.warning("usage will be told again: %s", away)


def _close_lines() -> None:
    """What requests gave back that ran when paying later was switched off is no credit."""
    wide = PostPaid.objects.filter(active=False, organisation__account__credit_line_nanos__gt=0)
    for organisation_id in wide.values_list("pk", flat=True):
        ledger_payments.close_credit_line(organisation_id)


def tell(post_paid: PostPaid) -> None:
    """Raises StripeUnavailable: what is not told waits."""
    waiting = post_paid.batches.filter(sent_at=None).first() or begin(post_paid.pk)
    # What was used before it was switched off again needs an invoice all the same.
    if post_paid.subscription_id is None and (post_paid.active or waiting is not None):
        _subscribe(post_paid)
    if waiting is not None:
        try:
            _send(waiting)
        except stripe_api.RequestRefused as refused:  # it would refuse again, for a person to see
            MeterBatch.objects.filter(pk=waiting.pk).update(error=str(refused)[:500])
            logger.error("Stripe refuses the usage %s: %s", waiting.pk, refused)


def _subscribe(post_paid: PostPaid) -> None:
    def subscribe(customer_id: str) -> str:
        saved = StripeCustomer.objects.filter(customer_id=customer_id)
        has_card = saved.exclude(payment_method_id="").exists()
        return stripe_billing.subscribe_to_usage(post_paid, customer_id, has_card=has_card)

    subscription_id = customers.with_customer(post_paid.organisation, subscribe)
    PostPaid.objects.filter(pk=post_paid.pk, term=post_paid.term).update(
        subscription_id=subscription_id
    )


@transaction.atomic
def begin(organisation_id: str) -> MeterBatch | None:
    """A batch of what is owed and not yet told; None when there is none, or another waits."""
    post_paid = PostPaid.objects.select_for_update().get(pk=organisation_id)
    owed = -ledger.balance(organisation_id).posted_nanos
    untold = owed - (post_paid.metered_nanos - post_paid.settled_nanos)
    if untold <= 0:
        return None
    untold = min(untold, MOST_NANOS)  # the rest is the next one
    try:
        with transaction.atomic():
            batch = MeterBatch.objects.create(post_paid=post_paid, amount_nanos=untold)
    except IntegrityError:
        return None
    PostPaid.objects.filter(pk=organisation_id).update(metered_nanos=F("metered_nanos") + untold)
    return batch


def _send(batch: MeterBatch) -> None:
    customer_id = StripeCustomer.objects.get(pk=batch.post_paid_id).customer_id
    now = timezone.now()
    if batch.attempted_at is None:
        MeterBatch.objects.filter(pk=batch.pk, attempted_at=None).update(attempted_at=now)
    # Stripe knows an identifier for a day: from then on it is looked for.
    if (
        batch.attempted_at is None
        or now - batch.attempted_at < KEY_LIVES
        or not _was_told(batch, customer_id)
    ):
        stripe_billing.tell_usage(batch, customer_id)
    MeterBatch.objects.filter(pk=batch.pk, sent_at=None).update(sent_at=timezone.now(), error="")


def _was_told(batch: MeterBatch, customer_id: str) -> bool:
    """Whether the meter has more than the batches before this one, since it was made."""
    sent = MeterBatch.objects.filter(post_paid=batch.post_paid_id, sent_at__isnull=False)
    since = batch.created_at - timedelta(days=1)
    before = sent.filter(sent_at__gte=since).aggregate(total=Sum("amount_nanos"))["total"] or 0
    return stripe_billing.told_nanos(customer_id, since, timezone.now()) >= (
        before + batch.amount_nanos
    )
