"""What we use of Stripe's objects; amounts in cents."""

from dataclasses import dataclass
from datetime import UTC, datetime

import stripe


@dataclass(frozen=True, slots=True)
class CheckoutSession:
    session_id: str
    url: str
    mode: str  # payment, subscription, or setup for a card that is saved
    created_at: datetime
    status: str
    payment_status: str
    payment_intent_id: str
    setup_intent_id: str
    customer_id: str
    invoice_id: str
    subscription_id: str
    subtotal_cents: int  # what was asked for
    discount_cents: int
    tax_cents: int
    amount_cents: int  # what was paid
    currency: str
    top_up_id: str


@dataclass(frozen=True, slots=True)
class Payment:
    """A PaymentIntent."""

    payment_intent_id: str
    status: str
    amount_cents: int
    currency: str
    top_up_id: str
    customer_id: str
    charge_id: str
    error: str


@dataclass(frozen=True, slots=True)
class Tax:
    """What Stripe puts on top of an amount; without an id there is none."""

    calculation_id: str
    amount_cents: int


@dataclass(frozen=True, slots=True)
class StripeRefund:
    refund_id: str
    our_id: str
    payment_intent_id: str
    amount_cents: int
    status: str


@dataclass(frozen=True, slots=True)
class StripeDispute:
    dispute_id: str
    payment_intent_id: str
    amount_cents: int
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Card:
    method_id: str
    brand: str
    last4: str
    expires: str  # 08/2030


def session_of(session: stripe.checkout.Session) -> CheckoutSession:
    totals = session.total_details
    return CheckoutSession(
        session_id=session.id,
        url=session.url or "",
        mode=session.mode,
        created_at=datetime.fromtimestamp(session.created, UTC),
        status=session.status or "",
        payment_status=session.payment_status,
        payment_intent_id=id_of(session.payment_intent),
        setup_intent_id=id_of(session.setup_intent),
        customer_id=id_of(session.customer),
        invoice_id=id_of(session.invoice),
        subscription_id=id_of(session.subscription),
        subtotal_cents=session.amount_subtotal or 0,
        discount_cents=totals.amount_discount if totals else 0,
        tax_cents=totals.amount_tax if totals else 0,
        amount_cents=session.amount_total or 0,
        currency=session.currency or "",
        top_up_id=session.client_reference_id or "",
    )


def payment_of(intent: stripe.PaymentIntent) -> Payment:
    error = intent.last_payment_error
    return Payment(
        payment_intent_id=intent.id,
        status=intent.status,
        amount_cents=intent.amount_received,
        currency=intent.currency,
        top_up_id=label(intent.metadata, "top_up_id"),
        customer_id=id_of(intent.customer),
        charge_id=id_of(intent.latest_charge),
        error=(error.code or "") if error else "",
    )


def refund_of(refund: stripe.Refund) -> StripeRefund:
    return StripeRefund(
        refund_id=refund.id,
        our_id=label(refund.metadata, "refund_id"),
        payment_intent_id=id_of(refund.payment_intent),
        amount_cents=refund.amount,
        status=refund.status or "",
    )


def dispute_of(dispute: stripe.Dispute) -> StripeDispute:
    return StripeDispute(
        dispute_id=dispute.id,
        payment_intent_id=id_of(dispute.payment_intent),
        amount_cents=dispute.amount,
        status=dispute.status,
        reason=dispute.reason,
    )


def label(metadata: stripe.StripeObject | None, name: str) -> str:
    return str(metadata.to_dict().get(name, "")) if metadata else ""


def id_of(
    reference: str
    | stripe.Charge
    | stripe.Customer
    | stripe.Invoice
    | stripe.PaymentIntent
    | stripe.Price
    | stripe.SetupIntent
    | stripe.Subscription
    | None,
) -> str:
    if reference is None or isinstance(reference, str):
        return reference or ""
    return reference.id or ""
