"""Tax of automatic top-ups: worked out once, charged on top, taken back with a refund."""

import pytest
from django.conf import LazySettings as Settings
from django.core import mail
from django.test import Client
from django.urls import reverse

from accounts.models import Organisation
from billing import autotopup
from billing.models import StripeCustomer, TopUp
from tests.billing.money import audit_is_clean
from tests.billing.payments import TEN, balance, hear
from tests.billing.saved_cards import CHARGE, again, auto, charges, save_card, turn_on
from tests.billing.stripe_double import StripeDouble

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def taxed(settings: Settings, double: StripeDouble, alice_client: Client) -> None:
    """Eight per cent, where the owner of the card lives."""
    settings.STRIPE_AUTOMATIC_TAX = True
    save_card(double, alice_client)
    turn_on(alice_client)


def untaxed(double: StripeDouble, client: Client) -> None:
    """A card that was saved before there was any tax: nobody asked for its address."""
    save_card(double, client)
    turn_on(client)


def test_tax_is_charged_on_top_and_credited_to_nobody(
    double: StripeDouble, alice_client: Client, taxed: None, organisation: Organisation
) -> None:
    autotopup.run()
    hear(double, alice_client)
    assert charges(double) == [2700]
    assert balance(organisation) == TEN + CHARGE
    top_up = TopUp.objects.get()
    assert (top_up.amount_cents, top_up.tax_cents, auto().charged_cents) == (2500, 200, 2500)
    [transaction] = double.all("tax.transaction")  # what Stripe reports to the state
    assert transaction["reference"] == top_up.payment_intent_id
    audit_is_clean()


def test_tax_goes_back_with_a_refund(
    double: StripeDouble, alice_client: Client, taxed: None, organisation: Organisation
) -> None:
    autotopup.run()
    top_up = TopUp.objects.get()
    alice_client.post(reverse("billing_refund", args=[top_up.pk]), {"form_token": "once"})
    hear(double, alice_client)
    assert [each["amount"] for each in double.all("refund")] == [2700]
    assert balance(organisation) == TEN
    audit_is_clean()


@pytest.mark.parametrize("lost", ["calculation", "charge"])
def test_a_charge_that_is_tried_again_has_the_tax_that_was_worked_out_first(
    double: StripeDouble, settings: Settings, taxed: None, organisation: Organisation, lost: str
) -> None:
    if lost == "charge":
        top_up = autotopup.begin(organisation.pk)
        assert top_up is not None
        autotopup._work_out_tax(top_up, StripeCustomer.objects.get().customer_id)
    double.lost_answers = 3
    autotopup.run()
    double.tax_percent = 20  # a new rate, and then the operator turns it off
    settings.STRIPE_AUTOMATIC_TAX = lost != "charge"
    again()
    assert charges(double) == [2700]
    assert balance(organisation) == TEN + CHARGE
    audit_is_clean()


def test_a_charge_begun_without_tax_stays_without(
    double: StripeDouble, settings: Settings, alice_client: Client, organisation: Organisation
) -> None:
    untaxed(double, alice_client)
    double.lost_answers = 3
    autotopup.run()
    settings.STRIPE_AUTOMATIC_TAX = True
    again()
    assert charges(double) == [2500]
    assert balance(organisation) == TEN + CHARGE


def test_an_address_that_is_missing_is_asked_for_and_nothing_is_charged(
    double: StripeDouble, settings: Settings, alice_client: Client, organisation: Organisation
) -> None:
    untaxed(double, alice_client)
    settings.STRIPE_AUTOMATIC_TAX = True
    autotopup.run()
    again()
    assert charges(double) == []
    assert (auto().state, TopUp.objects.count()) == ("needs_address", 1)
    assert "your address is missing" in str(mail.outbox[0].body)
    page = alice_client.get(reverse("billing")).content.decode()
    assert "your address is missing" in page
    save_card(double, alice_client)
    autotopup.run()
    assert charges(double) == [2700]
    assert balance(organisation) == TEN + CHARGE
