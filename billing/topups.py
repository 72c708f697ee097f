"""Top-ups: credit that an organisation pays in through Stripe Checkout.

Guarantees: one form makes one session however often it is sent; one payment credits once, to the
organisation that began it, and only the amount that was asked for.
"""

import uuid

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import Organisation
from billing import customers, ledger, stripe_api
from billing.models import TopUp, TopUpState, Transfer
from billing.stripe_objects import CheckoutSession
from portal.lib.money import NANOS_PER_CENT


class PaymentRefused(Exception):  # noqa: N818  reads as a state
    """A delivery that must not credit anybody, with the reason."""


class NotYet(Exception):  # noqa: N818  reads as a state
    """A delivery about a payment that is not credited yet: to be tried again."""


def new_form_token() -> str:
    """Rendered into the form, so that a double click or a second tab finds the first session."""
    return uuid.uuid4().hex


def begin(organisation: Organisation, amount_cents: int, form_token: str, email: str) -> TopUp:
    """Make a top-up and its payment page, `checkout_url`.

    Raises ValueError for an amount out of range, StripeUnavailable when Stripe is away.
    """
    check_amount(amount_cents)
    # The same form with another amount is another top-up: who went back chose again.
    form_token = f"{form_token}-{amount_cents}"
    top_up, _created = TopUp.objects.get_or_create(
        organisation=organisation,
        form_token=form_token,
        defaults={"amount_cents": amount_cents, "created_by": email},
    )
    if not top_up.checkout_url:
        session = stripe_api.create_checkout(
            top_up, customers.customer_of(organisation).customer_id
        )
        TopUp.objects.filter(pk=top_up.pk).update(
            checkout_session_id=session.session_id, checkout_url=session.url
        )
        top_up.refresh_from_db()
    return top_up


def check_amount(amount_cents: int) -> None:
    """Raise ValueError, to be shown, for an amount out of range."""
    if not settings.TOP_UP_MIN_CENTS <= amount_cents <= settings.TOP_UP_MAX_CENTS:
        raise ValueError(
            _("Choose an amount between $%(low)s and $%(high)s.")
            % {
                "low": f"{settings.TOP_UP_MIN_CENTS / 100:,.2f}",
                "high": f"{settings.TOP_UP_MAX_CENTS / 100:,.2f}",
            }
        )


@transaction.atomic
def credit(session: CheckoutSession) -> Transfer | None:
    """Credit a session that Stripe says is paid; None when it is not paid (yet).

    Idempotent: the transfer's reference is the payment's id. Raises PaymentRefused.
    """
    if session.payment_status != "paid":
        return None
    top_up = TopUp.objects.filter(pk=session.top_up_id).first()
    if top_up is None:
        raise PaymentRefused(f"no top-up {session.top_up_id!r}: another account's payment")
    _check(session, top_up)
    return book(top_up, session.payment_intent_id, "Top-up by card")


def book(top_up: TopUp, payment_intent_id: str, description: str) -> Transfer:
    """Mark a top-up as paid by this payment and credit it, once. The caller has a transaction."""
    TopUp.objects.filter(pk=top_up.pk).exclude(state=TopUpState.PAID).update(
        state=TopUpState.PAID,
        payment_intent_id=payment_intent_id,
        failure="",
        paid_at=timezone.now(),
    )
    return ledger.record_payment(
        top_up.organisation_id,
        top_up.amount_cents * NANOS_PER_CENT,
        reference=f"payment:{payment_intent_id}",
        description=description,
    )


def _check(session: CheckoutSession, top_up: TopUp) -> None:
    if top_up.checkout_session_id not in {None, session.session_id}:
        raise PaymentRefused(f"{top_up.id} belongs to another session")
    if session.currency != "usd":
        raise PaymentRefused(f"paid in {session.currency!r}, not in US dollars")
    if session.amount_cents != top_up.amount_cents:
        raise PaymentRefused(
            f"paid {session.amount_cents} cents where {top_up.amount_cents} were asked for"
        )
    if not session.payment_intent_id:
        raise PaymentRefused("a paid session without a payment")
    if top_up.payment_intent_id not in {None, session.payment_intent_id}:
        raise PaymentRefused(f"{top_up.id} was paid by another payment")


def of_payment(payment_intent_id: str) -> TopUp:
    """The paid top-up of a payment.

    Raises PaymentRefused when the payment is none of ours, NotYet when it is not credited yet.
    """
    top_up = TopUp.objects.filter(payment_intent_id=payment_intent_id).first()
    if top_up is not None:
        return top_up
    payment = stripe_api.fetch_payment(payment_intent_id)
    if TopUp.objects.filter(pk=payment.top_up_id).exists():
        raise NotYet(f"the payment {payment_intent_id} is not credited yet")
    raise PaymentRefused(f"{payment_intent_id} is another account's payment")


def expire(session_id: str) -> None:
    """Note that a payment page was left without paying."""
    TopUp.objects.filter(checkout_session_id=session_id, state=TopUpState.CREATED).update(
        state=TopUpState.EXPIRED
    )
