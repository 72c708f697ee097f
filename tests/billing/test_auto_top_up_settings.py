"""Automatic top-ups: who turns them on, with what, and where it is recorded."""

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from accounts import audit, flows
from accounts.models import Organisation, User
from billing import autotopup, ledger
from billing.models import AutoTopUp, TopUp
from tests.billing.money import audit_is_clean
from tests.billing.payments import TEN, balance, hear
from tests.billing.saved_cards import CHARGE, auto, charges, save_card, turn_on
from tests.billing.stripe_double import StripeDouble

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": "4.99"}, "amount"), ({"amount": "10000.01", "ceiling": "20000"}, "amount"),
        ({"ceiling": "24.99"}, "ceiling"), ({"threshold": "0.99"}, "threshold"),
        ({"threshold": "NaN"}, "threshold"), ({"ceiling": "99999999999"}, "ceiling"),
        ({"amount": "25.001"}, "amount"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(
    double: StripeDouble, alice_client: Client, changes: dict[str, str], field: str
) -> None:
    save_card(double, alice_client)
    answer = turn_on(alice_client, **changes)
    assert answer.status_code == 400
    assert field in answer.context["auto_form"].errors
    assert not AutoTopUp.objects.exists()


def test_a_ceiling_may_be_all_that_was_charged_this_month_and_no_less(
    double: StripeDouble, alice_client: Client, low: Organisation
) -> None:
    turn_on(alice_client, ceiling="25.00")
    autotopup.run()
    assert charges(double) == [2500], "all of it"
    refused = turn_on(alice_client, amount="20.00", ceiling="24.99")
    assert refused.context["auto_form"].errors["ceiling"] == [
        "More was charged this month already; turn automatic top-up off instead."
    ]
    assert (auto().amount_cents, auto().ceiling_cents) == (2500, 2500)
    assert turn_on(alice_client, amount="20.00", ceiling="25.00").status_code == 302
    assert (auto().amount_cents, auto().ceiling_cents) == (2000, 2500)


def test_who_turned_it_on_or_off_or_changed_it_is_in_the_audit_log(
    alice_client: Client, low: Organisation
) -> None:
    turn_on(alice_client)  # as it is
    turn_on(alice_client, amount="30.00")
    turn_on(alice_client, amount="99.99")  # refused: above the ceiling
    for _ in range(2):
        alice_client.post(reverse("billing_auto_top_up"), {"off": "yes"})
    changes = [entry.changes_dict for entry in audit.entries(low)]
    assert changes[:2] == [
        {"auto_top_up.state": ["active", "off"]}, {"auto_top_up.amount_cents": ["2500", "3000"]},
    ]  # fmt: skip
    assert changes[2]["auto_top_up.state"] == ["off", "active"]
    assert changes[2]["auto_top_up.ceiling_cents"] == ["", "6000"]
    assert not any("auto_top_up" in str(change) for change in changes[3:])
    assert str(audit.entries(low)[0].actor) == "alice@example.com"
    page = alice_client.get(reverse("members")).content.decode()
    assert "automatic top-up on or off" in page


@pytest.mark.parametrize("how", ["customer", "operator", "dispute"])
def test_what_went_back_is_not_charged_again(
    double: StripeDouble, alice_client: Client, low: Organisation, how: str
) -> None:
    autotopup.run()
    top_up = TopUp.objects.get()
    if how == "customer":
        address = reverse("billing_refund", args=[top_up.pk])
        answer = alice_client.post(address, {"form_token": "once"}, follow=True)
        assert "Automatic top-up is off." in answer.content.decode()
    elif how == "operator":
        double.refund(top_up.payment_intent_id or "")
    else:
        double.dispute(top_up.payment_intent_id or "")
    hear(double, alice_client)
    low.refresh_from_db()
    flows.resume(low)
    autotopup.run()
    assert (balance(low), charges(double), auto().state) == (TEN, [2500], "off")
    assert audit.entries(low).filter(changes__has_key="auto_top_up.state").count() == 2
    audit_is_clean()


def test_a_refund_that_leaves_enough_leaves_it_on(
    double: StripeDouble, alice_client: Client, low: Organisation
) -> None:
    autotopup.run()
    ledger.grant(low.pk, TEN, reference="more", description="")
    double.refund(TopUp.objects.get().payment_intent_id or "")
    hear(double, alice_client)
    assert (balance(low), auto().state) == (2 * TEN, "active")


@pytest.mark.parametrize("how", ["off", "suspended"])
def test_what_had_not_reached_stripe_when_it_was_turned_off_is_not_charged(
    double: StripeDouble, alice_client: Client, low: Organisation, how: str
) -> None:
    double.down = True
    autotopup.run()
    assert auto().charged_cents == 2500
    if how == "off":
        alice_client.post(reverse("billing_auto_top_up"), {"off": "yes"})
    else:
        flows.suspend(low)
    double.down = False
    autotopup.run()
    assert charges(double) == []
    assert (TopUp.objects.get().state, auto().charged_cents, auto().failures) == ("expired", 0, 0)
    assert mail.outbox == []


def test_what_had_reached_stripe_when_it_was_turned_off_is_credited(
    double: StripeDouble, alice_client: Client, low: Organisation
) -> None:
    double.lost_answers = 3
    autotopup.run()
    alice_client.post(reverse("billing_auto_top_up"), {"off": "yes"})
    autotopup.run()
    assert charges(double) == [2500]
    assert (balance(low), auto().charged_cents) == (TEN + CHARGE, 2500)


def test_without_a_card_it_is_not_turned_on(double: StripeDouble, alice_client: Client) -> None:
    turn_on(alice_client)
    assert "Save a card first" in alice_client.get(reverse("billing")).content.decode()
    assert not AutoTopUp.objects.exists()


def test_only_those_who_may_pay_may_turn_it_on(
    double: StripeDouble, bob_client: Client, bob: User
) -> None:
    for name in ("billing_auto_top_up", "billing_save_card", "billing_stripe_portal"):
        assert bob_client.post(reverse(name)).status_code == 403
        assert Client().post(reverse(name)).status_code == 302
        assert bob_client.get(reverse(name)).status_code in {403, 405}
    assert double.all("customer") == []
