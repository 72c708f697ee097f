"""What the tests of billing share: a stand-in for Stripe."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings as Settings
from django.test import Client

from accounts.models import Organisation
from billing.models import Plan, Subscription, TopUp
from tests.billing.payments import begin, hear, make_plan
from tests.billing.plans import subscribe
from tests.billing.saved_cards import save_card, turn_on
from tests.billing.stripe_double import SECRET_KEY, WEBHOOK_SECRET, StripeDouble, stripe_double


@pytest.fixture
def double(settings: Settings, reference_data: Callable[[str], Path]) -> Iterator[StripeDouble]:
    reference_data("stripe/fixtures3.json")
    with stripe_double() as running:
        settings.STRIPE_SECRET_KEY = SECRET_KEY
        settings.STRIPE_WEBHOOK_SECRET = WEBHOOK_SECRET
        settings.STRIPE_API_BASE = running.url
        yield running


@pytest.fixture
def top_up(double: StripeDouble, alice_client: Client, organisation: Organisation) -> TopUp:
    """Twenty-five dollars paid, beside ten that were given."""
    begin(alice_client)
    double.pay(TopUp.objects.get().checkout_session_id or "")
    hear(double, alice_client)
    return TopUp.objects.get()


@pytest.fixture
def low(double: StripeDouble, alice_client: Client, organisation: Organisation) -> Organisation:
    """Ten dollars are left where the card is charged under twenty."""
    save_card(double, alice_client)
    assert turn_on(alice_client).status_code == 302
    return organisation


@pytest.fixture
def plan(double: StripeDouble) -> Plan:
    """Twenty dollars a month for twenty-two of credit."""
    return make_plan(double)


@pytest.fixture
def large(double: StripeDouble) -> Plan:
    return make_plan(double, "Large", 5000, 6000)


@pytest.fixture
def paid_for(double: StripeDouble, alice_client: Client, plan: Plan) -> None:
    """Alice has just subscribed for her organisation, which nobody here has heard of yet."""
    subscribe(alice_client, plan)
    double.pay(list(double.sessions)[-1])


@pytest.fixture
def subscribed(double: StripeDouble, alice_client: Client, paid_for: None) -> str:
    """The id of Alice's organisation's subscription; its first invoice is paid and heard of."""
    hear(double, alice_client)
    return Subscription.objects.get().pk
