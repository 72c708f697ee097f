"""Every outbound call to Stripe, with the API version pinned and retries made safe by keys."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import stripe
from django.conf import settings
from django.urls import reverse

from billing.models import Refund, TopUp
from billing.stripe_objects import (
    Card,
    CheckoutSession,
    Payment,
    StripeDispute,
    StripeRefund,
    Tax,
    dispute_of,
    payment_of,
    refund_of,
    session_of,
)

if TYPE_CHECKING:
    from stripe.params import CustomerUpdateParams, PaymentIntentCreateParams
    from stripe.params.checkout import SessionCreateParams

# The version these calls and the webhook handlers were written against.
API_VERSION = "2026-10-28.endive"
TIMEOUT_S = 10
# Stripe forgets idempotency keys after a day: from then on a thing is looked for, not made.
KEY_LIVES = timedelta(hours=20)
CLOCKS_DIFFER = timedelta(hours=1)
CONSENT = "authentication_required"  # 3-D Secure
NO_ADDRESS = "customer_tax_location_invalid"


class StripeUnavailable(Exception):  # noqa: N818  reads as a state
    """Stripe did not answer, or refused; safe to try again."""

    refused = False  # whether it said no, to our keys say


class RequestRefused(StripeUnavailable):
    """Stripe said no to what was asked, and would again."""

    refused = True


class CustomerGone(RequestRefused):
    """The customer that was named is deleted at Stripe."""


class CardRefused(Exception):  # noqa: N818  reads as a state
    """It will not be charged; `code` is Stripe's, such as CONSENT or NO_ADDRESS."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def enabled() -> bool:
    return bool(settings.STRIPE_SECRET_KEY)


def client() -> stripe.StripeClient:
    return stripe.StripeClient(
        settings.STRIPE_SECRET_KEY,
        stripe_version=API_VERSION,
        base_addresses={"api": settings.STRIPE_API_BASE} if settings.STRIPE_API_BASE else {},
        max_network_retries=1,
        # The library's own 80 seconds would keep a page, or a job, waiting that long.
        http_client=stripe.RequestsClient(timeout=TIMEOUT_S),
    )


@contextmanager
def calling() -> Iterator[None]:
    try:
        yield
    except stripe.InvalidRequestError as error:
        gone = error.code == "resource_missing" and error.param == "customer"
        refusal = CustomerGone if gone else RequestRefused
        raise refusal(error.user_message or "invalid request") from error
    except stripe.StripeError as error:
        away = StripeUnavailable(error.user_message or type(error).__name__)
        away.refused = isinstance(error, stripe.AuthenticationError | stripe.PermissionError)
        raise away from error


# --- Customers and their cards ---------------------------------------------------------------


def create_customer(organisation_id: str, instead_of: str = "") -> str:
    """The id of an organisation's customer at Stripe; the same one when called again.

    `instead_of`: the one that was deleted. What may change, such as a name, stays out: the same key
    needs the same parameters.
    """
    key = f"customer:{organisation_id}"
    with calling():
        customer = client().v1.customers.create(
            {"metadata": {"organisation_id": organisation_id}},
            {"idempotency_key": f"{key}:{instead_of}" if instead_of else key},
        )
    return customer.id


def name_customer(customer_id: str, name: str) -> None:
    """What the operator reads in Stripe's dashboard."""
    with calling():
        client().v1.customers.update(customer_id, {"name": name})


def default_card(customer_id: str) -> Card | None:
    """The card that is charged without its owner, as Stripe knows it now."""
    with calling():
        customer = client().v1.customers.retrieve(customer_id)
        if getattr(customer, "deleted", False):  # in the dashboard: it has no settings any more
            return None
        kept = customer.invoice_settings
        method = kept.default_payment_method if kept else None
        if method is None:
            return None
        method_id = method if isinstance(method, str) else method.id
        card = client().v1.payment_methods.retrieve(method_id).card
    if card is None:
        return None
    return Card(method_id, card.brand, card.last4 or "", f"{card.exp_month:02}/{card.exp_year}")


def make_default(setup_intent_id: str, customer_id: str) -> bool:
    """Charge the card that was just saved from now on; False when it is gone again."""
    with calling():
        method = client().v1.setup_intents.retrieve(setup_intent_id).payment_method
        method_id = method if isinstance(method, str) else (method.id if method else "")
        saved = client().v1.payment_methods.retrieve(method_id)
        if saved.customer != customer_id:
            return False
        changes: CustomerUpdateParams = {"invoice_settings": {"default_payment_method": method_id}}
        address = saved.billing_details.address
        if settings.STRIPE_AUTOMATIC_TAX and address is not None and address.country:
            # The page asked for it; the tax of later charges depends on it.
            changes["address"] = {
                "country": address.country, "state": address.state or "",
                "postal_code": address.postal_code or "", "city": address.city or "",
                "line1": address.line1 or "", "line2": address.line2 or "",
            }  # fmt: skip
        client().v1.customers.update(customer_id, changes)
    return True


def portal_page(customer_id: str) -> str:
    """The address of Stripe's page where customers see their cards and receipts."""
    with calling():
        session = client().v1.billing_portal.sessions.create(
            {"customer": customer_id, "return_url": billing_page()}
        )
    return session.url


# --- Checkout --------------------------------------------------------------------------------


def add_codes_and_tax(parameters: "SessionCreateParams") -> None:
    """What every page that takes money asks for, as the settings say."""
    if settings.STRIPE_PROMOTION_CODES:
        parameters["allow_promotion_codes"] = True
    if settings.STRIPE_AUTOMATIC_TAX:
        # Where somebody lives decides what tax it is, so Stripe keeps the address.
        parameters["automatic_tax"] = {"enabled": True}
        parameters["tax_id_collection"] = {"enabled": True}
        parameters["customer_update"] = {"address": "auto", "name": "auto"}


def create_checkout(top_up: TopUp, customer_id: str) -> CheckoutSession:
    """A hosted payment page for this top-up; the same one when called again."""
    metadata = {"top_up_id": top_up.id, "organisation_id": top_up.organisation_id}
    parameters: SessionCreateParams = {
        "mode": "payment",
        "client_reference_id": top_up.id,
        "metadata": metadata,
        "customer": customer_id,
        "payment_intent_data": {"metadata": metadata, "receipt_email": top_up.created_by},
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": "usd",
                    "unit_amount": top_up.amount_cents,
                    "product_data": {"name": f"{settings.SITE_NAME} credit"},
                    "tax_behavior": "exclusive",
                },
            }
        ],
        "invoice_creation": {"enabled": True, "invoice_data": {"metadata": metadata}},
        "success_url": f"{billing_page()}?top_up={top_up.id}",
        "cancel_url": billing_page(),
    }
    add_codes_and_tax(parameters)
    key = f"{top_up.id}:{customer_id}"
    with calling():
        return session_of(
            client().v1.checkout.sessions.create(parameters, {"idempotency_key": key})
        )


def create_card_page(customer_id: str) -> str:
    """The address of a hosted page that saves a card with its bank's consent; nothing is paid."""
    parameters: SessionCreateParams = {
        "mode": "setup",
        "allowed_payment_method_types": ["card"],
        "customer": customer_id,
        "success_url": billing_page(),
        "cancel_url": billing_page(),
    }
    if settings.STRIPE_AUTOMATIC_TAX:
        parameters["billing_address_collection"] = "required"
    with calling():
        session = client().v1.checkout.sessions.create(parameters)
    return session.url or ""


def fetch_checkout(session_id: str) -> CheckoutSession:
    """The session as Stripe knows it now: a webhook's payload is only a hint."""
    with calling():
        return session_of(client().v1.checkout.sessions.retrieve(session_id))


def end_checkout(session_id: str) -> None:
    """Nobody pays on this page any more; one that was paid or has ended is as good."""
    with suppress(RequestRefused), calling():
        client().v1.checkout.sessions.expire(session_id)


def receipt_page(top_up: TopUp) -> str:
    """The address of a payment's invoice, or of its receipt where there is no invoice; or nothing.

    Stripe's addresses change with time, so they are asked for when somebody wants to look.
    """
    with calling():
        if top_up.invoice_id:
            return client().v1.invoices.retrieve(top_up.invoice_id).hosted_invoice_url or ""
        payment = payment_of(client().v1.payment_intents.retrieve(top_up.payment_intent_id or ""))
        return client().v1.charges.retrieve(payment.charge_id).receipt_url or ""


def billing_page() -> str:
    return f"{settings.BASE_URL}{reverse('billing')}"


# --- Payments --------------------------------------------------------------------------------


def calculate_tax(top_up: TopUp, customer_id: str) -> Tax:
    """What comes on top of a top-up where its customer lives; the same when called again.

    Raises CardRefused when Stripe does not know where that is.
    """
    if not settings.STRIPE_AUTOMATIC_TAX:
        return Tax("", 0)
    with charging():
        made = client().v1.tax.calculations.create(
            {
                "currency": "usd",
                "customer": customer_id,
                "line_items": [
                    {
                        "amount": top_up.amount_cents,
                        "reference": top_up.id,
                        "tax_behavior": "exclusive",
                    }
                ],
            },
            {"idempotency_key": f"tax:{top_up.id}"},
        )
    return Tax(made.id or "", made.tax_amount_exclusive)


def charge_card(top_up: TopUp, customer_id: str) -> Payment:
    """Charge the saved card without its owner; the same payment when called again within a day.

    Of the tax that was calculated Stripe makes a transaction with the payment, and takes it back
    with refunds. Raises CardRefused when the bank says no, or the card is gone.
    """
    parameters: PaymentIntentCreateParams = {
        "amount": top_up.paid_cents,
        "currency": "usd",
        "customer": customer_id,
        "payment_method": top_up.payment_method_id,
        "off_session": True,
        "confirm": True,
        "description": f"{settings.SITE_NAME} credit",
        "receipt_email": top_up.created_by,
        "metadata": {"top_up_id": top_up.id, "organisation_id": top_up.organisation_id},
    }
    if top_up.tax_calculation_id:
        parameters["hooks"] = {"inputs": {"tax": {"calculation": top_up.tax_calculation_id}}}
    with charging():
        intent = client().v1.payment_intents.create(parameters, {"idempotency_key": top_up.id})
    return payment_of(intent)


@contextmanager
def charging() -> Iterator[None]:
    """As `calling`; whatever would be refused again is CardRefused."""
    try:
        with calling():
            yield
    except StripeUnavailable as error:
        refusal = error.__cause__
        if isinstance(refusal, stripe.CardError | stripe.InvalidRequestError):
            raise CardRefused(refusal.code or "refused") from error
        raise


def fetch_payment(payment_intent_id: str) -> Payment:
    with calling():
        return payment_of(client().v1.payment_intents.retrieve(payment_intent_id))


def find_payment(top_up: TopUp, customer_id: str) -> Payment | None:
    """The payment that was made for a top-up whose answer was lost, by whichever clock."""
    since = top_up.created_at - CLOCKS_DIFFER
    with calling():
        intents = client().v1.payment_intents.list(
            {"customer": customer_id, "created": {"gte": int(since.timestamp())}}
        )
        for intent in intents.auto_paging_iter():
            if (payment := payment_of(intent)).top_up_id == top_up.id:
                return payment
    return None


# --- Refunds and disputes --------------------------------------------------------------------


def create_refund(refund: Refund) -> StripeRefund:
    """Send money back to the card; the same refund when called again within a day."""
    with calling():
        return refund_of(
            client().v1.refunds.create(
                {
                    "payment_intent": refund.top_up.payment_intent_id or "",
                    "amount": refund.amount_cents,
                    "reason": "requested_by_customer",
                    "metadata": {"refund_id": refund.id},
                },
                {"idempotency_key": refund.id},
            )
        )


def fetch_refund(refund_id: str) -> StripeRefund:
    with calling():
        return refund_of(client().v1.refunds.retrieve(refund_id))


def find_refund(refund: Refund) -> StripeRefund | None:
    """The refund that was made although its answer was lost."""
    with calling():
        made = client().v1.refunds.list({"payment_intent": refund.top_up.payment_intent_id or ""})
        for each in made.auto_paging_iter():
            if (found := refund_of(each)).our_id == refund.id:
                return found
    return None


def fetch_dispute(dispute_id: str) -> StripeDispute:
    with calling():
        return dispute_of(client().v1.disputes.retrieve(dispute_id))


# --- Everything of a time, for the nightly comparison -------------------------------------------


def payments_between(since: datetime, until: datetime) -> list[Payment]:
    """Made then, whatever became of them."""
    with calling():
        made = client().v1.payment_intents.list(_made(since, until))
        return [payment_of(each) for each in made.auto_paging_iter()]


def refunds_between(since: datetime, until: datetime) -> list[StripeRefund]:
    with calling():
        made = client().v1.refunds.list(_made(since, until))
        return [refund_of(each) for each in made.auto_paging_iter()]


def disputes_between(since: datetime, until: datetime) -> list[StripeDispute]:
    with calling():
        made = client().v1.disputes.list(_made(since, until))
        return [dispute_of(each) for each in made.auto_paging_iter()]


def _made(since: datetime, until: datetime) -> Any:  # each list has a type of its own
    created = {"gte": int(since.timestamp()), "lte": int(until.timestamp())}
    return {"limit": 100, "created": created}
