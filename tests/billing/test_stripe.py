"""Top-ups through Stripe: one form one session, one payment one credit, forgeries nothing."""

from typing import Any

import pytest
from django.conf import LazySettings as Settings
from django.db import DatabaseError
from django.test import Client
from django.urls import reverse

from accounts.models import Organisation
from billing import ledger_payments, reconciliation, topups
from billing.models import Plan, TopUp, TopUpState, Transfer, WebhookDelivery
from portal.lib.money import NANOS_PER_CENT
from tests.billing.money import audit_is_clean
from tests.billing.payments import TEN, balance, begin, deliver, hear, paid_event, run_jobs
from tests.billing.stripe_double import StripeDouble


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
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("session", "belongs to another session"),
        ("payment", "was paid by another payment"),
        ("nothing", "without a payment"),
    ],
)
def test_a_page_that_claims_another_ones_top_up_credits_nobody(
    double: StripeDouble, alice_client: Client, organisation: Organisation, change: str, error: str
) -> None:
    begin(alice_client)
    mine = TopUp.objects.get()
    session = double.sessions[mine.checkout_session_id or ""]
    if change == "session":
        begin(alice_client, token="form2")
        session = next(each for each in double.sessions.values() if each is not session)
        session["client_reference_id"] = mine.pk
    double.pay(session["id"])
    if change == "payment":
        hear(double, alice_client)
        session["payment_intent"] = double._succeed(double._intent(2500, "usd", None))["id"]
        double.emit("checkout.session.completed", session)
    elif change == "nothing":
        session["payment_intent"] = None
    hear(double, alice_client)
    assert error in WebhookDelivery.objects.exclude(error="").get().error
    credited = 2500 * NANOS_PER_CENT if change == "payment" else 0
    assert balance(organisation) == TEN + credited
    audit_is_clean()


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

        broken.setattr(ledger_payments, "record_payment", crash)
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
    assert "is not responding" in answer.content.decode()


@pytest.mark.parametrize("way", ["top_up", "save_card", "stripe_portal", "subscribe"])
def test_where_stripe_refuses_the_page_says_so_and_the_log_why(
    double: StripeDouble, alice_client: Client, plan: Plan, settings: Settings, way: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    settings.STRIPE_SECRET_KEY = "sk_test_of_nobody"
    arguments = [plan.pk] if way == "subscribe" else []
    fields = {"amount": "25", "form_token": "t"}
    page = alice_client.post(reverse(f"billing_{way}", args=arguments), fields, follow=True)
    assert "please tell the operator" in page.content.decode()
    assert "is not responding" not in page.content.decode()
    assert "Invalid API Key" in caplog.text


def test_somebody_elses_form_token_is_not_shared(
    double: StripeDouble, alice_client: Client, charlie_client: Client
) -> None:
    assert begin(alice_client)["Location"] != begin(charlie_client)["Location"]


def test_an_unpaid_session_credits_nothing(double: StripeDouble, alice_client: Client) -> None:
    begin(alice_client)
    from billing import stripe_api

    session = stripe_api.fetch_checkout(TopUp.objects.get().checkout_session_id or "")
    assert not topups.credit(session)


# --- Sent again, and by debit --------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("end", "says"), [("pay", "$25.00 were credited"), ("expire", "left without paying")]
)
def test_a_form_that_comes_again_when_its_page_is_over_tells_its_end(
    double: StripeDouble, alice_client: Client, end: str, says: str
) -> None:
    begin(alice_client)
    getattr(double, end)(TopUp.objects.get().checkout_session_id)
    hear(double, alice_client)
    answer = begin(alice_client)  # by the browser's button
    assert answer["Location"] == f"{reverse('billing')}?top_up={TopUp.objects.get().pk}"
    page = alice_client.get(answer["Location"])
    assert says in page.content.decode()
    assert page.context["form"]["form_token"].value() != "form1"


@pytest.mark.django_db(transaction=True)
def test_the_end_of_one_page_is_that_of_no_other(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    for token in ("form1", "form2", "form3"):
        begin(alice_client, token=token)
    expired, refused, _open = double.sessions
    double.expire(expired)
    double.pay_by_debit(refused)
    double.answer_debit(refused, paid=False)
    hear(double, alice_client)
    states = TopUp.objects.order_by("created_at").values_list("state", flat=True)
    assert list(states) == ["expired", "failed", "created"]


@pytest.mark.django_db(transaction=True)
def test_a_debit_is_credited_when_the_bank_has_paid(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    begin(alice_client)
    session_id = TopUp.objects.get().checkout_session_id or ""
    double.pay_by_debit(session_id)
    hear(double, alice_client)
    reconciliation.hear_of(session_id)
    assert (balance(organisation), TopUp.objects.get().state) == (TEN, TopUpState.CREATED)
    double.answer_debit(session_id, paid=True)
    hear(double, alice_client)
    assert balance(organisation) == TEN + 2500 * NANOS_PER_CENT
    audit_is_clean()


@pytest.mark.django_db(transaction=True)
def test_a_debit_that_the_bank_refuses_is_told(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    begin(alice_client)
    session_id = TopUp.objects.get().checkout_session_id or ""
    double.pay_by_debit(session_id)
    double.answer_debit(session_id, paid=False)
    double.post.waiting.reverse()
    hear(double, alice_client)
    top_up = TopUp.objects.get()
    assert (top_up.state, top_up.failure) == (TopUpState.FAILED, "debit_not_authorized")
    page = alice_client.get(reverse("billing"), {"top_up": top_up.pk}).content.decode()
    assert "The bank refused the payment" in page
    assert balance(organisation) == TEN
    audit_is_clean()
