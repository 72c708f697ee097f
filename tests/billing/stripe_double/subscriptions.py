"""What runs on at the stand-in: subscriptions and their invoices, prices, the meter of usage."""

import time
from decimal import Decimal

from tests.billing.stripe_double.state import Object, Refused, StripeDouble

MONTH_S = 30 * 86_400
SMALLEST_CHARGE = 50  # cents


def make_price(double: StripeDouble, fields: Object) -> Object:
    price = double.make("price", "price", currency=fields["currency"], type="recurring")
    recurring = {**price["recurring"], **fields["recurring"]}
    amount = fields.get("unit_amount")
    price.update(
        recurring={**recurring, "usage_type": recurring.get("usage_type", "licensed")},
        unit_amount=int(amount) if amount else None, lookup_key=fields.get("lookup_key"),
        unit_amount_decimal=fields.get("unit_amount_decimal", amount),
    )  # fmt: skip
    return price


def make_plan_price(double: StripeDouble, cents: int) -> Object:
    """As an operator does in the dashboard."""
    fields = {"currency": "usd", "unit_amount": str(cents), "recurring": {"interval": "month"}}
    return make_price(double, fields)


def begin(double: StripeDouble, fields: Object) -> Object:
    """A subscription; of a plan, its first invoice is paid at once."""
    price = double.get("price", fields["items"][0]["price"])
    customer = double.customer(fields["customer"])
    taxed = fields.get("automatic_tax", {}).get("enabled") == "true"
    if taxed and not (customer["address"] and customer["address"]["country"]):
        text = "We could not determine the customer's tax location."
        raise Refused(400, text, code="customer_tax_location_invalid")
    subscription = double.make(
        "subscription", "sub", customer=customer["id"], status="active", cancel_at=None,
        cancel_at_period_end=False, metadata=fields.get("metadata", {}), price=price["id"],
    )  # fmt: skip
    item = subscription["items"]["data"][0]
    now = int(time.time())
    item.update(price=price, current_period_start=now, current_period_end=now + MONTH_S)
    double.emit("customer.subscription.created", subscription)
    if price["recurring"]["usage_type"] == "licensed":
        invoice(double, subscription["id"], "subscription_create")
    return subscription


def invoice(
    double: StripeDouble,
    subscription_id: str,
    reason: str = "subscription_cycle",
    *,
    paid: bool = True,
    subtotal: int | None = None,
    discount: int = 0,
    tax: int = 0,
    balance: int = 0,
    whole: bool = False,
) -> Object:
    """An invoice of a subscription: of a period unless told otherwise.

    A change within a period is of parts of it, unless it begins another one: `whole`.
    `balance` is what the customer's balance at Stripe pays of it. What is less than Stripe charges
    is put on that balance, and asked for with the next one.
    """
    subscription = double.get("subscription", subscription_id)
    units = 1
    if subtotal is None:
        subtotal, units = _due(double, subscription)
    total = subtotal - discount + tax
    customer = double.get("customer", subscription["customer"])
    due, customer["balance"] = total - balance + (customer["balance"] or 0), 0
    if due < SMALLEST_CHARGE:
        due, customer["balance"] = 0, due
    made = double.make(
        "invoice", "in", customer=subscription["customer"], billing_reason=reason, status="open",
        subtotal=subtotal, total=total, amount_due=due, amount_paid=0, currency="usd",
        total_discount_amounts=[{"amount": discount, "discount": "di_1"}] if discount else [],
        total_taxes=[{"amount": tax, "tax_behavior": "exclusive"}] if tax else [],
        parent={
            "type": "subscription_details",
            "subscription_details": {"metadata": {}, "subscription": subscription_id},
        },
    )  # fmt: skip
    line = made["lines"]["data"][0]
    line.update(quantity=units, amount=subtotal)
    prorated = reason == "subscription_update" and not whole
    line["parent"]["subscription_item_details"]["proration"] = prorated
    price = subscription["items"]["data"][0]["price"]
    line["pricing"]["price_details"] = {"price": price["id"], "product": price["product"]}
    made["hosted_invoice_url"] = f"{double.url}/invoice/{made['id']}"
    if paid:
        pay(double, made["id"])
    else:
        subscription["status"] = "past_due"
        double.emit("invoice.payment_failed", made)
        double.emit("customer.subscription.updated", subscription)
    return made


def _due(double: StripeDouble, subscription: Object) -> tuple[int, int]:
    """Cents and units: a plan's price, or what the meter has counted since the last invoice."""
    price = subscription["items"]["data"][0]["price"]
    if price["unit_amount"]:
        return int(price["unit_amount"]), 1
    counted = metered(double, subscription["customer"]) - subscription.get("invoiced", 0)
    subscription["invoiced"] = subscription.get("invoiced", 0) + counted
    return int((counted * Decimal(price["unit_amount_decimal"])).to_integral_value()), counted


def pay(double: StripeDouble, invoice_id: str) -> Object:
    """Stripe collects it."""
    made = double.get("invoice", invoice_id)
    made.update(status="paid", amount_paid=made["amount_due"], amount_remaining=0)
    if made["amount_due"]:
        intent = double._intent(made["amount_due"], "usd", made["customer"], metadata={})
        double._succeed(intent)
        double.make(
            "invoice_payment", "inpay", invoice=invoice_id, status="paid",
            payment={"type": "payment_intent", "payment_intent": intent["id"]},
        )  # fmt: skip
    double.emit("invoice.paid", made)
    return made


def void(double: StripeDouble, invoice_id: str) -> None:
    """As an operator does in the dashboard."""
    made = double.get("invoice", invoice_id)
    made["status"] = "void"
    double.emit("invoice.voided", made)


def update(double: StripeDouble, subscription_id: str, fields: Object) -> Object:
    subscription = double.get("subscription", subscription_id)
    subscription["cancel_at_period_end"] = fields["cancel_at_period_end"] == "true"
    double.emit("customer.subscription.updated", subscription)
    return subscription


def cancel(double: StripeDouble, subscription_id: str) -> Object:
    subscription = double.get("subscription", subscription_id)
    if subscription["status"] == "canceled":
        message = f"No such subscription: '{subscription_id}'"
        raise Refused(404, message, code="resource_missing")
    subscription["status"] = "canceled"
    double.emit("customer.subscription.deleted", subscription)
    return subscription


# --- The meter -----------------------------------------------------------------------------------


def count(double: StripeDouble, fields: Object) -> Object:
    """A meter event; its identifier counts once."""
    identifier, payload = fields["identifier"], fields["payload"]
    if any(each["identifier"] == identifier for each in double.all("billing.meter_event")):
        raise Refused(400, f"An event already exists with identifier {identifier}.")
    double.customer(payload["stripe_customer_id"])
    if not payload["value"].isdigit():
        raise Refused(400, "The value of a meter event is a whole number.")
    if len(payload["value"].rstrip("0")) > 15:
        raise Refused(400, "The value in the event payload can have at most 15 digits.")
    return double.make(
        "billing.meter_event", "mev", identifier=identifier, payload=payload,
        event_name=fields["event_name"],
    )  # fmt: skip


def metered(double: StripeDouble, customer_id: str, since: int = 0, until: int = 1 << 40) -> int:
    return sum(
        int(each["payload"]["value"])
        for each in double.all("billing.meter_event")
        if each["payload"]["stripe_customer_id"] == customer_id and since <= each["created"] < until
    )
