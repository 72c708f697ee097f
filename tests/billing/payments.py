"""Short-hands for tests of payments: begin one, deliver its event, do the worker's work."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Organisation
from billing import ledger, stripe_api, stripe_billing, webhooks
from billing.models import TopUp, WebhookDelivery
from billing.plan_models import Plan
from portal.lib.money import NANOS_PER_DOLLAR
from tests.billing.stripe_double import StripeDouble, sign, subscriptions

TEN = 10 * NANOS_PER_DOLLAR
WEBHOOK = "/webhooks/stripe/"


def begin(client: Client, amount: str = "25.00", token: str = "form1") -> Any:
    return client.post(reverse("billing_top_up"), {"amount": amount, "form_token": token})


def deliver(client: Client, event: dict[str, Any], **headers: str) -> Any:
    body = json.dumps(event).encode()
    signature = headers.get("signature", sign(body))
    return client.post(
        WEBHOOK, body, content_type="application/json", headers={"Stripe-Signature": signature}
    )


def run_jobs() -> None:
    """What the worker does."""
    for delivery_id in WebhookDelivery.objects.filter(processed_at=None).values_list(
        "pk", flat=True
    ):
        with suppress(stripe_api.StripeUnavailable):
            webhooks.process(delivery_id)


def paid_event(double: StripeDouble, client: Client, token: str = "form1") -> dict[str, Any]:
    begin(client, token=token)
    session_id = TopUp.objects.get(form_token__startswith=token).checkout_session_id
    assert session_id is not None
    double.pay(session_id)
    return double.events[-1]


def balance(organisation: Organisation) -> int:
    return ledger.balance(organisation.id).posted_nanos


def hear(double: StripeDouble, client: Client) -> None:
    """Every event that waits arrives, and the worker does its work."""
    waiting, double.post.waiting = double.post.waiting, []
    for event in waiting:
        deliver(client, event)
    run_jobs()


def answer_late(
    monkeypatch: pytest.MonkeyPatch, name: str, meanwhile: Callable[[], object]
) -> None:
    """The next call `name` of Stripe's is answered, and what is done `meanwhile` is newer."""
    call = getattr(stripe_api, name)

    def late(*arguments: Any) -> Any:
        monkeypatch.setattr(stripe_api, name, call)
        answer = call(*arguments)
        meanwhile()
        return answer

    monkeypatch.setattr(stripe_api, name, late)


def told(double: StripeDouble) -> list[int]:
    """What the meter of usage was told, in order."""
    return [int(each["payload"]["value"]) for each in double.all("billing.meter_event")[::-1]]


def make_plan(
    double: StripeDouble, name: str = "Team", cents: int = 2000, credit_cents: int = 2200
) -> Plan:
    """As the console makes it, of a price that stands at Stripe."""
    price = subscriptions.make_plan_price(double, cents)
    price_cents, interval = stripe_billing.fetch_price(price["id"])
    return Plan.objects.create(
        name=name, stripe_price_id=price["id"], price_cents=price_cents, interval=interval,
        credit_cents=credit_cents,
    )  # fmt: skip
