"""Deleting an organisation: its money is settled first, then its data go, and its ledger stays.

Asked for, the organisation is suspended: keys and streams stop within two seconds and their holds
end. Then, by a job that may be stopped anywhere and run twice: payment pages are ended or heard of,
subscriptions and automatic top-up end, what can be refunded is, and what is left is given up, in
one transaction with the deletion. While something is held or owed, a bank has not answered, or
Stripe is away, it waits.

What comes to the account afterwards goes the same way: of a payment that is only heard of then, as
of a plan's invoice, or of a dispute that is won, what can be refunded is, the rest is given up.
"""

import logging
from contextlib import suppress

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import flows
from accounts.models import Organisation
from billing import (
    autotopup,
    ledger,
    ledger_payments,
    postpaid,
    reconciliation,
    refunds,
    stripe_api,
    stripe_billing,
    subscriptions,
    topups,
)
from billing.models import Closing, Hold, HoldState, Refund, RefundState, TopUp, TopUpState
from portal.lib.money import NANOS_PER_CENT

logger = logging.getLogger(__name__)
TOKEN = "closing"  # noqa: S105  what those of its refunds begin with
# Of payments within the period; beyond this nobody has paid that often in it.
MOST_REFUNDS = 500


def preview(organisation: Organisation) -> tuple[int, int]:
    """Nanos that would go back to cards, taxes and all, and nanos that would be given up."""
    unused = max(0, ledger.balance(organisation.pk).unused_nanos)
    shares = refunds.shares_of(organisation, MOST_REFUNDS)
    back = sum(share.money_cents for _top_up, share in shares)
    credit = sum(share.credit_cents for _top_up, share in shares)
    return back * NANOS_PER_CENT, unused - credit * NANOS_PER_CENT


def ask(organisation: Organisation, by: str) -> None:
    """Begin it. Raises ValueError, to be shown, while something is owed."""
    if postpaid.owed_nanos(organisation.pk) >= postpaid.SMALLEST_NANOS:
        raise ValueError(_("Pay what is owed first; Stripe's invoice has it."))
    Closing.objects.get_or_create(organisation=organisation, defaults={"requested_by": by})
    flows.suspend(organisation)
    run()


def run() -> None:
    """Finish what can be finished, and settle what came too late. Called by beat."""
    try:
        for closing in Closing.objects.filter(finished_at=None).order_by("created_at"):
            _try(closing)
    except stripe_api.StripeUnavailable as away:  # the others would only wait as well
        logger.warning("deletions will be tried again: %s", away)
    for closing in _paid_late():
        _settle_late(closing)


def _try(closing: Closing) -> None:
    """Raises StripeUnavailable while it is away; what it refuses keeps no other one waiting."""
    try:
        finish(closing)
    except (stripe_api.RequestRefused, topups.NotYet) as refused:
        logger.error("%s waits: %s", closing.pk, refused)


def _paid_late() -> QuerySet[Closing]:
    """Of deleted organisations, those to which money came afterwards."""
    account = "organisation__account__"
    rows = Closing.objects.filter(
        finished_at__isnull=False, **{f"{account}credits_posted__gt": F(f"{account}debits_posted")}
    )
    # Those that wait for a person come last: they would keep all others waiting.
    waits = Exists(_failed(OuterRef("organisation")))
    return rows.select_related("organisation").order_by(waits, "-finished_at")[:200]


def _failed(organisation: Organisation | OuterRef) -> QuerySet[Refund]:
    return Refund.objects.filter(top_up__organisation=organisation, state=RefundState.FAILED)


def try_again(closing: Closing) -> bool:
    """Ask for what Stripe refused to send back once more, and go on; raises as `finish`."""
    refunds.forget_refused(closing.organisation, TOKEN)
    if not closing.finished_at:
        return finish(closing)
    return _settle_late(closing) and _send_back(closing.organisation)


def give_up(closing: Closing, by: str) -> bool:
    """Give up what Stripe refuses to send back, and go on; raises as `finish`."""
    return _settle_late(closing, by) if closing.finished_at else finish(closing, by)


def finish(closing: Closing, refused_given_up_by: str = "") -> bool:
    """False while it has to wait. Raises StripeUnavailable and NotYet."""
    organisation = closing.organisation
    flows.suspend(organisation)  # a dispute that was won, or an operator, may have resumed it
    autotopup.turn_off(organisation)
    if stripe_api.enabled() and not _end_at_stripe(organisation):
        return False
    if not _holds(organisation).exists():
        postpaid.forgive_rest(organisation.pk)
    if _under_way(organisation):
        return False
    try:
        lost_nanos = refunds.begin_all(organisation, TOKEN, closing.requested_by, MOST_REFUNDS)
    except ledger.InsufficientCredit:  # a request began in this instant
        return False
    if not _send_back(organisation) and not refused_given_up_by:
        # Its credit is back, and was not named as lost: a person decides.
        logger.error("%s waits: Stripe refuses a refund", organisation.pk)
        return False
    return _delete(closing, lost_nanos, refused_given_up_by)


def _end_at_stripe(organisation: Organisation) -> bool:
    """False while a bank has not answered for a page that was filled in."""
    subscriptions.end_page(organisation)
    for subscription in subscriptions.live(organisation.pk):
        stripe_billing.cancel(subscription.pk)
        with suppress(stripe_api.RequestRefused):  # of another account, or of test keys
            subscriptions.hear(subscription.pk)
    post_paid = getattr(organisation, "post_paid", None)
    if post_paid is not None and post_paid.active:
        postpaid.turn_off(organisation)
        if post_paid.subscription_id:
            stripe_billing.cancel(post_paid.subscription_id)
    pages = TopUp.objects.filter(
        organisation=organisation, state=TopUpState.CREATED, checkout_session_id__isnull=False
    )
    waits = False
    for session_id in pages.values_list("checkout_session_id", flat=True):
        stripe_api.end_checkout(session_id or "")
        waits |= reconciliation.hear_of(session_id or "")
    return not waits


def _holds(organisation: Organisation) -> QuerySet[Hold]:
    return Hold.objects.filter(account__organisation=organisation, state=HoldState.OPEN)


def _under_way(organisation: Organisation) -> bool:
    """Whether money may still come or go: a hold, a debt, a card that is being charged."""
    charged = TopUp.objects.filter(
        organisation=organisation, state=TopUpState.CREATED, automatic=True
    )
    held = _holds(organisation).exists()
    return held or charged.exists() or ledger.balance(organisation.pk).unused_nanos < 0


def _send_back(organisation: Organisation) -> bool:
    """Ask Stripe for the refunds that were begun; False where it refuses one."""
    for refund in refunds.waiting().filter(top_up__organisation=organisation):
        refunds.attempt(refund)
    return not refunds.refused_of(organisation, TOKEN).exists()


@transaction.atomic
def _settle_late(closing: Closing, refused_given_up_by: str = "") -> bool:
    """Begin to send back what can be, and give up the rest.

    False where that may be of a refund that failed: then a person decides.
    """
    Closing.objects.select_for_update().get(pk=closing.pk)
    organisation = closing.organisation
    lost_nanos = refunds.begin_all(organisation, TOKEN, closing.requested_by, MOST_REFUNDS)
    if lost_nanos > 0 and not refused_given_up_by and _failed(organisation).exists():
        return False
    given_up = ledger_payments.give_up(closing.pk, lost_nanos, actor=refused_given_up_by)
    Closing.objects.filter(pk=closing.pk).update(given_up_nanos=F("given_up_nanos") + given_up)
    return True


@transaction.atomic
def _delete(closing: Closing, lost_nanos: int, actor: str) -> bool:
    """Give up what was left and delete, or find that another worker has."""
    if not Closing.objects.select_for_update().filter(pk=closing.pk, finished_at=None).exists():
        return True
    given_up = ledger_payments.give_up(closing.pk, lost_nanos, actor=actor)
    Closing.objects.filter(pk=closing.pk).update(
        finished_at=timezone.now(), given_up_nanos=given_up
    )
    flows.erase(closing.organisation)
    return True
