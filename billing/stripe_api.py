"""Every outbound call to Stripe, with the API version pinned and retries made safe by keys."""

from dataclasses import dataclass

import stripe
from django.conf import settings
from django.urls import reverse

from billing.models import TopUp

# The version these calls and the webhook handlers were written against.
API_VERSION = "2026-10-28.endive"


class StripeUnavailable(Exception):  # noqa: N818  reads as a state
    """Stripe did not answer, or refused; safe to try again."""


@dataclass(frozen=True, slots=True)
class CheckoutSession:
    """What we use of Stripe's object; amounts in cents."""

    session_id: str
    url: str
    payment_status: str
    payment_intent_id: str
    amount_cents: int
    currency: str
    top_up_id: str


def enabled() -> bool:
    return bool(settings.STRIPE_SECRET_KEY)


def client() -> stripe.StripeClient:
    return stripe.StripeClient(
        settings.STRIPE_SECRET_KEY,
        stripe_version=API_VERSION,
        base_addresses={"api": settings.STRIPE_API_BASE} if settings.STRIPE_API_BASE else {},
        max_network_retries=2,
    )


def create_checkout(top_up: TopUp, customer_email: str) -> CheckoutSession:
    """A hosted payment page for this top-up; the same one when called again."""
    billing_page = f"{settings.BASE_URL}{reverse('billing')}"
    try:
        session = client().v1.checkout.sessions.create(
            {
                "mode": "payment",
                "client_reference_id": top_up.id,
                "metadata": {"top_up_id": top_up.id, "organisation_id": top_up.organisation_id},
                "customer_email": customer_email,
                "line_items": [
                    {
                        "quantity": 1,
                        "price_data": {
                            "currency": "usd",
                            "unit_amount": top_up.amount_cents,
                            "product_data": {"name": f"{settings.SITE_NAME} credit"},
                        },
                    }
                ],
                "success_url": f"{billing_page}?top_up={top_up.id}",
                "cancel_url": billing_page,
            },
            {"idempotency_key": top_up.id},
        )
    except stripe.StripeError as error:
        raise StripeUnavailable(error.user_message or type(error).__name__) from error
    return _session(session)


def fetch_checkout(session_id: str) -> CheckoutSession:
    """The session as Stripe knows it now: a webhook's payload is only a hint."""
    try:
        return _session(client().v1.checkout.sessions.retrieve(session_id))
    except stripe.StripeError as error:
        raise StripeUnavailable(error.user_message or type(error).__name__) from error


def _session(session: stripe.checkout.Session) -> CheckoutSession:
    intent = session.payment_intent
    return CheckoutSession(
        session_id=session.id,
        url=session.url or "",
        payment_status=session.payment_status,
        payment_intent_id=intent if isinstance(intent, str) else (intent.id if intent else ""),
        amount_cents=session.amount_total or 0,
        currency=session.currency or "",
        top_up_id=session.client_reference_id or "",
    )
