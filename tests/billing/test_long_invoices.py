"""Invoices of many lines: Stripe sends ten of them with an invoice, the others are asked for."""

import pytest
from django.test import Client

from accounts.models import Organisation
from billing import postpaid, tasks
from portal.lib.money import NANOS_PER_DOLLAR
from tests.billing.money import audit_is_clean, spend
from tests.billing.payments import TEN, balance, hear, told
from tests.billing.plans import CREDIT, all_is_well
from tests.billing.stripe_double import StripeDouble, subscriptions
from tests.billing.stripe_double.state import Object

pytestmark = pytest.mark.django_db(transaction=True)


def put_before(invoice: Object, number: int) -> None:
    """Items that waited for the next invoice stand on it first: an operator's, parts of periods."""
    lines = invoice["lines"]["data"]
    item = {**lines[0], "parent": None, "pricing": None, "quantity": 0, "amount": 0}
    lines[:0] = [{**item, "id": f"il_item_{each}"} for each in range(number)]


def test_usage_behind_other_lines_is_settled(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    postpaid.turn_on(organisation, TEN, "operator@example.com")
    spend(organisation, TEN + NANOS_PER_DOLLAR)
    tasks.tell_usage()
    [subscription] = double.all("subscription")
    put_before(subscriptions.invoice(double, subscription["id"]), 12)
    hear(double, alice_client)
    assert balance(organisation) == 0
    spend(organisation, NANOS_PER_DOLLAR)
    tasks.tell_usage()
    assert told(double) == [NANOS_PER_DOLLAR, NANOS_PER_DOLLAR]
    audit_is_clean()


def test_another_interval_behind_other_lines_begins_a_period(
    double: StripeDouble, alice_client: Client, organisation: Organisation, subscribed: str
) -> None:
    made = subscriptions.invoice(double, subscribed, "subscription_update", whole=True)
    put_before(made, 12)
    hear(double, alice_client)
    assert balance(organisation) == TEN + 2 * CREDIT
    all_is_well()
