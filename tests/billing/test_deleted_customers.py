"""A customer whom somebody deleted in Stripe's dashboard: a new one takes its place, once."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Organisation
from billing import autotopup, stripe_api
from billing.models import Plan, StripeCustomer, Subscription, TopUp
from portal.lib.money import NANOS_PER_CENT
from tests.billing.money import audit_is_clean
from tests.billing.payments import TEN, balance, begin, hear
from tests.billing.saved_cards import CHARGE, auto, save_card, turn_on
from tests.billing.stripe_double import StripeDouble, subscriptions

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def gone(double: StripeDouble, alice_client: Client) -> str:
    """The customer that Alice's organisation had, with its card."""
    customer_id = save_card(double, alice_client).customer_id
    double.delete_customer(customer_id)
    return customer_id


@pytest.mark.parametrize("way", ["save_card", "stripe_portal", "top_up", "subscribe"])
def test_every_way_to_stripe_leads_there(
    double: StripeDouble, alice_client: Client, plan: Plan, gone: str, way: str
) -> None:
    arguments = [plan.pk] if way == "subscribe" else []
    fields = {"amount": "25.00", "form_token": "form1"}
    for _ in range(2):
        answer = alice_client.post(reverse(f"billing_{way}", args=arguments), fields)
        assert answer["Location"].startswith(double.url)
    customer = StripeCustomer.objects.get()
    assert (customer.customer_id == gone, customer.payment_method_id) == (False, "")
    assert double.get("customer", customer.customer_id)["name"] == "Acme"
    assert len(double.all("customer")) == 2


def test_what_is_paid_and_saved_afterwards_is_the_new_ones(
    double: StripeDouble, alice_client: Client, organisation: Organisation, gone: str
) -> None:
    begin(alice_client)
    double.pay(list(double.sessions)[-1])
    hear(double, alice_client)
    assert balance(organisation) == TEN + CHARGE
    save_card(double, alice_client)
    turn_on(alice_client, threshold="50.00")
    autotopup.run()
    assert (balance(organisation), auto().failures) == (TEN + 2 * CHARGE, 0)
    audit_is_clean()


def test_a_subscription_that_ended_with_its_customer_is_heard_of_and_can_be_had_again(
    double: StripeDouble, alice_client: Client, organisation: Organisation, plan: Plan
) -> None:
    alice_client.post(reverse("billing_subscribe", args=[plan.pk]))
    double.pay(next(iter(double.sessions)))
    hear(double, alice_client)
    subscriptions.invoice(double, Subscription.objects.get().pk)  # heard of at the end
    double.delete_customer(StripeCustomer.objects.get().customer_id)
    alice_client.post(reverse("billing_stripe_portal"))  # the new one comes first
    hear(double, alice_client)
    assert Subscription.objects.get().status == "canceled"
    assert balance(organisation) == TEN + 2 * 2200 * NANOS_PER_CENT
    again = alice_client.post(reverse("billing_subscribe", args=[plan.pk]))
    assert again["Location"].startswith(double.url)
    audit_is_clean()


def test_an_automatic_top_up_that_stripe_does_not_look_for_keeps_no_other_waiting(
    double: StripeDouble, low: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise stripe_api.RequestRefused("No such customer")

    double.down = True
    autotopup.run()
    double.down = False
    TopUp.objects.update(created_at=timezone.now() - timedelta(days=2))
    monkeypatch.setattr(stripe_api, "find_payment", refuse)
    autotopup.run()
    assert (TopUp.objects.get().state, TopUp.objects.get().failure) == ("failed", "refused")
    assert auto().failures == 1
