"""Disputes: a payer's bank takes a payment back until it is decided who keeps it.

While a dispute is open, and when it is lost, its amount is taken from the balance, as far as there
is one, and the organisation is suspended: keys and streams stop. A dispute that is won gives the
amount back and lifts the suspension that it brought, unless another stands under it as well or the
organisation is being deleted; after a lost one, an operator lifts it. A suspension is named by its
moment: one that an operator set before, or since, stays. An inquiry, which moves no money, changes
nothing. A refund that waits for Stripe is asked for first, since it would be refused afterwards.

Each answer of Stripe's is written with what follows from it, and only if nobody wrote since Stripe
was asked: of two workers, the one with the older answer asks again.

A bank may want more than is left of a payment, of which a part was refunded: what is left is taken,
and the nightly comparison shows the rest.
"""

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext_noop

from accounts import flows
from accounts.models import Organisation
from billing import autotopup, ledger_payments, notices, refunds, shares, stripe_api, topups
from billing.models import Closing, Dispute, TopUp, TransferKind
from billing.stripe_objects import StripeDispute

MONEY_GONE = {"needs_response", "under_review", "lost"}
DECIDED_FOR_US = {"won", "warning_closed", "prevented"}
NOT_WRITTEN = -1  # as a version: nobody has, until now


def hear(dispute_id: str) -> None:
    """Stripe says that a dispute changed. Idempotent; order does not matter.

    Raises PaymentRefused for a payment that is none of ours, NotYet for one not yet credited, and
    while others write the same row.
    """
    for _again in range(5):
        known = Dispute.objects.filter(pk=dispute_id).first()
        version = known.version if known is not None else NOT_WRITTEN
        told = stripe_api.fetch_dispute(dispute_id)
        top_up = topups.of_payment(told.payment_intent_id)
        # Stripe refuses them from now on: they are credit again, before the dispute takes it.
        for refund in refunds.waiting().filter(top_up=top_up):
            refunds.attempt(refund)
        if _write(top_up, told, version):
            return
    raise topups.NotYet(f"{dispute_id} changes too often just now")


@transaction.atomic
def _write(top_up: TopUp, told: StripeDispute, version: int) -> bool:
    """False when somebody has written since Stripe was asked: what it said may be old."""
    top_up = TopUp.objects.select_for_update().get(pk=top_up.pk)
    changes = {"status": told.status, "reason": told.reason}
    dispute, created = Dispute.objects.get_or_create(
        dispute_id=told.dispute_id,
        defaults={**changes, "top_up": top_up, "amount_cents": told.amount_cents},
    )
    if not created and (dispute.status, dispute.reason) != (told.status, told.reason):
        rows = Dispute.objects.filter(pk=dispute.pk, version=version)
        if not rows.update(**changes, version=F("version") + 1):
            return False
    if told.status in MONEY_GONE:
        _take(dispute, top_up)
    elif told.status in DECIDED_FOR_US:
        _give_back(dispute)
    return True


def _take(dispute: Dispute, top_up: TopUp) -> None:
    """The caller has a transaction, and has locked the top-up."""
    amount_cents = min(dispute.amount_cents, top_up.paid_cents - top_up.gone_cents)
    share = shares.following(top_up, amount_cents)
    rows = Dispute.objects.filter(pk=dispute.pk, taken=False)
    if not amount_cents or not rows.update(
        taken=True, amount_cents=amount_cents, tax_cents=share.tax_cents,
        discount_cents=share.discount_cents,
    ):  # fmt: skip
        return
    dispute.amount_cents = amount_cents
    organisation = top_up.organisation
    TopUp.objects.filter(pk=dispute.top_up_id).update(
        disputed_cents=F("disputed_cents") + amount_cents
    )
    ledger_payments.take_what_is_left(
        organisation.id, share, TransferKind.DISPUTE,
        reference=dispute.reference,
        description=gettext_noop("Payment taken back by the payer's bank"),
    )  # fmt: skip
    autotopup.turn_off_if_due(organisation)
    _suspend(dispute)
    notices.payment_disputed(dispute)


def _suspend(dispute: Dispute) -> None:
    """The caller has a transaction."""
    organisation = _locked(dispute)
    brought = flows.suspend(organisation)
    organisation.refresh_from_db(fields=["suspended_at"])
    since = organisation.suspended_at
    of_another = Dispute.objects.filter(top_up__organisation=organisation, suspended_at=since)
    if brought or of_another.exists():
        Dispute.objects.filter(pk=dispute.pk).update(suspended_at=since)


def _give_back(dispute: Dispute) -> None:
    """The caller has a transaction, and has locked the top-up."""
    rows = Dispute.objects.filter(pk=dispute.pk, taken=True)
    if not rows.update(taken=False):
        return
    TopUp.objects.filter(pk=dispute.top_up_id).update(
        disputed_cents=F("disputed_cents") - dispute.amount_cents
    )
    ledger_payments.give_back(dispute.reference, "Dispute decided in our favour")
    _resume(dispute)


def _resume(dispute: Dispute) -> None:
    """The caller has a transaction."""
    organisation, since = _locked(dispute), dispute.suspended_at
    if since is None or Closing.objects.filter(pk=organisation.pk).exists():
        return
    mine = Dispute.objects.filter(top_up__organisation=organisation, suspended_at=since)
    if not mine.filter(taken=True).exists():
        flows.resume(organisation, since=since)


def _locked(dispute: Dispute) -> Organisation:
    """Its organisation, whose suspension no other dispute looks at until this transaction ends."""
    rows = Organisation.objects.select_for_update(no_key=True)
    return rows.get(pk=dispute.top_up.organisation_id)
