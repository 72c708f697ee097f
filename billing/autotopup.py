"""Automatic top-ups: a saved card is charged when the balance falls under a threshold.

Guarantees: one at a time for an organisation (a constraint), and never twice (the top-up's id is
Stripe's idempotency key; the payment's id is the transfer's reference); within the ceiling of a
calendar month (UTC; a constraint), which counts credit: tax comes on top, and what is paid after
it had failed counts, too, though nothing stops it at the ceiling. A bank that wants its
owner's consent (3-D Secure), an address that is missing where tax depends on it, and the third
failure in a row stop it, with a mail and a banner, until a card is saved or it is turned on again.

The balance that counts is what is posted: what running requests hold may come back. Where a refund
or a dispute makes it low, this is turned off: the card would pay for what just went back.
"""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import BigIntegerField, F, Q, Sum, Value
from django.db.models.functions import Cast, Greatest
from django.utils import timezone

from accounts import audit
from accounts.models import Organisation
from billing import customers, ledger, notices, stripe_api, topups
from billing.models import AutoTopUp, AutoTopUpState, StripeCustomer, TopUp, TopUpState
from billing.months import bounds, month_of
from billing.payment_models import MAX_AUTO_TOP_UP_FAILURES
from billing.stripe_api import KEY_LIVES
from billing.stripe_objects import CheckoutSession, Payment
from portal.lib.money import NANOS_PER_CENT

# After the first failure, and after the second.
RETRY_AFTER = (timedelta(hours=1), timedelta(hours=24))
# What only a card that is saved again can mend.
WAITS = {
    stripe_api.CONSENT: AutoTopUpState.NEEDS_CONSENT,
    stripe_api.NO_ADDRESS: AutoTopUpState.NEEDS_ADDRESS,
}

logger = logging.getLogger(__name__)


# --- Settings ------------------------------------------------------------------------------------


def turn_on(
    organisation: Organisation, threshold_cents: int, amount_cents: int, ceiling_cents: int, by: str
) -> None:
    """Set it and turn it on; the audit log has what changed.

    Raises ValueError when this month's charges are above the ceiling.
    """
    chosen = {
        "threshold_cents": threshold_cents, "amount_cents": amount_cents,
        "ceiling_cents": ceiling_cents, "set_by": by, "state": AutoTopUpState.ACTIVE,
        "failures": 0, "next_attempt_at": timezone.now(),
    }  # fmt: skip
    with transaction.atomic():
        auto, created = AutoTopUp.objects.select_for_update().get_or_create(
            organisation=organisation, defaults=chosen
        )
        if created:
            _note(organisation, {"state": AutoTopUpState.OFF}, chosen)
            return
        _note(organisation, vars(auto), chosen)
        if charged_cents(auto) > ceiling_cents:
            raise ValueError("less than this month's charges")
        AutoTopUp.objects.filter(pk=auto.pk).update(**chosen, **_this_month(auto))


@transaction.atomic
def turn_off(organisation: Organisation) -> None:
    """The audit log has it, if it was on."""
    on = AutoTopUp.objects.select_for_update().exclude(state=AutoTopUpState.OFF)
    auto = on.filter(organisation=organisation).first()
    if auto is not None:
        AutoTopUp.objects.filter(pk=auto.pk).update(state=AutoTopUpState.OFF)
        _note(organisation, vars(auto), {"state": AutoTopUpState.OFF})


def turn_off_if_due(organisation: Organisation) -> None:
    """After money went back to its payer: the card would be charged for it again at once.

    The caller has locked the payment.
    """
    auto = AutoTopUp.objects.filter(pk=organisation.pk).first()
    if auto is not None and _is_low(auto):
        turn_off(organisation)


def _note(organisation: Organisation, before: Mapping[str, Any], chosen: Mapping[str, Any]) -> None:
    changed = {
        f"auto_top_up.{name}": (before.get(name, ""), chosen[name])
        for name in ("state", "threshold_cents", "amount_cents", "ceiling_cents")
        if name in chosen and before.get(name) != chosen[name]
    }
    if changed:
        audit.note(organisation, changed)


def keep_card(session: CheckoutSession) -> None:
    """A card was saved with its bank's consent: what had stopped for want of it goes on."""
    customer = customers.keep_card(session)
    if customer is not None:
        AutoTopUp.objects.filter(
            pk=customer.pk, state__in=[*WAITS.values(), AutoTopUpState.STOPPED]
        ).update(state=AutoTopUpState.ACTIVE, failures=0, next_attempt_at=timezone.now())


def charged_cents(auto: AutoTopUp) -> int:
    """What was charged this month, with what is under way."""
    return int(_this_month(auto)["charged_cents"])


def _this_month(auto: AutoTopUp) -> dict[str, Any]:
    """Its columns of the month that it is; of another month they begin with what was begun in it.

    That is nothing, unless the clock was set forward or back.
    """
    month = month_of(timezone.now())
    if auto.month == month:
        return {
            "month": month, "charged_cents": auto.charged_cents, "late_cents": auto.late_cents
        }  # fmt: skip
    begin, end = bounds(month)
    begun = TopUp.objects.filter(
        organisation_id=auto.pk, automatic=True, created_at__gte=begin, created_at__lt=end,
        state__in=[TopUpState.CREATED, TopUpState.PAID],
    )  # fmt: skip
    charged_cents = begun.aggregate(total=Sum("amount_cents", default=0))["total"]
    late_cents = max(0, charged_cents - auto.ceiling_cents)
    return {"month": month, "charged_cents": charged_cents, "late_cents": late_cents}


def cents(auto: AutoTopUp | None) -> dict[str, int]:
    """Its amounts, or what is proposed where it was never turned on."""
    if auto is None:
        return {"threshold_cents": 500, "amount_cents": 2500, "ceiling_cents": 10_000}
    return {
        "threshold_cents": auto.threshold_cents, "amount_cents": auto.amount_cents,
        "ceiling_cents": auto.ceiling_cents,
    }  # fmt: skip


def dollars(auto: AutoTopUp | None) -> dict[str, str]:
    """What its form shows."""
    return {
        name.removesuffix("_cents"): f"{amount / 100:.2f}" for name, amount in cents(auto).items()
    }


# --- Charging ------------------------------------------------------------------------------------


def run() -> None:
    """Finish what is under way, then begin what is due. Called by beat."""
    if not stripe_api.enabled():
        return
    try:
        under_way = TopUp.objects.filter(automatic=True, state=TopUpState.CREATED)
        for top_up in under_way.order_by("created_at")[:200]:
            attempt(top_up)
        for organisation_id in due():
            begun = begin(organisation_id)
            if begun is not None:
                attempt(begun)
    except stripe_api.StripeUnavailable as away:  # the others would only wait as well
        logger.warning("automatic top-ups will be tried again: %s", away)


def due() -> list[str]:
    """Organisations whose turn may have come; `begin` looks again, under a lock."""
    threshold_nanos = Cast("threshold_cents", BigIntegerField()) * NANOS_PER_CENT
    low = Q(
        organisation__account__credits_posted__lt=F("organisation__account__debits_posted")
        + threshold_nanos
    )
    # Those whose turn cannot come are left out: enough of them would keep all others waiting.
    has_card = Q(organisation__stripe_customer__payment_method_id__gt="")
    used_up = Q(
        month=month_of(timezone.now()), charged_cents__gt=F("ceiling_cents") - F("amount_cents")
    )
    rows = AutoTopUp.objects.filter(
        low, has_card, ~used_up, state=AutoTopUpState.ACTIVE,
        next_attempt_at__lte=timezone.now(), organisation__suspended_at=None,
    )  # fmt: skip
    return list(rows.order_by("next_attempt_at").values_list("pk", flat=True)[:200])


@transaction.atomic
def begin(organisation_id: str) -> TopUp | None:
    """A top-up to attempt; None when the balance, the ceiling or another one under way says no."""
    auto = (
        AutoTopUp.objects.select_for_update()
        .filter(
            pk=organisation_id, state=AutoTopUpState.ACTIVE, next_attempt_at__lte=timezone.now()
        )
        .first()
    )
    customer = StripeCustomer.objects.filter(pk=organisation_id).exclude(payment_method_id="")
    method = customer.values_list("payment_method_id", flat=True).first()
    if auto is None or method is None or _under_way(organisation_id):
        return None
    if not _is_low(auto):
        return None
    month = _this_month(auto)
    month["charged_cents"] += auto.amount_cents
    if month["charged_cents"] > auto.ceiling_cents:
        return None
    AutoTopUp.objects.filter(pk=auto.pk).update(**month)
    return TopUp.objects.create(
        organisation_id=organisation_id, amount_cents=auto.amount_cents, automatic=True,
        payment_method_id=method, form_token=topups.new_form_token(), created_by=auto.set_by,
    )  # fmt: skip


def _is_low(auto: AutoTopUp) -> bool:
    return ledger.balance(auto.pk).posted_nanos < auto.threshold_cents * NANOS_PER_CENT


def _under_way(organisation_id: str) -> bool:
    return TopUp.objects.filter(
        organisation_id=organisation_id, automatic=True, state=TopUpState.CREATED
    ).exists()


def attempt(top_up: TopUp) -> None:
    """Charge the card, or hear what became of it.

    Raises StripeUnavailable while Stripe is away: the top-up stays open.
    """
    customer_id = StripeCustomer.objects.get(pk=top_up.organisation_id).customer_id
    try:
        wanted = _is_wanted(top_up)
        if wanted and timezone.now() - top_up.created_at < KEY_LIVES:
            _work_out_tax(top_up, customer_id)
            settle(top_up, stripe_api.charge_card(top_up, customer_id))
        elif (payment := stripe_api.find_payment(top_up, customer_id)) is not None:
            settle(top_up, payment)
        elif wanted:
            fail(top_up, "not_reached")
        else:
            _give_up(top_up, TopUpState.EXPIRED, "")
    except stripe_api.CardRefused as refused:
        fail(top_up, refused.code)
    except stripe_api.RequestRefused as refused:  # the customer is gone from Stripe, say
        logger.warning("Stripe refuses the automatic top-up %s: %s", top_up.id, refused)
        fail(top_up, "refused")


def _is_wanted(top_up: TopUp) -> bool:
    """False when it was turned off, or its organisation suspended, while Stripe was away."""
    on = AutoTopUp.objects.filter(organisation__suspended_at=None).exclude(state=AutoTopUpState.OFF)
    return on.filter(pk=top_up.organisation_id).exists()


def _work_out_tax(top_up: TopUp, customer_id: str) -> None:
    """Once, whatever the settings become: who tries again must ask Stripe for the same charge."""
    if top_up.tax_calculation_id is None:
        tax = stripe_api.calculate_tax(top_up, customer_id)
        TopUp.objects.filter(pk=top_up.pk, tax_calculation_id=None).update(
            tax_calculation_id=tax.calculation_id, tax_cents=tax.amount_cents
        )
        top_up.refresh_from_db()


def hear(payment_intent_id: str) -> None:
    """Stripe says that a payment changed; payments on its own page are `topups.credit`'s."""
    payment = stripe_api.fetch_payment(payment_intent_id)
    top_up = TopUp.objects.filter(pk=payment.top_up_id, automatic=True).first()
    if top_up is not None:
        settle(top_up, payment)


def settle(top_up: TopUp, payment: Payment) -> None:
    """Credit a payment that succeeded, or note that it failed. Idempotent; any order.

    Raises PaymentRefused for a payment that is not what was asked for.
    """
    if payment.status == "succeeded":
        _paid(top_up, payment)
    elif payment.status != "processing":
        fail(top_up, payment.error or payment.status)


@transaction.atomic
def _paid(top_up: TopUp, payment: Payment) -> None:
    if (payment.amount_cents, payment.currency) != (top_up.paid_cents, "usd"):
        raise topups.PaymentRefused(
            f"paid {payment.amount_cents} {payment.currency} where {top_up.paid_cents} usd "
            "were asked for"
        )
    given_up = TopUp.objects.select_for_update().filter(
        pk=top_up.pk, state__in=[TopUpState.FAILED, TopUpState.EXPIRED]
    )
    late_cents = top_up.amount_cents if given_up.exists() else 0
    topups.book(top_up, payment.payment_intent_id, "Automatic top-up", tax_cents=top_up.tax_cents)
    # Its room in the ceiling was given back when it failed, and may be taken.
    AutoTopUp.objects.filter(pk=top_up.organisation_id, month=month_of(top_up.created_at)).update(
        charged_cents=F("charged_cents") + late_cents, late_cents=F("late_cents") + late_cents
    )
    AutoTopUp.objects.filter(pk=top_up.organisation_id).update(failures=0)


@transaction.atomic
def fail(top_up: TopUp, code: str) -> None:
    """Count the failure, and stop when it is enough."""
    if not _give_up(top_up, TopUpState.FAILED, code):
        return
    auto = AutoTopUp.objects.select_for_update().get(pk=top_up.organisation_id)
    mine = AutoTopUp.objects.filter(pk=auto.pk)
    failures = min(auto.failures + 1, MAX_AUTO_TOP_UP_FAILURES)
    state = auto.state
    if state == AutoTopUpState.ACTIVE and code in WAITS:
        state = WAITS[code]
    elif state == AutoTopUpState.ACTIVE and failures == MAX_AUTO_TOP_UP_FAILURES:
        state = AutoTopUpState.STOPPED
    wait = RETRY_AFTER[min(failures, len(RETRY_AFTER)) - 1]
    mine.update(failures=failures, state=state, next_attempt_at=timezone.now() + wait)
    notices.top_up_failed(top_up, state)


@transaction.atomic
def _give_up(top_up: TopUp, state: TopUpState, code: str) -> bool:
    """Give the month's ceiling its room back; False when it is not under way any more."""
    rows = TopUp.objects.filter(pk=top_up.pk, state=TopUpState.CREATED)
    if not rows.update(state=state, failure=code[:100]):
        return False
    AutoTopUp.objects.filter(pk=top_up.organisation_id, month=month_of(top_up.created_at)).update(
        charged_cents=Greatest(F("charged_cents") - top_up.amount_cents, Value(0))
    )
    return True
