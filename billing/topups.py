"""Top-ups: credit that an organisation pays in through Stripe Checkout.

Guarantees: one form makes one session however often it is sent; one payment credits once, to the
organisation that began it, and only the amount that was asked for: what a promotion code takes off
is given, what tax puts on top is not credited.
"""

import uuid

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import Organisation
from billing import customers, ledger_payments, stripe_api
from billing.models import StripeCustomer, TopUp, TopUpState
from billing.stripe_objects import CheckoutSession, Payment
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
        session = customers.with_customer(
            organisation, lambda customer_id: stripe_api.create_checkout(top_up, customer_id)
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
def credit(session: CheckoutSession) -> bool:
    """Credit a session that Stripe says is paid; False when it is not paid (yet).

    Idempotent: the transfer's reference is the payment's id. Raises PaymentRefused.
    """
    # With a discount of everything there is no payment to wait for.
    free = session.payment_status == "no_payment_required" and session.status == "complete"
    if session.payment_status != "paid" and not free:
        return False
    top_up = TopUp.objects.filter(pk=session.top_up_id).first()
    if top_up is None:
        raise PaymentRefused(f"no top-up {session.top_up_id!r}: another account's payment")
    _check(session, top_up)
    book(
        top_up, _payment_id(session), "Top-up by card", discount_cents=session.discount_cents,
        tax_cents=session.tax_cents, invoice_id=session.invoice_id,
    )  # fmt: skip
    return True


def _payment_id(session: CheckoutSession) -> str:
    """The page's own id where there was nothing to pay."""
    return session.payment_intent_id or (session.session_id if not session.amount_cents else "")


def book(
    top_up: TopUp,
    payment_id: str,
    description: str,
    *,
    discount_cents: int = 0,
    tax_cents: int = 0,
    invoice_id: str = "",
) -> None:
    """Mark a top-up as paid by this payment and credit it, once. The caller has a transaction."""
    TopUp.objects.filter(pk=top_up.pk).exclude(state=TopUpState.PAID).update(
        state=TopUpState.PAID,
        payment_intent_id=payment_id,
        discount_cents=discount_cents,
        tax_cents=tax_cents,
        invoice_id=invoice_id,
        failure="",
        paid_at=timezone.now(),
    )
    ledger_payments.record_payment(
        top_up.organisation_id,
        (top_up.amount_cents - discount_cents) * NANOS_PER_CENT,
        reference=f"payment:{payment_id}",
        description=description,
        discount_nanos=discount_cents * NANOS_PER_CENT,
        tax_nanos=tax_cents * NANOS_PER_CENT,
    )


def _check(session: CheckoutSession, top_up: TopUp) -> None:
    if top_up.checkout_session_id not in {None, session.session_id}:
        raise PaymentRefused(f"{top_up.id} belongs to another session")
    if session.currency != "usd":
        raise PaymentRefused(f"paid in {session.currency!r}, not in US dollars")
    due = top_up.amount_cents - session.discount_cents + session.tax_cents
    if (session.subtotal_cents, session.amount_cents) != (top_up.amount_cents, due):
        raise PaymentRefused(
            f"paid {session.amount_cents} cents where {due} were asked for"
            f" ({session.subtotal_cents} of {top_up.amount_cents} before discount and tax)"
        )
    if not _payment_id(session):
        raise PaymentRefused("a paid session without a payment")
    if top_up.payment_intent_id not in {None, _payment_id(session)}:
        raise PaymentRefused(f"{top_up.id} was paid by another payment")


def of_payment(payment_intent_id: str) -> TopUp:
    """The paid top-up of a payment.

    Raises PaymentRefused when the payment is none of ours, NotYet when it is not credited yet.
    """
    top_up = TopUp.objects.filter(payment_intent_id=payment_intent_id).first()
    if top_up is not None:
        return top_up
    if not payment_intent_id:
        raise PaymentRefused("a charge without a payment is another account's")
    payment = stripe_api.fetch_payment(payment_intent_id)
    if is_ours(payment):
        raise NotYet(f"the payment {payment_intent_id} is not credited yet")
    raise PaymentRefused(f"{payment_intent_id} is another account's payment")


def is_ours(payment: Payment) -> bool:
    """A Stripe account may serve other businesses as well."""
    return (
        TopUp.objects.filter(pk=payment.top_up_id).exists()
        or StripeCustomer.objects.filter(customer_id=payment.customer_id).exists()
    )


def hear_bank(session: CheckoutSession) -> bool:
    """Of a page that was filled in and is not paid: True while its bank has not answered.

    A debit of a bank account takes days; one that was refused is noted. Raises StripeUnavailable.
    """
    if session.status != "complete" or session.payment_status != "unpaid":
        return False
    payment = stripe_api.fetch_payment(session.payment_intent_id)
    if payment.status == "requires_payment_method":
        TopUp.objects.filter(
            checkout_session_id=session.session_id, state=TopUpState.CREATED
        ).update(state=TopUpState.FAILED, failure=(payment.error or payment.status)[:100])
    return payment.status == "processing"


def expire(session_id: str) -> None:
    """Note that a payment page was left without paying."""
    TopUp.objects.filter(checkout_session_id=session_id, state=TopUpState.CREATED).update(
        state=TopUpState.EXPIRED
    )
