"""Subscribing to a plan: one page for all tabs, and an organisation that is deleted meanwhile."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Organisation
from billing import closing, ledger_payments, tasks
from billing.models import Closing, Plan, Subscription, SubscriptionPage
from billing.plan_models import new_page_key
from tests.billing.payments import TEN, balance, hear
from tests.billing.plans import all_is_well, subscribe
from tests.billing.stripe_double import StripeDouble, subscriptions

pytestmark = pytest.mark.django_db(transaction=True)


def test_two_tabs_lead_to_one_page_and_a_second_subscription_is_refused(
    double: StripeDouble, alice_client: Client, plan: Plan
) -> None:
    first = subscribe(alice_client, plan)["Location"]
    assert subscribe(alice_client, plan)["Location"] == first
    double.pay(next(iter(double.sessions)))
    hear(double, alice_client)
    assert subscribe(alice_client, plan)["Location"] == reverse("billing")
    assert len(double.sessions) == 1


def test_each_organisation_has_its_own(
    double: StripeDouble, plan: Plan, subscribed: str, charlie_client: Client
) -> None:
    address = subscribe(charlie_client, plan)["Location"]
    assert address == list(double.sessions.values())[-1]["url"]


def test_another_plan_ends_the_page_of_the_first(
    double: StripeDouble, alice_client: Client, plan: Plan, large: Plan
) -> None:
    first = subscribe(alice_client, plan)["Location"]
    assert subscribe(alice_client, large)["Location"] != first
    assert statuses(double) == ["expired", "open"]
    for session_id in double.sessions:
        double.pay(session_id)
    hear(double, alice_client)
    assert Subscription.objects.get().plan == large


def test_who_has_just_paid_in_one_tab_is_not_led_to_pay_in_another(
    double: StripeDouble, alice_client: Client, plan: Plan, large: Plan
) -> None:
    for tab in (plan, large, plan):
        subscribe(alice_client, tab)
    double.pay(list(double.sessions)[-1])  # its webhook has not come yet
    for tab in (plan, large):
        assert subscribe(alice_client, tab)["Location"] == reverse("billing")
    hear(double, alice_client)
    assert len(double.all("subscription")) == 1


def test_a_subscription_that_has_ended_and_a_page_that_is_over_are_followed_by_a_new_page(
    double: StripeDouble, alice_client: Client, plan: Plan, subscribed: str
) -> None:
    subscriptions.cancel(double, subscribed)
    hear(double, alice_client)
    subscribe(alice_client, plan)
    double.expire(list(double.sessions)[-1])
    subscribe(alice_client, plan)
    assert statuses(double) == ["complete", "expired", "open"]


def test_a_page_whose_answer_was_lost_is_found_again(
    double: StripeDouble, alice_client: Client, plan: Plan, large: Plan
) -> None:
    subscribe(alice_client, plan)
    SubscriptionPage.objects.update(checkout_session_id="")
    subscribe(alice_client, large)
    assert statuses(double) == ["expired", "open"]


def test_nobody_subscribes_for_an_organisation_that_is_deleted(
    double: StripeDouble, alice_client: Client, organisation: Organisation, plan: Plan
) -> None:
    subscribe(alice_client, plan)
    closing.ask(organisation, "alice@example.com")
    assert statuses(double) == ["expired"]
    assert not SubscriptionPage.objects.exists()


def test_who_subscribes_while_their_organisation_is_deleted_has_it_cancelled(
    double: StripeDouble, organisation: Organisation, paid_for: None
) -> None:
    closing.ask(organisation, "alice@example.com")
    assert [each["status"] for each in double.all("subscription")] == ["canceled"]


def test_a_plan_paid_for_before_its_organisation_was_deleted_and_told_after_goes_back(
    double: StripeDouble, alice_client: Client, organisation: Organisation, paid_for: None
) -> None:
    closing.ask(organisation, "alice@example.com")
    hear(double, alice_client)
    for _ in range(2):
        tasks.finish_closings()
        tasks.send_refunds()
    assert [each["amount"] for each in double.all("refund")] == [2000]
    assert (balance(organisation), Closing.objects.get().given_up_nanos) == (0, TEN)
    all_is_well()


def test_what_is_told_in_the_instant_of_the_deletion_is_not_given_up(
    double: StripeDouble, alice_client: Client, organisation: Organisation, paid_for: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    give_up = ledger_payments.give_up

    def late(*args: Any, **kwargs: Any) -> int:
        hear(double, alice_client)
        return give_up(*args, **kwargs)

    monkeypatch.setattr(ledger_payments, "give_up", late)
    closing.ask(organisation, "alice@example.com")
    tasks.send_refunds()
    assert [each["amount"] for each in double.all("refund")] == [2000]
    assert (balance(organisation), Closing.objects.get().given_up_nanos) == (0, TEN)
    all_is_well()


def test_a_page_of_other_keys_is_followed_by_a_new_one(
    double: StripeDouble, alice_client: Client, plan: Plan
) -> None:
    subscribe(alice_client, plan)
    SubscriptionPage.objects.update(checkout_session_id="cs_test_unknown", key=new_page_key())
    assert subscribe(alice_client, plan)["Location"] == list(double.sessions.values())[-1]["url"]


def statuses(double: StripeDouble) -> list[str]:
    """Of Stripe's pages, in the order in which they were made."""
    return [each["status"] for each in double.sessions.values()]
