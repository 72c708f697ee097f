"""Top-ups through Stripe: one form one session, one payment one credit, forgeries nothing."""

import json
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.models import Organisation
from billing import ledger, topups, webhooks
from billing.models import TopUp, TopUpState, Transfer, WebhookDelivery
from portal.lib.money import NANOS_PER_CENT, NANOS_PER_DOLLAR
from tests.billing.money import audit_is_clean
from tests.billing.stripe_double import StripeDouble, sign

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
        webhooks.process(delivery_id)


def paid_event(double: StripeDouble, client: Client, token: str = "form1") -> dict[str, Any]:
    begin(client, token=token)
    session_id = TopUp.objects.get(form_token__startswith=token).checkout_session_id
    assert session_id is not None
    double.pay(session_id)
    return double.events[-1]


def balance(organisation: Organisation) -> int:
    return ledger.balance(organisation.id).posted_nanos


def test_the_same_form_with_another_amount_is_another_payment(
    double: StripeDouble, alice_client: Client
) -> None:
    first = begin(alice_client, "5.00")["Location"]
    second = begin(alice_client, "25.00")["Location"]  # went back, chose again
    assert first != second
    assert begin(alice_client, "25.00")["Location"] == second
    assert sorted(TopUp.objects.values_list("amount_cents", flat=True)) == [500, 2500]


def test_a_top_up_leads_to_stripes_page(double: StripeDouble, alice_client: Client) -> None:
    answer = begin(alice_client)
    assert answer.status_code == 302
    top_up = TopUp.objects.get()
    assert answer["Location"] == double.sessions[top_up.checkout_session_id or ""]["url"]
    assert double.sessions[top_up.checkout_session_id or ""]["amount_total"] == 2500


def test_a_double_click_makes_one_session(double: StripeDouble, alice_client: Client) -> None:
    assert begin(alice_client)["Location"] == begin(alice_client)["Location"]
    assert TopUp.objects.count() == len(double.sessions) == 1
    assert begin(alice_client, token="form2")["Location"] != begin(alice_client)["Location"]


@pytest.mark.parametrize("amount", ["4.99", "10000.01", "-5", "", "abc", "5.001", "1e3", "NaN"])
def test_an_amount_out_of_range_is_refused_by_name(
    double: StripeDouble, alice_client: Client, amount: str
) -> None:
    answer = begin(alice_client, amount)
    if amount != "1e3":  # a thousand dollars, in another notation
        assert answer.status_code == 400
        assert answer.context["form"].errors.keys() == {"amount"}
        assert not TopUp.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_payment_credits_once_however_often_it_is_told(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    event = paid_event(double, alice_client)
    for _ in range(3):
        assert deliver(alice_client, event).status_code == 200
        run_jobs()
    again = double.emit("checkout.session.async_payment_succeeded", event["data"]["object"])
    assert deliver(alice_client, again).status_code == 200
    run_jobs()
    assert balance(organisation) == TEN + 2500 * NANOS_PER_CENT
    assert TopUp.objects.get().state == TopUpState.PAID
    assert Transfer.objects.filter(kind="payment").count() == 1
    assert WebhookDelivery.objects.count() == 2
    audit_is_clean()


@pytest.mark.django_db(transaction=True)
def test_events_out_of_order_end_the_same(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    event = paid_event(double, alice_client)
    late = double.emit("checkout.session.expired", event["data"]["object"])
    deliver(alice_client, event)
    run_jobs()
    deliver(alice_client, late)
    run_jobs()
    assert TopUp.objects.get().state == TopUpState.PAID
    assert balance(organisation) == TEN + 2500 * NANOS_PER_CENT
    audit_is_clean()


@pytest.mark.django_db(transaction=True)
def test_without_a_broker_a_delivery_is_stored_and_stripe_is_thanked(
    double: StripeDouble, alice_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_args: object) -> None:
        raise ConnectionError("no broker")

    event = paid_event(double, alice_client)
    monkeypatch.setattr("billing.tasks.process_webhook.delay", away)
    assert deliver(alice_client, event).status_code == 200
    WebhookDelivery.objects.update(received_at=timezone.now() - webhooks.RETRY_AFTER)
    assert webhooks.unprocessed() == [WebhookDelivery.objects.get().pk]


def test_a_forged_delivery_is_refused_and_not_stored(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    event = paid_event(double, alice_client)
    body = json.dumps(event).encode()
    forgeries = [
        "", "nonsense", sign(body, "whsec_other"), sign(body + b" "),
        sign(body, at=time.time() - 400), sign(body, at=time.time() + 400),
    ]  # fmt: skip
    for signature in forgeries:
        assert deliver(alice_client, event, signature=signature).status_code == 400
    assert not WebhookDelivery.objects.exists()
    assert balance(organisation) == TEN


@pytest.mark.parametrize("body", [b"[]", b"{}", b"nope", b'{"id": 1}', b"\xff"])
def test_a_signed_delivery_that_is_no_event_is_refused(
    double: StripeDouble, alice_client: Client, body: bytes
) -> None:
    answer = alice_client.post(
        WEBHOOK, body, content_type="application/json", headers={"Stripe-Signature": sign(body)}
    )
    assert answer.status_code == 400


def test_a_large_body_is_refused_before_it_is_read(
    double: StripeDouble, alice_client: Client
) -> None:
    body = b"x" * (webhooks.MAX_BODY_BYTES + 1)
    answer = alice_client.post(WEBHOOK, body, content_type="application/json")
    assert answer.status_code == 413
    assert alice_client.get(WEBHOOK).status_code == 405


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "change",
    [{"amount_total": 2499}, {"currency": "eur"}, {"client_reference_id": "tup_other"}],
)
def test_a_payment_that_is_not_what_was_asked_for_credits_nobody(
    double: StripeDouble, alice_client: Client, organisation: Organisation, change: dict[str, Any]
) -> None:
    event = paid_event(double, alice_client)
    double.sessions[event["data"]["object"]["id"]].update(change)
    deliver(alice_client, event)
    run_jobs()
    delivery = WebhookDelivery.objects.get()
    assert delivery.error.startswith("refused")
    assert delivery.processed_at is not None
    assert balance(organisation) == TEN


@pytest.mark.django_db(transaction=True)
def test_what_the_payload_claims_is_not_believed(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    begin(alice_client)
    session = double.sessions[TopUp.objects.get().checkout_session_id or ""]
    claimed = {**session, "payment_status": "paid", "payment_intent": "pi_claimed"}
    deliver(alice_client, double.emit("checkout.session.completed", claimed))
    run_jobs()
    assert balance(organisation) == TEN, "Stripe itself says that it is unpaid"
    assert TopUp.objects.get().state == TopUpState.CREATED


@pytest.mark.django_db(transaction=True)
def test_a_crash_between_store_and_credit_loses_nothing(
    double: StripeDouble, alice_client: Client, organisation: Organisation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    event = paid_event(double, alice_client)
    deliver(alice_client, event)
    with monkeypatch.context() as broken:

        def crash(*_args: object, **_kwargs: object) -> None:
            raise DatabaseError("gone")

        broken.setattr(ledger, "record_payment", crash)
        run_jobs()
    assert balance(organisation) == TEN
    assert TopUp.objects.get().state == TopUpState.CREATED, "paid and credited together or not"
    assert "tried again" in WebhookDelivery.objects.get().error
    run_jobs()
    assert balance(organisation) == TEN + 2500 * NANOS_PER_CENT
    audit_is_clean()


@pytest.mark.django_db(transaction=True)
def test_while_stripe_is_down_the_delivery_waits(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    event = paid_event(double, alice_client)
    deliver(alice_client, event)
    double.down = True
    run_jobs()
    assert WebhookDelivery.objects.get().processed_at is None
    double.down = False
    run_jobs()
    assert balance(organisation) == TEN + 2500 * NANOS_PER_CENT


def test_while_stripe_is_down_the_page_says_so(double: StripeDouble, alice_client: Client) -> None:
    double.down = True
    answer = alice_client.post(
        reverse("billing_top_up"), {"amount": "25", "form_token": "t"}, follow=True
    )
    assert "does not answer" in answer.content.decode()


def test_an_unknown_event_is_kept(double: StripeDouble, alice_client: Client) -> None:
    assert (
        deliver(alice_client, double.emit("customer.created", {"id": "cus_1"})).status_code == 200
    )
    run_jobs()
    delivery = WebhookDelivery.objects.get()
    assert (delivery.event_type, delivery.error) == ("customer.created", "")


def test_without_stripe_there_is_no_webhook_and_the_page_says_so(
    settings: Settings, alice_client: Client
) -> None:
    settings.STRIPE_SECRET_KEY = settings.STRIPE_WEBHOOK_SECRET = ""
    assert alice_client.post(WEBHOOK, b"{}", content_type="application/json").status_code == 404
    page = alice_client.get(reverse("billing")).content.decode()
    assert "Payments are not set up" in page
    assert begin(alice_client).status_code == 302
    assert not TopUp.objects.exists()


def test_a_delivery_that_breaks_its_handler_is_not_tried_for_ever(
    double: StripeDouble, alice_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = paid_event(double, alice_client)
    deliver(alice_client, event)
    monkeypatch.setattr(webhooks, "MAX_ATTEMPTS", 2)
    monkeypatch.setattr(webhooks, "RETRY_AFTER", timedelta(0))

    def broken(_session: object) -> None:
        raise KeyError("id")

    monkeypatch.setitem(webhooks.HANDLERS, event["type"], broken)
    for _ in range(2):
        [delivery_id] = webhooks.unprocessed()
        with pytest.raises(KeyError):
            webhooks.process(delivery_id)
    assert webhooks.unprocessed() == []


def test_somebody_elses_form_token_is_not_shared(
    double: StripeDouble, alice_client: Client, charlie_client: Client
) -> None:
    assert begin(alice_client)["Location"] != begin(charlie_client)["Location"]


def test_an_unpaid_session_credits_nothing(double: StripeDouble, alice_client: Client) -> None:
    begin(alice_client)
    from billing import stripe_api

    session = stripe_api.fetch_checkout(TopUp.objects.get().checkout_session_id or "")
    assert topups.credit(session) is None
