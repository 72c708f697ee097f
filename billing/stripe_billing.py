"""Calls to Stripe about what runs on: subscriptions, their invoices, and the meter of usage.

The meter counts nano-dollars, and its price is a nano-dollar each, so that an invoice is the sum of
what was charged here, rounded once, to the cent. Meter and price are made when first needed, and
found by their names afterwards.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import stripe
from django.conf import settings

from billing.models import MeterBatch, Plan, PostPaid
from billing.plan_models import ENDED
from billing.stripe_api import RequestRefused, add_codes_and_tax, billing_page, calling, client
from billing.stripe_objects import CheckoutSession, id_of, label, session_of

if TYPE_CHECKING:
    from stripe.params import SubscriptionCreateParams
    from stripe.params.checkout import SessionCreateParams

METER = "parlance_usage_nanos"
CENTS_PER_NANO = Decimal("0.0000001")
OF_A_PERIOD = {"subscription_create", "subscription_cycle"}
DAYS_DUE = 30  # of an invoice that is sent, where no card is saved
POST_PAID = "post_paid"


@dataclass(frozen=True, slots=True)
class StripeSubscription:
    subscription_id: str
    customer_id: str
    status: str
    price_id: str
    cancels: bool
    period_ends_at: datetime | None
    post_paid: bool


@dataclass(frozen=True, slots=True)
class StripeInvoice:
    """Amounts in cents; `paid` is money, without balance.

    `total` = subtotal - discount + tax, but for the tax that the subtotal includes.
    """

    invoice_id: str
    customer_id: str
    subscription_id: str
    status: str
    begins_period: bool  # one that is paid for ahead; else it is of a change within one
    price_id: str  # of that period: its subscription may have another by now
    currency: str
    subtotal_cents: int
    discount_cents: int
    tax_cents: int
    included_tax_cents: int  # of it, what prices at Stripe include
    total_cents: int
    paid_cents: int
    units: int  # of all lines: of an invoice of usage, nano-dollars
    address: str


# --- Subscriptions -------------------------------------------------------------------------------


def fetch_price(price_id: str) -> tuple[int, str]:
    """Cents a period, and the period. Raises RequestRefused, ValueError for another kind."""
    with calling():
        price = client().v1.prices.retrieve(price_id)
    metered = price.recurring is None or price.recurring.usage_type != "licensed"
    if metered or price.currency != "usd" or not price.unit_amount or price.recurring is None:
        raise ValueError("not a recurring price in whole cents of US dollars")
    return price.unit_amount, price.recurring.interval


def create_subscribe_page(plan: Plan, customer_id: str, key: str) -> CheckoutSession:
    """A hosted page that begins a subscription; as it was made when called again."""
    parameters: SessionCreateParams = {
        "mode": "subscription",
        "customer": customer_id,
        "line_items": [{"price": plan.stripe_price_id, "quantity": 1}],
        "success_url": billing_page(),
        "cancel_url": billing_page(),
    }
    add_codes_and_tax(parameters)
    with calling():
        return session_of(
            client().v1.checkout.sessions.create(parameters, {"idempotency_key": key})
        )


def fetch_subscription(subscription_id: str) -> StripeSubscription:
    with calling():
        told = client().v1.subscriptions.retrieve(subscription_id)
    items = told["items"].data  # `items` is a method of every Stripe object
    ends = items[0].current_period_end if items else None
    return StripeSubscription(
        subscription_id=told.id,
        customer_id=id_of(told.customer),
        status=told.status,
        price_id=items[0].price.id if items else "",
        cancels=told.cancel_at_period_end or told.cancel_at is not None,
        period_ends_at=datetime.fromtimestamp(ends, UTC) if ends else None,
        post_paid=label(told.metadata, "purpose") == POST_PAID,
    )


def end_with_period(subscription_id: str, *, ends: bool) -> None:
    """Cancel a subscription when what was paid for is over, or go on with it after all."""
    with calling():
        client().v1.subscriptions.update(subscription_id, {"cancel_at_period_end": ends})


def cancel(subscription_id: str) -> None:
    """End a subscription now; one that has ended already is as good."""
    try:
        with calling():
            client().v1.subscriptions.cancel(subscription_id)
    except RequestRefused as refused:
        missing = refused.__cause__
        if not (
            isinstance(missing, stripe.InvalidRequestError) and missing.code == "resource_missing"
        ):
            raise


# --- Invoices ------------------------------------------------------------------------------------


def fetch_invoice(invoice_id: str) -> StripeInvoice:
    with calling():
        told = client().v1.invoices.retrieve(invoice_id)
        return _invoice_of(told, list(told.lines.auto_paging_iter()))  # ten came with it


def invoices_between(since: datetime, until: datetime) -> list[StripeInvoice]:
    """Made then, whatever became of them; of every business of the Stripe account.

    Of their lines they know the first ten.
    """
    start, end = int(since.timestamp()), int(until.timestamp())
    with calling():
        made = client().v1.invoices.list({"limit": 100, "created": {"gte": start, "lte": end}})
        return [_invoice_of(each, each.lines.data) for each in made.auto_paging_iter()]


def _invoice_of(told: stripe.Invoice, lines: list[stripe.InvoiceLineItem]) -> StripeInvoice:
    parent = told.parent.subscription_details if told.parent else None
    taxes = told.total_taxes or ()
    return StripeInvoice(
        invoice_id=told.id or "",
        customer_id=id_of(told.customer),
        subscription_id=id_of(parent.subscription) if parent else "",
        status=told.status or "",
        begins_period=told.billing_reason in OF_A_PERIOD
        or (
            # Another interval begins one, too.
            told.billing_reason == "subscription_update" and bool(_whole_lines(lines))
        ),
        price_id=_price_of(_whole_lines(lines)),
        currency=told.currency,
        subtotal_cents=told.subtotal,
        discount_cents=sum(each.amount for each in told.total_discount_amounts or ()),
        tax_cents=sum(each.amount for each in taxes),
        included_tax_cents=sum(each.amount for each in taxes if each.tax_behavior == "inclusive"),
        total_cents=told.total,
        paid_cents=told.amount_paid,
        units=sum(int(each.quantity or 0) for each in lines),
        address=told.hosted_invoice_url or "",
    )


def _whole_lines(lines: list[stripe.InvoiceLineItem]) -> list[stripe.InvoiceLineItem]:
    """Those of a whole period, where others are of a part of one that changed."""
    of = [(line.parent and line.parent.subscription_item_details, line) for line in lines]
    return [line for details, line in of if details and not details.proration]


def _price_of(lines: list[stripe.InvoiceLineItem]) -> str:
    for line in lines:
        if line.pricing and line.pricing.price_details:
            return id_of(line.pricing.price_details.price)
    return ""


def payment_of_invoice(invoice_id: str) -> str:
    """The PaymentIntent that paid it; the invoice's own id where money came another way."""
    with calling():
        paid = client().v1.invoice_payments.list({"invoice": invoice_id, "status": "paid"})
        for each in paid.auto_paging_iter():
            if intent := id_of(each.payment.payment_intent):
                return intent
    return invoice_id


# --- Usage ---------------------------------------------------------------------------------------


def subscribe_to_usage(post_paid: PostPaid, customer_id: str, *, has_card: bool) -> str:
    """The id of the subscription that bills what the meter counts; the same when called again.

    One that runs already, since before paying later was switched off, is gone on with: the meter
    counts for every subscription of a customer, so each of two would bill all of it.
    """
    price_id = _usage_price()
    with calling():
        made = client().v1.subscriptions.list({"customer": customer_id, "price": price_id})
        for each in made.auto_paging_iter():
            if each.status not in ENDED:
                return each.id
    parameters: SubscriptionCreateParams = {
        "customer": customer_id,
        "items": [{"price": price_id}],
        "metadata": {"purpose": POST_PAID, "organisation_id": post_paid.organisation_id},
    }
    if not has_card:
        parameters["collection_method"] = "send_invoice"
        parameters["days_until_due"] = DAYS_DUE
    if settings.STRIPE_AUTOMATIC_TAX:
        parameters["automatic_tax"] = {"enabled": True}
    key = f"usage:{post_paid.organisation_id}:{post_paid.term}"
    with calling():
        return client().v1.subscriptions.create(parameters, {"idempotency_key": key}).id


def _usage_price() -> str:
    with calling():
        found = client().v1.prices.list({"lookup_keys": [METER], "limit": 1}).data
        if found:
            return found[0].id
        made = client().v1.prices.create(
            {
                "currency": "usd",
                "unit_amount_decimal": CENTS_PER_NANO,
                "recurring": {"interval": "month", "usage_type": "metered", "meter": _meter()},
                "product_data": {"name": f"{settings.SITE_NAME} usage"},
                "tax_behavior": "exclusive",
                "lookup_key": METER,
            },
            {"idempotency_key": METER},
        )
    return made.id


def _meter() -> str:
    """Of nano-dollars, by Stripe's customer."""
    for meter in client().v1.billing.meters.list({"status": "active"}).auto_paging_iter():
        if meter.event_name == METER:
            return meter.id
    made = client().v1.billing.meters.create(
        {
            "display_name": "Usage in nano-dollars",
            "event_name": METER,
            "default_aggregation": {"formula": "sum"},
            "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
            "value_settings": {"event_payload_key": "value"},
        },
        {"idempotency_key": f"meter:{METER}"},
    )
    return made.id


def tell_usage(batch: MeterBatch, customer_id: str) -> None:
    """One meter event. Its time is Stripe's: a late one belongs to the period that is open."""
    payload = {"stripe_customer_id": customer_id, "value": str(batch.amount_nanos)}
    try:
        with calling():
            client().v1.billing.meter_events.create(
                {"event_name": METER, "identifier": batch.id, "payload": payload},
                {"idempotency_key": batch.id},
            )
    except RequestRefused as refused:
        if "already exists" not in str(refused):  # with this identifier: it was told
            raise


def told_nanos(customer_id: str, since: datetime, until: datetime) -> int:
    """What the meter has counted of a customer; whole minutes, that of `until` as well."""
    start = int(since.timestamp()) // 60 * 60
    end = (int(until.timestamp()) // 60 + 1) * 60  # which is the first second that is left out
    with calling():
        summaries = client().v1.billing.meters.event_summaries.list(
            _meter(), {"customer": customer_id, "start_time": start, "end_time": end}
        )
        return sum(int(each.aggregated_value) for each in summaries.auto_paging_iter())
