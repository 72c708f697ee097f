"""Saved cards and automatic top-ups: one customer, one charge at a time, under the ceiling."""

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Membership, Organisation, Role, User
from billing import autotopup, customers, ledger, stripe_api, topups
from billing.models import AutoTopUp, StripeCustomer, TopUp, Transfer, WebhookDelivery
from billing.months import before, following, month_of
from tests.billing.money import audit_is_clean, hold
from tests.billing.payments import TEN, balance, begin, hear
from tests.billing.saved_cards import (
    CHARGE,
    a_month_later,
    again,
    auto,
    charges,
    save_card,
    turn_on,
)
from tests.billing.stripe_double import AUTHENTICATION_CARD, DECLINED_CARD, StripeDouble

pytestmark = pytest.mark.django_db(transaction=True)


# --- Customers and cards -------------------------------------------------------------------------


def test_an_organisation_is_one_customer_however_often_it_pays(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    begin(alice_client, token="form1")
    begin(alice_client, token="form2")
    save_card(double, alice_client)
    [customer] = double.all("customer")
    assert customer["name"] == "Acme"
    assert {session["customer"] for session in double.sessions.values()} == {customer["id"]}
    StripeCustomer.objects.all().delete()  # we died before we wrote it down
    assert customers.customer_of(organisation).customer_id == customer["id"]


def test_a_saved_card_is_shown_and_nothing_is_charged(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    customer = save_card(double, alice_client)
    assert (customer.card_brand, customer.card_last4) == ("visa", "4242")
    assert (
        "Visa ending in 4242, valid until 08/2030"
        in alice_client.get(reverse("billing")).content.decode()
    )
    assert charges(double) == []
    assert balance(organisation) == TEN


def test_the_card_that_was_asked_for_last_is_charged_in_whatever_order_they_are_told(
    double: StripeDouble, alice_client: Client
) -> None:
    older, newer = (
        alice_client.post(reverse("billing_save_card"))["Location"].rpartition("/")[2]
        for _ in range(2)
    )
    double.sessions[older]["created"] -= 60
    double.pay(newer, "4444")
    hear(double, alice_client)
    double.pay(older, "4242")
    hear(double, alice_client)
    assert StripeCustomer.objects.get().card_last4 == "4444"


def test_a_card_removed_at_stripe_is_gone_here(
    double: StripeDouble, alice_client: Client, low: Organisation
) -> None:
    double.remove_card(StripeCustomer.objects.get().payment_method_id)
    hear(double, alice_client)
    assert StripeCustomer.objects.get().payment_method_id == ""
    autotopup.run()
    assert charges(double) == []


def test_the_card_of_a_customer_that_was_deleted_at_stripe_is_gone_here(
    double: StripeDouble, alice_client: Client, low: Organisation
) -> None:
    customer = StripeCustomer.objects.get()
    card = double.objects[customer.payment_method_id]
    double.objects[customer.customer_id] = {
        "id": customer.customer_id, "object": "customer", "deleted": True,
    }  # fmt: skip
    double.emit("payment_method.detached", {**card, "customer": None})
    hear(double, alice_client)
    assert StripeCustomer.objects.get().payment_method_id == ""


def test_the_customer_portal_is_stripes_page_of_this_customer(
    double: StripeDouble, alice_client: Client
) -> None:
    save_card(double, alice_client)
    answer = alice_client.post(reverse("billing_stripe_portal"))
    session = double.objects[answer["Location"].rpartition("/")[2]]
    assert session["customer"] == StripeCustomer.objects.get().customer_id


# --- Charging ------------------------------------------------------------------------------------


def test_those_whose_turn_cannot_come_are_not_looked_at(low: Organisation) -> None:
    """A round takes two hundred: as many without room or card would keep all others waiting."""
    month = month_of(timezone.now())
    for begun, charged_cents, due in (
        (month, 3500, [low.pk]),
        (month, 3501, []),
        (before(month), 6000, [low.pk]),
    ):
        AutoTopUp.objects.update(month=begun, charged_cents=charged_cents)
        assert autotopup.due() == due
    StripeCustomer.objects.update(payment_method_id="")
    assert autotopup.due() == []


def test_a_low_balance_charges_the_card_once(
    double: StripeDouble, alice_client: Client, low: Organisation
) -> None:
    autotopup.run()
    assert balance(low) == TEN + CHARGE
    again()  # 35 dollars are above the threshold
    hear(double, alice_client)
    assert charges(double) == [2500]
    assert balance(low) == TEN + CHARGE
    assert Transfer.objects.get(kind="payment").description == "Automatic top-up"
    assert auto().charged_cents == 2500
    audit_is_clean()


def test_what_running_requests_hold_charges_nothing(
    double: StripeDouble, alice_client: Client, low: Organisation
) -> None:
    turn_on(alice_client, threshold="10.00")
    hold("req_1", low.id, TEN - 1)
    autotopup.run()
    assert charges(double) == []


def test_a_suspended_organisation_is_not_charged(double: StripeDouble, low: Organisation) -> None:
    Organisation.objects.update(suspended_at=timezone.now())
    autotopup.run()
    assert charges(double) == []


def test_the_months_ceiling_is_kept_and_the_next_month_starts_anew(
    double: StripeDouble, low: Organisation, alice_client: Client
) -> None:
    turn_on(alice_client, threshold="1000.00")
    for _ in range(4):
        again()
    assert charges(double) == [2500, 2500], "75 dollars would be above 60"
    answer = turn_on(alice_client, ceiling="49.99")
    assert "ceiling" in answer.context["auto_form"].errors, "50 dollars were charged"
    a_month_later()
    again()
    assert charges(double) == [2500, 2500, 2500]
    audit_is_clean()


def test_the_database_refuses_a_second_one_and_a_charge_above_the_ceiling(
    double: StripeDouble, low: Organisation
) -> None:
    fields: dict[str, Any] = {
        "organisation": low, "amount_cents": 2500, "automatic": True, "created_by": "a@example.com",
    }  # fmt: skip
    TopUp.objects.create(form_token="a", **fields)
    for refused in (
        lambda: TopUp.objects.create(form_token="b", **fields),
        lambda: AutoTopUp.objects.update(charged_cents=6001),
        lambda: AutoTopUp.objects.update(failures=3),
        lambda: TopUp.objects.update(state="paid"),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            refused()


def test_an_answer_that_is_lost_is_asked_for_again_and_charged_once(
    double: StripeDouble, low: Organisation
) -> None:
    double.lost_answers = 3  # the library gives up
    autotopup.run()
    assert (balance(low), TopUp.objects.get().state) == (TEN, "created")
    again()
    assert charges(double) == [2500]
    assert balance(low) == TEN + CHARGE
    audit_is_clean()


def test_an_answer_that_is_lost_for_a_day_is_found(double: StripeDouble, low: Organisation) -> None:
    double.lost_answers = 3
    autotopup.run()
    TopUp.objects.update(created_at=timezone.now() - timedelta(days=2))
    [made] = double.all("payment_intent")
    made["created"] -= 2 * 86_400 + 60  # Stripe's clock is a minute behind ours
    double.forget()
    again()
    assert charges(double) == [2500]
    assert balance(low) == TEN + CHARGE


def test_a_day_without_a_payment_is_a_failure(double: StripeDouble, low: Organisation) -> None:
    double.down = True
    autotopup.run()
    assert auto().charged_cents == 2500
    double.down = False
    TopUp.objects.update(created_at=timezone.now() - autotopup.KEY_LIVES)
    autotopup.run()
    assert (TopUp.objects.get().state, TopUp.objects.get().failure) == ("failed", "not_reached")
    assert charges(double) == []


def test_a_webhook_that_is_faster_than_the_answer_credits_once(
    double: StripeDouble, alice_client: Client, low: Organisation
) -> None:
    top_up = autotopup.begin(low.id)
    assert top_up is not None
    payment = stripe_api.charge_card(top_up, StripeCustomer.objects.get().customer_id)
    hear(double, alice_client)
    assert balance(low) == TEN + CHARGE
    autotopup.settle(top_up, payment)
    assert balance(low) == TEN + CHARGE


def test_a_payment_of_another_amount_credits_nobody(
    double: StripeDouble, alice_client: Client, low: Organisation
) -> None:
    top_up = autotopup.begin(low.id)
    assert top_up is not None
    stripe_api.charge_card(top_up, StripeCustomer.objects.get().customer_id)
    double.all("payment_intent")[0]["amount_received"] = 2499
    hear(double, alice_client)
    refused = WebhookDelivery.objects.get(event_type="payment_intent.succeeded")
    assert refused.error.startswith("refused")
    assert balance(low) == TEN


# --- Refused -------------------------------------------------------------------------------------


def test_three_refusals_in_a_row_stop_it_with_a_mail_each(
    double: StripeDouble, alice_client: Client, low: Organisation, bob: User
) -> None:
    save_card(double, alice_client, DECLINED_CARD)
    for failures in (1, 2, 3):
        again()
        hear(double, alice_client)  # Stripe tells it a second time
        assert auto().failures == failures
        autotopup.run()  # too early: nothing happens
    again()
    assert charges(double) == [0, 0, 0]
    assert (auto().state, auto().charged_cents) == ("stopped", 0)
    assert [message.to for message in mail.outbox] == [["alice@example.com"]] * 3
    assert "has stopped" in str(mail.outbox[-1].body)
    page = alice_client.get(reverse("billing")).content.decode()
    assert "refused three times" in page
    save_card(double, alice_client)
    autotopup.run()
    assert (auto().state, balance(low)) == ("active", TEN + CHARGE)
    audit_is_clean()


def test_a_bank_that_wants_consent_gets_it_from_the_owner(
    double: StripeDouble, alice_client: Client, low: Organisation
) -> None:
    save_card(double, alice_client, AUTHENTICATION_CARD)
    autotopup.run()
    again()
    assert charges(double) == [0], "it waits for its owner"
    assert auto().state == "needs_consent"
    assert "3-D Secure" in str(mail.outbox[0].body)
    for name in ("billing", "overview"):
        assert "Confirm the card with your bank" in alice_client.get(reverse(name)).content.decode()
    save_card(double, alice_client)
    autotopup.run()
    assert balance(low) == TEN + CHARGE
    assert "Confirm the card" not in alice_client.get(reverse("billing")).content.decode()


def test_a_failure_told_late_does_not_undo_a_payment(
    double: StripeDouble, low: Organisation
) -> None:
    autotopup.run()
    autotopup.fail(TopUp.objects.get(), "card_declined")
    assert (TopUp.objects.get().state, auto().failures, mail.outbox) == ("paid", 0, [])


def test_a_clock_that_was_wrong_for_a_while_leaves_no_charge_out_of_its_months_ceiling(
    double: StripeDouble, alice_client: Client, low: Organisation
) -> None:
    turn_on(alice_client, threshold="1000.00")
    again()
    month = month_of(timezone.now())
    a_month_later()
    for _ in range(2):
        again()
    for elsewhere in (before(month), following(month)):
        AutoTopUp.objects.update(month=elsewhere)  # a charge was begun by the wrong clock
        assert alice_client.get(reverse("billing")).context["auto_charged_nanos"] == 2 * CHARGE
        again()
        assert charges(double) == [2500] * 3, "75 dollars in this month would be above 60"
    AutoTopUp.objects.update(month=before(month), ceiling_cents=3000, charged_cents=0)
    assert turn_on(alice_client, threshold="1000.00", ceiling="49.99").status_code == 400
    assert turn_on(alice_client, threshold="1000.00", ceiling="60.00").status_code == 302
    assert (auto().month, auto().charged_cents, auto().late_cents) == (month, 5000, 2000)
    audit_is_clean()


def test_the_mail_goes_to_whoever_may_pay(
    double: StripeDouble, alice_client: Client, low: Organisation, bob: User
) -> None:
    Membership.objects.filter(user=bob).update(role=Role.BILLING)
    save_card(double, alice_client, DECLINED_CARD)
    autotopup.run()
    assert sorted(message.to[0] for message in mail.outbox) == [
        "alice@example.com", "bob@example.com",
    ]  # fmt: skip


def test_turned_off_it_charges_nothing_and_keeps_its_amounts(
    double: StripeDouble, alice_client: Client, low: Organisation
) -> None:
    alice_client.post(reverse("billing_auto_top_up"), {"off": "yes"})
    autotopup.run()
    assert charges(double) == []
    assert (auto().state, auto().amount_cents) == ("off", 2500)


def test_a_top_up_on_stripes_page_is_not_taken_for_an_automatic_one(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    begin(alice_client)
    double.pay(TopUp.objects.get().checkout_session_id or "")
    hear(double, alice_client)  # its payment_intent.succeeded comes first
    assert balance(organisation) == TEN + CHARGE
    assert topups.credit(stripe_api.fetch_checkout(next(iter(double.sessions))))
    assert ledger.balance(organisation.id).posted_nanos == TEN + CHARGE
