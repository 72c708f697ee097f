"""Refunds: of unused credit by the customer, within a period; and what the operator refunds.

Guarantees: no refund exceeds its payment (a constraint on the top-up); credit that goes back is
taken from the balance before Stripe is asked, in one transaction, and given back if Stripe refuses;
one form makes one refund (a constraint), and its id is Stripe's idempotency key.

Credit that was given is used before credit that was paid: what is unused of a payment is the
balance, at most what is left of the payment. A discount is no such gift: it goes back with what was
paid, in proportion, and so does tax (`billing.shares`).

What Stripe says of a refund goes one way: on its way, done, failed. So whatever is heard later,
and is older, takes nothing back, also where a refund was never heard of but failed.
"""

import logging
from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts.models import Organisation
from billing import autotopup, ledger, ledger_payments, shares, stripe_api, topups
from billing.models import Refund, RefundState, TopUp, TopUpState, TransferKind
from billing.shares import Share
from billing.stripe_api import KEY_LIVES
from billing.stripe_objects import StripeRefund
from portal.lib.money import NANOS_PER_CENT

GONE_BACK = {"failed", "canceled"}

logger = logging.getLogger(__name__)


def payments(organisation: Organisation, most: int) -> list[TopUp]:
    """The last payments, newest first, each with its `refundable_nanos`."""
    unused = _unused_cents(organisation.id)
    paid = TopUp.objects.filter(organisation=organisation, state=TopUpState.PAID)
    found = list(paid.order_by("-paid_at", "pk")[:most])
    for top_up in found:
        share = _refundable(top_up, unused)
        top_up.refundable_nanos = share.money_cents * NANOS_PER_CENT  # type: ignore[attr-defined]
    return found


def shares_of(organisation: Organisation, most: int) -> list[tuple[TopUp, Share]]:
    """What can go back of all payments together, newest first."""
    unused_cents = _unused_cents(organisation.id)
    paid = TopUp.objects.filter(organisation=organisation, state=TopUpState.PAID)
    found = []
    for top_up in paid.order_by("-paid_at", "pk")[:most]:
        share = _refundable(top_up, unused_cents)
        if share.money_cents:
            found.append((top_up, share))
            unused_cents -= share.credit_cents
    return found


def _unused_cents(organisation_id: str) -> int:
    return max(0, ledger.balance(organisation_id).unused_nanos) // NANOS_PER_CENT


def _refundable(top_up: TopUp, unused_cents: int) -> Share:
    """What the customer may have back of this payment right now."""
    since = timezone.now() - timedelta(days=settings.REFUND_DAYS)
    if top_up.paid_at is None or top_up.paid_at < since:
        return Share(0, 0, 0)
    return shares.refundable(top_up, unused_cents)


def ask(top_up: TopUp, form_token: str, by: str) -> Refund:
    """Send the unused part of a payment back; the same form once.

    Raises ValueError, to be shown, when there is nothing to refund.
    """
    refund = _begin(top_up, form_token, by)
    if refund.state == RefundState.CREATED and refund.stripe_refund_id is None:
        with suppress(stripe_api.StripeUnavailable):  # it goes out later
            attempt(refund)
        refund.refresh_from_db()
    return refund


@transaction.atomic
def _begin(top_up: TopUp, form_token: str, by: str) -> Refund:
    top_up = TopUp.objects.select_for_update().get(pk=top_up.pk)
    known = Refund.objects.filter(top_up=top_up, form_token=form_token).first()
    if known is not None:
        return known
    share = _refundable(top_up, _unused_cents(top_up.organisation_id))
    if share.money_cents <= 0:
        raise ValueError(_("Nothing of this payment can be refunded any more."))
    try:
        refund = _take_back(top_up, share, form_token, by)
    except ledger.InsufficientCredit:  # used in this instant
        raise ValueError(_("This credit is in use at the moment; please try again.")) from None
    autotopup.turn_off_if_due(top_up.organisation)
    return refund


@transaction.atomic
def begin_all(organisation: Organisation, form_token: str, by: str, most: int) -> int:
    """Take back what can be refunded of all payments together, once; `run` asks Stripe.

    Returns nanos of credit that are left. The payments are locked first: of many workers one
    decides, and the others find that it has; then the account, so that all of this is of one
    moment. What comes back to a payment later goes in another refund, whose token begins with
    `form_token` as well; but what Stripe refused is not asked for again (`forget_refused`). Raises
    InsufficientCredit when credit is being used in this instant.
    """
    paid = TopUp.objects.select_for_update().filter(organisation=organisation)
    list(paid.order_by("pk"))
    refused = set(refused_of(organisation, form_token).values_list("top_up_id", flat=True))
    ledger_payments.locked(organisation.pk)
    for top_up, share in shares_of(organisation, most):
        if top_up.pk not in refused:
            _take_back(top_up, share, f"{form_token}:{topups.new_form_token()}", by)
    return ledger.balance(organisation.pk).unused_nanos


def refused_of(organisation: Organisation, form_token: str) -> QuerySet[Refund]:
    """Those of `begin_all` that Stripe refused, or could not bring to their card."""
    return Refund.objects.filter(
        top_up__organisation=organisation, state=RefundState.FAILED,
        form_token__startswith=form_token,
    )  # fmt: skip


def forget_refused(organisation: Organisation, form_token: str) -> None:
    """Let `begin_all` ask for them again: a person says so."""
    refused_of(organisation, form_token).update(form_token=F("pk"))


def _take_back(top_up: TopUp, share: Share, form_token: str, by: str) -> Refund:
    """Raises InsufficientCredit. The caller has a transaction, and has locked the top-up."""
    refund = _record(top_up, share, form_token, by)
    ledger_payments.take(
        top_up.organisation_id, share, TransferKind.REFUND,
        reference=refund.reference, description=gettext_noop("Refund of unused credit"),
    )  # fmt: skip
    return refund


def _record(
    top_up: TopUp,
    share: Share,
    form_token: str,
    by: str,
    *,
    stripe_refund_id: str | None = None,
    state: RefundState = RefundState.CREATED,
) -> Refund:
    cents = share.money_cents
    if state != RefundState.FAILED:
        TopUp.objects.filter(pk=top_up.pk).update(refunded_cents=F("refunded_cents") + cents)
    return Refund.objects.create(
        top_up=top_up, amount_cents=cents, tax_cents=share.tax_cents, state=state,
        discount_cents=share.discount_cents, form_token=form_token, requested_by=by,
        stripe_refund_id=stripe_refund_id,
    )  # fmt: skip


def waiting() -> QuerySet[Refund]:
    """What Stripe was not reached for."""
    return Refund.objects.filter(state=RefundState.CREATED, stripe_refund_id=None)


def run() -> None:
    """Ask Stripe for what waits. Called by beat."""
    try:
        for refund in waiting().order_by("created_at")[:200]:
            attempt(refund)
    except stripe_api.StripeUnavailable as away:  # the others would only wait as well
        logger.warning("refunds will be tried again: %s", away)


def attempt(refund: Refund) -> None:
    """Ask Stripe for the refund, or hear what became of it.

    Raises StripeUnavailable while Stripe is away: the refund waits.
    """
    try:
        if timezone.now() - refund.created_at < KEY_LIVES:
            _told(refund, stripe_api.create_refund(refund))
        elif (found := stripe_api.find_refund(refund)) is not None:
            _told(refund, found)
        else:
            _fail(refund)
    except stripe_api.RequestRefused as refused:
        logger.warning("Stripe refuses the refund %s: %s", refund.id, refused)
        _fail(refund)


def hear(stripe_refund_id: str) -> None:
    """Stripe says that a refund changed: one of ours, or one from the operator's dashboard.

    Raises PaymentRefused for a payment that is none of ours, NotYet for one not yet credited.
    """
    told = stripe_api.fetch_refund(stripe_refund_id)
    refund = (
        Refund.objects.filter(stripe_refund_id=told.refund_id).first()
        or Refund.objects.filter(pk=told.our_id, top_up__payment_intent_id=told.payment_intent_id)
        .first()
        or _from_dashboard(told)
    )  # fmt: skip
    if refund is not None:
        _told(refund, told)


@transaction.atomic
def _from_dashboard(told: StripeRefund) -> Refund | None:
    paid = topups.of_payment(told.payment_intent_id)
    top_up = TopUp.objects.select_for_update().get(pk=paid.pk)
    share = shares.following(top_up, told.amount_cents)
    failed = told.status in GONE_BACK
    refund = _record(
        top_up, share, told.refund_id, "Stripe", stripe_refund_id=told.refund_id,
        state=RefundState.FAILED if failed else RefundState.CREATED,
    )  # fmt: skip
    if failed:
        return None
    ledger_payments.take_what_is_left(
        top_up.organisation_id, share, TransferKind.REFUND,
        reference=refund.reference, description="Refund",
    )  # fmt: skip
    autotopup.turn_off_if_due(top_up.organisation)
    return refund


def _told(refund: Refund, told: StripeRefund) -> None:
    if told.status in GONE_BACK:
        _fail(refund, told.refund_id)
        return
    changes = {"stripe_refund_id": told.refund_id}
    if told.status == "succeeded":
        changes["state"] = RefundState.SUCCEEDED
    Refund.objects.filter(pk=refund.pk).exclude(state=RefundState.FAILED).update(**changes)


@transaction.atomic
def _fail(refund: Refund, stripe_refund_id: str | None = None) -> None:
    """Stripe has the money still, or again: so has the customer the credit."""
    rows = Refund.objects.filter(pk=refund.pk).exclude(state=RefundState.FAILED)
    changes = {"stripe_refund_id": stripe_refund_id} if stripe_refund_id else {}
    if rows.update(state=RefundState.FAILED, **changes):
        TopUp.objects.filter(pk=refund.top_up_id).update(
            refunded_cents=F("refunded_cents") - refund.amount_cents
        )
        ledger_payments.give_back(refund.reference, "Refund that did not go through")
