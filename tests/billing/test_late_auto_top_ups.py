"""Automatic top-ups that failed and are paid after all: credited once, in their own month."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import Organisation
from billing import autotopup
from billing.models import TopUp, WebhookDelivery
from tests.billing.money import audit_is_clean
from tests.billing.payments import TEN, balance, hear
from tests.billing.saved_cards import (
    CHARGE,
    a_month_later,
    again,
    auto,
    charges,
    save_card,
    turn_on,
)
from tests.billing.stripe_double import DECLINED_CARD, StripeDouble

pytestmark = pytest.mark.django_db(transaction=True)


def charged_in_vain(double: StripeDouble, client: Client) -> dict[str, Any]:
    """A payment of a card that was declined; the one that is saved now is not."""
    turn_on(client, threshold="1000.00")
    save_card(double, client, DECLINED_CARD)
    autotopup.run()
    [failed] = double.all("payment_intent")
    save_card(double, client)
    return failed


def test_a_payment_that_failed_first_and_is_paid_later_counts_in_the_months_ceiling(
    double: StripeDouble, alice_client: Client, low: Organisation
) -> None:
    failed = charged_in_vain(double, alice_client)
    again()
    double._succeed(failed)
    for _ in range(2):
        hear(double, alice_client)
        WebhookDelivery.objects.update(processed_at=None)
    assert balance(low) == TEN + 2 * CHARGE
    assert (auto().charged_cents, auto().late_cents) == (5000, 2500)
    again()
    assert charges(double) == [2500, 2500], "75 dollars would be above 60"
    audit_is_clean()


def test_a_late_payment_above_the_ceiling_is_credited_and_nothing_more_is_charged(
    double: StripeDouble, alice_client: Client, low: Organisation
) -> None:
    failed = charged_in_vain(double, alice_client)
    for _ in range(2):
        again()
    double._succeed(failed)
    hear(double, alice_client)
    assert balance(low) == TEN + 3 * CHARGE
    assert auto().charged_cents == 7500
    answer = turn_on(alice_client, threshold="1000.00", ceiling="74.99")
    assert "ceiling" in answer.context["auto_form"].errors
    assert turn_on(alice_client, threshold="1000.00", ceiling="99.99").status_code == 302
    again()
    assert charges(double) == [2500] * 3
    a_month_later()
    again()
    assert (auto().charged_cents, auto().late_cents) == (2500, 0)
    audit_is_clean()


def test_a_late_payment_of_last_month_takes_no_room_of_this_one(
    double: StripeDouble, alice_client: Client, low: Organisation
) -> None:
    failed = charged_in_vain(double, alice_client)
    a_month_later()
    again()
    double._succeed(failed)
    hear(double, alice_client)
    assert balance(low) == TEN + 2 * CHARGE
    assert (auto().charged_cents, auto().late_cents) == (2500, 0)
    audit_is_clean()


def test_one_that_was_given_up_and_is_paid_after_all_counts_as_well(
    double: StripeDouble, alice_client: Client, low: Organisation
) -> None:
    double.down = True
    autotopup.run()
    double.down = False
    autotopup.turn_off(low)
    autotopup.run()
    top_up = TopUp.objects.get()
    assert (top_up.state, auto().charged_cents) == ("expired", 0)
    late = double._intent(2500, "usd", None, metadata={"top_up_id": top_up.pk})
    double._succeed(late)
    hear(double, alice_client)
    assert balance(low) == TEN + CHARGE
    assert (auto().charged_cents, auto().late_cents) == (2500, 2500)
    audit_is_clean()
