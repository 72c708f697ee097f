"""Which requests the stand-in answers: a method, a path, stripe-python's type, what is done."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stripe.params import (
    ChargeRetrieveParams,
    CustomerCreateParams,
    CustomerRetrieveParams,
    CustomerUpdateParams,
    DisputeListParams,
    DisputeRetrieveParams,
    EventListParams,
    InvoiceLineItemListParams,
    InvoiceListParams,
    InvoicePaymentListParams,
    InvoiceRetrieveParams,
    PaymentIntentCreateParams,
    PaymentIntentListParams,
    PaymentIntentRetrieveParams,
    PaymentMethodAttachParams,
    PaymentMethodRetrieveParams,
    PriceCreateParams,
    PriceListParams,
    PriceRetrieveParams,
    RefundCreateParams,
    RefundListParams,
    RefundRetrieveParams,
    SetupIntentRetrieveParams,
    SubscriptionCancelParams,
    SubscriptionCreateParams,
    SubscriptionListParams,
    SubscriptionRetrieveParams,
    SubscriptionUpdateParams,
)
from stripe.params.billing import (
    MeterCreateParams,
    MeterEventCreateParams,
    MeterEventSummaryListParams,
    MeterListParams,
)
from stripe.params.billing_portal import SessionCreateParams as PortalSessionCreateParams
from stripe.params.checkout import (
    SessionCreateParams,
    SessionExpireParams,
    SessionRetrieveParams,
)
from stripe.params.tax import CalculationCreateParams

from tests.billing.stripe_double import subscriptions
from tests.billing.stripe_double.parameters import check_parameters
from tests.billing.stripe_double.state import (
    AUTHENTICATION_CARD,
    DECLINED_CARD,
    DISPUTED_CARD,
    GOOD_CARD,
    Object,
    Refused,
    StripeDouble,
)

Answer = Callable[[StripeDouble, Object, str], Object]


@dataclass(frozen=True)
class Endpoint:
    method: str
    path: re.Pattern[str]
    parameters: type
    answer: Answer


def answer(double: StripeDouble, method: str, path: str, fields: Object) -> Object:
    """Raises Refused, as Stripe would answer."""
    for endpoint in ENDPOINTS:
        matched = endpoint.path.fullmatch(path)
        if matched and endpoint.method == method:
            try:
                check_parameters(fields, endpoint.parameters)
            except ValueError as problem:
                raise Refused(400, str(problem)) from None
            with double.lock:
                return endpoint.answer(double, fields, *(matched.groups() or ("",)))
    raise Refused(404, f"Unrecognized request URL ({method}: {path})")


def create_customer(double: StripeDouble, fields: Object, _id: str) -> Object:
    return double.make("customer", "cus", **fields)


def update_customer(double: StripeDouble, fields: Object, customer_id: str) -> Object:
    customer = double.get("customer", customer_id)
    customer["invoice_settings"].update(fields.pop("invoice_settings", {}))
    method = customer["invoice_settings"]["default_payment_method"]
    if method and double.get("payment_method", method)["customer"] != customer_id:
        raise Refused(400, "The customer does not have this payment method.")
    customer.update(fields)
    double.emit("customer.updated", customer)
    return customer


def create_session(double: StripeDouble, fields: Object, _id: str) -> Object:
    if customer := fields.get("customer"):
        double.customer(customer)
    amount = None
    if fields["mode"] == "subscription":
        amount = double.get("price", fields["line_items"][0]["price"])["unit_amount"]
    if fields["mode"] == "payment":
        amount = sum(
            int(item["price_data"]["unit_amount"]) * int(item.get("quantity", 1))
            for item in fields["line_items"]
        )
    session = double.make(
        "checkout.session", "cs_test",
        amount_subtotal=amount, amount_total=amount,
        currency="usd", line_items=fields.get("line_items"),
        client_reference_id=fields.get("client_reference_id"), customer=fields.get("customer"),
        metadata=fields.get("metadata", {}), mode=fields["mode"], payment_intent=None,
        payment_status="unpaid", status="open", success_url=fields["success_url"],
        intent_metadata=fields.get("payment_intent_data", {}).get("metadata", {}),
        allow_promotion_codes=fields.get("allow_promotion_codes") == "true",
        automatic_tax=_enabled(fields, "automatic_tax"), invoice=None,
        invoice_creation=_enabled(fields, "invoice_creation"),
        total_details={"amount_discount": 0, "amount_shipping": None, "amount_tax": 0},
        billing_address_collection=fields.get("billing_address_collection"),
    )  # fmt: skip
    if session["automatic_tax"]["enabled"] and "address" not in fields.get("customer_update", {}):
        raise Refused(400, "Automatic tax needs customer_update[address] with a customer.")
    session["url"] = f"{double.url}/pay/{session['id']}"
    return session


TEST_CARDS = {
    "pm_card_visa": GOOD_CARD, "pm_card_chargeCustomerFail": DECLINED_CARD,
    "pm_card_authenticationRequired": AUTHENTICATION_CARD, "pm_card_createDispute": DISPUTED_CARD,
}  # fmt: skip


def attach_card(double: StripeDouble, fields: Object, name: str) -> Object:
    """One of Stripe's test cards, by its name."""
    if name not in TEST_CARDS:
        raise Refused(404, f"No such PaymentMethod: '{name}'", code="resource_missing")
    return double.save_card(fields["customer"], TEST_CARDS[name])


def list_events(double: StripeDouble, _fields: Object, _id: str) -> Object:
    found = double.events[::-1]
    return {"object": "list", "data": found, "has_more": False, "url": "/v1/events"}


def list_prices(double: StripeDouble, fields: Object, _id: str) -> Object:
    keys = fields.get("lookup_keys", [])
    found = [each for each in double.all("price") if each["lookup_key"] in keys]
    return {"object": "list", "data": found, "has_more": False, "url": "/v1/prices"}


def list_invoice_payments(double: StripeDouble, fields: Object, _id: str) -> Object:
    found = [each for each in double.all("invoice_payment") if each["invoice"] == fields["invoice"]]
    return {"object": "list", "data": found, "has_more": False, "url": "/v1/invoice_payments"}


def make_meter(double: StripeDouble, fields: Object, _id: str) -> Object:
    return double.make("billing.meter", "mtr", **fields)


def summarise_meter(double: StripeDouble, fields: Object, _id: str) -> Object:
    if any(int(fields[name]) % 60 for name in ("start_time", "end_time")):
        raise Refused(400, "Times of a summary are whole minutes.")
    double.customer(fields["customer"])
    times = (int(fields["start_time"]), int(fields["end_time"]))
    total = subscriptions.metered(double, fields["customer"], *times)
    summary = {**double.examples["billing.meter_event_summary"], "aggregated_value": total}
    return {"object": "list", "data": [summary], "has_more": False, "url": "/v1/billing/meters"}


def _enabled(fields: Object, name: str) -> Object:
    return {"enabled": fields.get(name, {}).get("enabled") == "true"}


def expire_session(double: StripeDouble, _fields: Object, session_id: str) -> Object:
    if double.get("checkout.session", session_id)["status"] != "open":
        raise Refused(400, "Only Checkout Sessions with a status of open can be expired.")
    double.expire(session_id)
    return double.get("checkout.session", session_id)


def create_portal_session(double: StripeDouble, fields: Object, _id: str) -> Object:
    customer = double.customer(fields["customer"])
    session = double.make(
        "billing_portal.session", "bps", customer=customer["id"], return_url=fields["return_url"]
    )
    session["url"] = f"{double.url}/portal/{session['id']}"
    return session


def create_payment(double: StripeDouble, fields: Object, _id: str) -> Object:
    if fields.get("confirm") != "true" or fields.get("off_session") != "true":
        raise Refused(400, "The stand-in knows payments off session alone.")
    return double.pay_off_session(fields)


def calculate_tax(double: StripeDouble, fields: Object, _id: str) -> Object:
    address = double.customer(fields["customer"])["address"]
    if not (address and address["country"]):
        text = "We could not determine the customer's tax location."
        raise Refused(400, text, code="customer_tax_location_invalid")
    amount = sum(int(item["amount"]) for item in fields["line_items"])
    tax = (amount * double.tax_percent + 50) // 100
    return double.make(
        "tax.calculation", "taxcalc", customer=fields["customer"], amount_total=amount + tax,
        tax_amount_exclusive=tax, line_items=fields["line_items"],
    )  # fmt: skip


def create_refund(double: StripeDouble, fields: Object, _id: str) -> Object:
    amount = int(fields["amount"]) if "amount" in fields else None
    return double.refund(fields["payment_intent"], amount, metadata=fields.get("metadata", {}))


def retrieve(kind: str) -> Answer:
    return lambda double, _fields, object_id: double.get(kind, object_id)


def listed(kind: str) -> Answer:
    def answer(double: StripeDouble, fields: Object, _id: str) -> Object:
        made = {name: int(value) for name, value in fields.get("created", {}).items()}
        found = [
            each for each in double.all(kind)
            if made.get("gte", 0) <= each["created"] <= made.get("lte", each["created"])
            and fields.get("customer") in {None, each.get("customer")}
            and fields.get("payment_intent") in {None, each.get("payment_intent")}
        ]  # fmt: skip
        return _page(found, fields, f"{kind}s")

    return answer


def _page(found: list[Object], fields: Object, path: str) -> Object:
    ids = [each["id"] for each in found]
    after = ids.index(fields["starting_after"]) + 1 if "starting_after" in fields else 0
    page = found[after : after + int(fields.get("limit", 10))]
    more = after + len(page) < len(found)
    return {"object": "list", "data": page, "has_more": more, "url": f"/v1/{path}"}


def retrieve_invoice(double: StripeDouble, _fields: Object, invoice_id: str) -> Object:
    """With its first lines; the others are asked for."""
    return {
        **double.get("invoice", invoice_id),
        "lines": list_invoice_lines(double, {}, invoice_id),
    }


def list_invoice_lines(double: StripeDouble, fields: Object, invoice_id: str) -> Object:
    found = double.get("invoice", invoice_id)["lines"]["data"]
    return _page(found, fields, f"invoices/{invoice_id}/lines")


def list_subscriptions(double: StripeDouble, fields: Object, _id: str) -> Object:
    """Of a price, and not canceled."""
    answer = listed("subscription")(double, fields, "")
    answer["data"] = [
        each for each in answer["data"]
        if each["status"] != "canceled"
        and each["items"]["data"][0]["price"]["id"] == fields["price"]
    ]  # fmt: skip
    return answer


def _made(make: Callable[[StripeDouble, Object], Object]) -> Answer:
    return lambda double, fields, _id: make(double, fields)


def _changed(change: Callable[[StripeDouble, str, Object], Object]) -> Answer:
    return lambda double, fields, object_id: change(double, object_id, fields)


def cancel_subscription(double: StripeDouble, _fields: Object, subscription_id: str) -> Object:
    return subscriptions.cancel(double, subscription_id)


def _endpoint(method: str, path: str, parameters: Any, answer: Answer) -> Endpoint:
    return Endpoint(method, re.compile("/v1/" + path.replace("ID", "([^/]+)")), parameters, answer)


ENDPOINTS = [
    _endpoint("GET", "charges/ID", ChargeRetrieveParams, retrieve("charge")),
    _endpoint("GET", "invoices", InvoiceListParams, listed("invoice")),
    _endpoint("GET", "invoices/ID", InvoiceRetrieveParams, retrieve_invoice),
    _endpoint("GET", "invoices/ID/lines", InvoiceLineItemListParams, list_invoice_lines),
    _endpoint("POST", "customers", CustomerCreateParams, create_customer),
    _endpoint("GET", "customers/ID", CustomerRetrieveParams, retrieve("customer")),
    _endpoint("POST", "customers/ID", CustomerUpdateParams, update_customer),
    _endpoint("GET", "payment_methods/ID", PaymentMethodRetrieveParams, retrieve("payment_method")),
    _endpoint("GET", "setup_intents/ID", SetupIntentRetrieveParams, retrieve("setup_intent")),
    _endpoint("POST", "checkout/sessions", SessionCreateParams, create_session),
    _endpoint("GET", "checkout/sessions/ID", SessionRetrieveParams, retrieve("checkout.session")),
    _endpoint("POST", "checkout/sessions/ID/expire", SessionExpireParams, expire_session),
    _endpoint("POST", "billing_portal/sessions", PortalSessionCreateParams, create_portal_session),
    _endpoint("POST", "payment_intents", PaymentIntentCreateParams, create_payment),
    _endpoint("GET", "payment_intents", PaymentIntentListParams, listed("payment_intent")),
    _endpoint("GET", "payment_intents/ID", PaymentIntentRetrieveParams, retrieve("payment_intent")),
    _endpoint("POST", "tax/calculations", CalculationCreateParams, calculate_tax),
    _endpoint("POST", "refunds", RefundCreateParams, create_refund),
    _endpoint("GET", "refunds", RefundListParams, listed("refund")),
    _endpoint("GET", "refunds/ID", RefundRetrieveParams, retrieve("refund")),
    _endpoint("POST", "payment_methods/ID/attach", PaymentMethodAttachParams, attach_card),
    _endpoint("GET", "events", EventListParams, list_events),
    _endpoint("GET", "prices", PriceListParams, list_prices),
    _endpoint("POST", "prices", PriceCreateParams, _made(subscriptions.make_price)),
    _endpoint("GET", "prices/ID", PriceRetrieveParams, retrieve("price")),
    _endpoint("GET", "subscriptions", SubscriptionListParams, list_subscriptions),
    _endpoint("POST", "subscriptions", SubscriptionCreateParams, _made(subscriptions.begin)),
    _endpoint("GET", "subscriptions/ID", SubscriptionRetrieveParams, retrieve("subscription")),
    _endpoint("POST", "subscriptions/ID", SubscriptionUpdateParams, _changed(subscriptions.update)),
    _endpoint("DELETE", "subscriptions/ID", SubscriptionCancelParams, cancel_subscription),
    _endpoint("GET", "invoice_payments", InvoicePaymentListParams, list_invoice_payments),
    _endpoint("GET", "billing/meters", MeterListParams, listed("billing.meter")),
    _endpoint("POST", "billing/meters", MeterCreateParams, make_meter),
    _endpoint("POST", "billing/meter_events", MeterEventCreateParams, _made(subscriptions.count)),
    _endpoint(
        "GET", "billing/meters/ID/event_summaries", MeterEventSummaryListParams, summarise_meter
    ),
    _endpoint("GET", "disputes", DisputeListParams, listed("dispute")),
    _endpoint("GET", "disputes/ID", DisputeRetrieveParams, retrieve("dispute")),
]
