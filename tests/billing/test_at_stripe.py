"""What Stripe itself must agree to: driven through its API alone, so it runs against either.

Against the stand-in in `make test`; against Stripe with `make test-stripe` and test keys. What
needs a hand on a hosted page is begun, not paid.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings as Settings
from django.test import Client
from django.urls import reverse

from accounts.models import Organisation
from billing import autotopup, customers, postpaid, reconciliation, refunds, stripe_api, topups
from billing import stripe_billing as calls
from billing.models import AutoTopUp, Dispute, MeterBatch, Plan, StripeCustomer, TopUp
from portal.lib.money import NANOS_PER_CENT, NANOS_PER_DOLLAR
from tests.billing.money import audit_is_clean, draft, hold
from tests.billing.payments import TEN, balance, deliver, run_jobs
from tests.billing.stripe_double import SECRET_KEY, WEBHOOK_SECRET, stripe_double

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
# Only where it is asked for: a key that happens to be in the environment is not used.
KEY = os.environ.get("STRIPE_TEST_SECRET_KEY", "") if "AGAINST_STRIPE" in os.environ else ""


class Side:
    """Stripe, or its stand-in: its API, and its events carried to the site by hand."""

    def __init__(self, site: Client, patience_s: float) -> None:
        self.api = stripe_api.client()
        self.site = site
        self.patience_s = patience_s
        self.since = int(time.time()) - 1
        self.heard: set[str] = set()

    def hear_until(self, condition: Callable[[], object]) -> None:
        """Deliver what happened since the test began, until the condition holds."""
        until = time.monotonic() + self.patience_s
        while True:
            events = self.api.v1.events.list({"created": {"gte": self.since}, "limit": 100})
            for event in reversed(list(events.auto_paging_iter())):
                if event.id not in self.heard:
                    self.heard.add(event.id)
                    deliver(self.site, json.loads(str(event)))
            run_jobs()
            if condition():
                return
            assert time.monotonic() < until, "Stripe has not told it"
            time.sleep(1)

    def card(self, organisation: Organisation, name: str) -> None:
        """Save one of Stripe's test cards, as if by its page."""
        customer_id = customers.customer_of(organisation).customer_id
        card = self.api.v1.payment_methods.attach(name, {"customer": customer_id})
        self.api.v1.customers.update(
            customer_id, {"invoice_settings": {"default_payment_method": card.id}}
        )
        customers.refresh(customer_id)


@pytest.fixture
def side(
    alice_client: Client, settings: Settings, reference_data: Callable[[str], Path]
) -> Iterator[Side]:
    settings.STRIPE_WEBHOOK_SECRET = WEBHOOK_SECRET
    if KEY:
        settings.STRIPE_SECRET_KEY = KEY
        yield Side(alice_client, patience_s=90)
        return
    reference_data("stripe/fixtures3.json")
    with stripe_double() as double:
        settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = SECRET_KEY, double.url
        yield Side(alice_client, patience_s=0)


def charge(side: Side, organisation: Organisation, card: str) -> TopUp:
    """An automatic top-up of 25 dollars."""
    side.card(organisation, card)
    autotopup.turn_on(organisation, 2000, 2500, 10_000, "alice@example.com")
    autotopup.run()
    return TopUp.objects.get()


def test_a_saved_card_is_charged_and_credited_once(side: Side, organisation: Organisation) -> None:
    top_up = charge(side, organisation, "pm_card_visa")
    assert StripeCustomer.objects.get().card_last4 == "4242"
    assert top_up.state == "paid"
    side.hear_until(lambda: True)
    autotopup.attempt(top_up)  # the answer was lost: the same key, the same payment
    assert balance(organisation) == TEN + 2500 * NANOS_PER_CENT
    assert stripe_api.receipt_page(top_up).startswith("http")
    audit_is_clean()


@pytest.mark.parametrize(
    ("card", "state", "failure"),
    [
        ("pm_card_chargeCustomerFail", "active", "card_declined"),
        ("pm_card_authenticationRequired", "needs_consent", "authentication_required"),
    ],
)
def test_a_card_that_is_refused_credits_nothing(
    side: Side, organisation: Organisation, card: str, state: str, failure: str
) -> None:
    top_up = charge(side, organisation, card)
    assert (top_up.state, top_up.failure) == ("failed", failure)
    assert AutoTopUp.objects.get().state == state
    assert balance(organisation) == TEN


def test_what_is_unused_goes_back_once(side: Side, organisation: Organisation) -> None:
    top_up = charge(side, organisation, "pm_card_visa")
    for _ in range(2):
        refund = refunds.ask(top_up, "once", "alice@example.com")
    assert refund.stripe_refund_id is not None
    side.hear_until(lambda: True)
    assert balance(organisation) == TEN
    audit_is_clean()


def test_a_refund_from_the_dashboard_is_heard_of(side: Side, organisation: Organisation) -> None:
    top_up = charge(side, organisation, "pm_card_visa")
    side.api.v1.refunds.create({"payment_intent": top_up.payment_intent_id or "", "amount": 700})
    side.hear_until(lambda: TopUp.objects.get().refunded_cents == 700)
    assert balance(organisation) == TEN + 1800 * NANOS_PER_CENT
    audit_is_clean()


def test_a_dispute_takes_the_payment_back(side: Side, organisation: Organisation) -> None:
    charge(side, organisation, "pm_card_createDispute")
    side.hear_until(lambda: Dispute.objects.filter(taken=True).exists())
    organisation.refresh_from_db()
    assert organisation.suspended_at is not None
    assert balance(organisation) == TEN
    audit_is_clean()


def test_a_payment_page_is_made_once(
    side: Side, organisation: Organisation, settings: Settings
) -> None:
    settings.STRIPE_PROMOTION_CODES = True
    first, again = (
        topups.begin(organisation, 2500, "form1", "alice@example.com") for _ in range(2)
    )
    assert first.checkout_session_id == again.checkout_session_id
    session = stripe_api.fetch_checkout(first.checkout_session_id or "")
    assert (session.status, session.subtotal_cents, session.currency) == ("open", 2500, "usd")
    assert not topups.credit(session)
    assert stripe_api.create_card_page(session.customer_id).startswith("http")


def test_usage_is_told_to_the_meter_once(side: Side, organisation: Organisation) -> None:
    side.card(organisation, "pm_card_visa")
    postpaid.turn_on(organisation, 100 * NANOS_PER_DOLLAR, "operator@example.com")
    hold("req_1", organisation.pk, TEN + NANOS_PER_DOLLAR)
    from billing import ledger

    ledger.settle("req_1", draft(TEN + NANOS_PER_DOLLAR))
    postpaid.run()
    batch = MeterBatch.objects.get()
    assert (batch.amount_nanos, batch.error) == (NANOS_PER_DOLLAR, "")
    assert batch.sent_at is not None
    customer_id = StripeCustomer.objects.get().customer_id
    calls.tell_usage(batch, customer_id)  # the answer was lost
    until = time.monotonic() + side.patience_s
    since = batch.created_at - timedelta(minutes=5)
    while calls.told_nanos(customer_id, since, batch.sent_at) < NANOS_PER_DOLLAR:
        assert time.monotonic() < until, "the meter has not counted it"
        time.sleep(2)
    assert calls.told_nanos(customer_id, since, batch.sent_at) == NANOS_PER_DOLLAR


def test_a_plans_first_invoice_is_credited_once(side: Side, organisation: Organisation) -> None:
    price = side.api.v1.prices.create(
        {
            "currency": "usd", "unit_amount": 2000, "recurring": {"interval": "month"},
            "product_data": {"name": "Team"},
        }
    )  # fmt: skip
    cents, interval = calls.fetch_price(price.id)
    Plan.objects.create(
        name="Team", stripe_price_id=price.id, price_cents=cents, interval=interval,
        credit_cents=2200,
    )  # fmt: skip
    side.card(organisation, "pm_card_visa")
    customer_id = StripeCustomer.objects.get().customer_id
    made = side.api.v1.subscriptions.create(
        {"customer": customer_id, "items": [{"price": price.id}]}
    )
    side.hear_until(lambda: organisation.subscriptions.exists() and TopUp.objects.exists())
    assert balance(organisation) == TEN + 2200 * NANOS_PER_CENT
    calls.end_with_period(made.id, ends=True)
    side.hear_until(lambda: organisation.subscriptions.get().cancels)
    calls.cancel(made.id)
    calls.cancel(made.id)  # as good
    side.hear_until(lambda: organisation.subscriptions.get().status == "canceled")
    audit_is_clean()


def test_the_comparison_finds_no_difference(
    side: Side, organisation: Organisation, alice_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    top_up = charge(side, organisation, "pm_card_visa")
    refunds.ask(top_up, "once", "alice@example.com")
    monkeypatch.setattr(reconciliation, "SETTLES", timedelta(minutes=-1))
    monkeypatch.setattr(reconciliation, "WINDOW", timedelta(minutes=1))
    run = reconciliation.reconcile()
    assert run is not None
    assert run.error == ""
    mine = {top_up.payment_intent_id, top_up.refunds.get().stripe_refund_id}
    assert not run.differences.filter(stripe_id__in=mine).exists()
    assert alice_client.get(reverse("billing")).status_code == 200
