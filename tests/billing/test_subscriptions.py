"""Plans: each paid period gives its credit once, whatever Stripe tells, in any order."""

import pytest
from django.core import mail
from django.db import IntegrityError
from django.test import Client
from django.urls import reverse

from accounts import audit
from accounts.models import Organisation
from billing import invoices, ledger, postpaid, tasks, topups
from billing.models import Plan, PostPaid, Subscription, TopUp, Transfer, WebhookDelivery
from portal.lib.ids import new_id
from portal.lib.money import NANOS_PER_CENT, NANOS_PER_DOLLAR
from tests.billing.money import audit_is_clean, draft, hold
from tests.billing.payments import TEN, balance, hear, run_jobs, told
from tests.billing.plans import CREDIT, all_is_well
from tests.billing.stripe_double import StripeDouble, subscriptions

pytestmark = pytest.mark.django_db(transaction=True)


def test_subscribing_gives_the_first_periods_credit(
    subscribed: str, organisation: Organisation, alice_client: Client
) -> None:
    assert balance(organisation) == TEN + CREDIT
    payment = TopUp.objects.get()
    assert (payment.source, payment.amount_cents, payment.discount_cents) == (
        "subscription", 2200, 200,
    )  # fmt: skip
    page = alice_client.get(reverse("billing")).content.decode()
    assert "Team" in page
    assert "Active" in page
    assert Transfer.objects.filter(description="Subscription: Team").exists()
    all_is_well()


def test_each_period_gives_its_credit_once(
    double: StripeDouble, alice_client: Client, organisation: Organisation, subscribed: str
) -> None:
    for _ in range(2):
        invoice = subscriptions.invoice(double, subscribed)
        double.emit("invoice.paid", invoice)
    hear(double, alice_client)
    WebhookDelivery.objects.update(processed_at=None, attempts=0)
    run_jobs()
    assert balance(organisation) == TEN + 3 * CREDIT
    all_is_well()


def test_events_in_any_order_end_the_same(
    double: StripeDouble, alice_client: Client, organisation: Organisation, paid_for: None
) -> None:
    [made] = double.all("subscription")
    subscriptions.invoice(double, made["id"])
    subscriptions.cancel(double, made["id"])
    double.post.waiting = double.post.waiting[::-1] * 2
    hear(double, alice_client)
    assert not WebhookDelivery.objects.exclude(error="").exists()
    assert balance(organisation) == TEN + 2 * CREDIT
    assert Subscription.objects.get().status == "canceled"
    all_is_well()


def test_the_end_of_one_that_an_operator_gave_another_price_is_heard_of(
    double: StripeDouble, alice_client: Client, subscribed: str
) -> None:
    other = subscriptions.make_plan_price(double, 900)  # of no plan
    double.get("subscription", subscribed)["items"]["data"][0]["price"] = other
    subscriptions.cancel(double, subscribed)
    hear(double, alice_client)
    assert Subscription.objects.get().status == "canceled"


@pytest.mark.parametrize("told_as", ["invoice.paid", "invoice.voided", "invoice.payment_failed"])
def test_of_a_top_ups_invoice_and_of_one_that_is_something_else_by_now_nothing_follows(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp,
    subscribed: str, told_as: str,
) -> None:  # fmt: skip
    of_plan = subscriptions.invoice(double, subscribed, paid=False)
    hear(double, alice_client)
    mails = len(mail.outbox)
    of_plan["status"] = "uncollectible"
    before = balance(organisation)
    for invoice in (double.get("invoice", top_up.invoice_id), of_plan):
        double.emit(told_as, invoice)
    hear(double, alice_client)
    assert not WebhookDelivery.objects.exclude(error="").exists()
    assert (balance(organisation), len(mail.outbox)) == (before, mails)
    all_is_well()


def test_a_payment_that_fails_gives_nothing_and_payers_are_told(
    double: StripeDouble, alice_client: Client, organisation: Organisation, subscribed: str
) -> None:
    invoice = subscriptions.invoice(double, subscribed, paid=False)
    hear(double, alice_client)
    assert balance(organisation) == TEN + CREDIT
    assert Subscription.objects.get().status == "past_due"
    [message] = mail.outbox
    assert "$20.00" in message.subject
    assert invoice["hosted_invoice_url"] in str(message.body)
    assert "past due" in alice_client.get(reverse("billing")).content.decode().lower()
    subscriptions.pay(double, invoice["id"])
    hear(double, alice_client)
    assert balance(organisation) == TEN + 2 * CREDIT
    assert len(mail.outbox) == 1


def test_it_ends_with_its_period_and_can_go_on_after_all(
    double: StripeDouble, organisation: Organisation, alice_client: Client, charlie_client: Client,
    subscribed: str,
) -> None:  # fmt: skip
    address = reverse("billing_end_subscription", args=[subscribed])
    assert charlie_client.post(address).status_code == 404
    alice_client.post(address)
    assert Subscription.objects.get().cancels
    assert double.objects[subscribed]["cancel_at_period_end"] is True
    alice_client.post(address, {"go_on": "yes"})
    alice_client.post(address, {"go_on": "yes"})
    assert not Subscription.objects.get().cancels
    logged = [
        (entry.changes_dict["subscription.cancels"], entry.actor_email)
        for entry in audit.entries(organisation)
        if "subscription.cancels" in entry.changes_dict
    ]
    assert logged == [
        (["True", "False"], "alice@example.com"),
        (["False", "True"], "alice@example.com"),
    ]
    page = alice_client.get(reverse("members")).content.decode()
    assert page.count("end of the subscription with its period") == 2


def test_a_refund_takes_what_was_given_beside_it_as_well(
    double: StripeDouble, alice_client: Client, organisation: Organisation, subscribed: str
) -> None:
    top_up = TopUp.objects.get()
    double.refund(top_up.payment_intent_id or "", 1000)
    hear(double, alice_client)
    assert balance(organisation) == TEN + CREDIT // 2
    all_is_well()


def test_a_refund_told_before_its_invoice_waits(
    double: StripeDouble, alice_client: Client, organisation: Organisation, paid_for: None
) -> None:
    double.refund(double.all("payment_intent")[0]["id"])
    double.post.waiting.reverse()
    hear(double, alice_client)
    run_jobs()
    assert balance(organisation) == TEN
    all_is_well()


# --- What an invoice credits ---------------------------------------------------------------------


def test_what_stripes_balance_paid_was_credited_before(
    double: StripeDouble, alice_client: Client, organisation: Organisation, subscribed: str
) -> None:
    subscriptions.invoice(double, subscribed, balance=1500)  # after a cheaper plan, say
    subscriptions.invoice(double, subscribed, balance=2000)
    hear(double, alice_client)
    assert balance(organisation) == TEN + CREDIT + CREDIT // 4
    all_is_well()


def test_a_change_of_plans_credits_what_was_paid_for_it(
    double: StripeDouble, alice_client: Client, organisation: Organisation, subscribed: str
) -> None:
    subscriptions.invoice(double, subscribed, "subscription_update", subtotal=700, tax=56)
    subscriptions.invoice(double, subscribed, "subscription_update", subtotal=-300)
    hear(double, alice_client)
    assert balance(organisation) == TEN + CREDIT + 700 * NANOS_PER_CENT
    all_is_well()


def test_what_a_change_of_plans_left_with_a_periods_invoice_is_told_apart(
    double: StripeDouble, alice_client: Client, organisation: Organisation, subscribed: str
) -> None:
    """Stripe adds what a change within a period costs, or was paid too much, to the next one's."""
    subscriptions.invoice(double, subscribed, subtotal=2000 + 500)
    hear(double, alice_client)
    assert balance(organisation) == TEN + 2 * CREDIT + 500 * NANOS_PER_CENT
    subscriptions.invoice(double, subscribed, subtotal=2000 - 1500)
    hear(double, alice_client)
    assert balance(organisation) == TEN + 2 * CREDIT + 500 * NANOS_PER_CENT + CREDIT // 4
    all_is_well()


def test_an_invoice_paid_after_a_change_to_another_plan_gives_what_its_own_does(
    double: StripeDouble, alice_client: Client, organisation: Organisation, subscribed: str,
    large: Plan,
) -> None:  # fmt: skip
    """Its card had failed meanwhile."""
    old = subscriptions.invoice(double, subscribed, paid=False)
    item = double.objects[subscribed]["items"]["data"][0]
    item["price"] = double.get("price", large.stripe_price_id)
    subscriptions.pay(double, old["id"])
    hear(double, alice_client)
    assert balance(organisation) == TEN + 2 * CREDIT
    all_is_well()


def test_a_change_to_another_interval_begins_a_period(
    double: StripeDouble, alice_client: Client, organisation: Organisation, subscribed: str
) -> None:
    subscriptions.invoice(double, subscribed, "subscription_update", whole=True)
    hear(double, alice_client)
    assert balance(organisation) == TEN + 2 * CREDIT
    all_is_well()


def test_codes_and_tax_leave_the_credit_as_it_is(
    double: StripeDouble, alice_client: Client, organisation: Organisation, subscribed: str
) -> None:
    subscriptions.invoice(double, subscribed, discount=500, tax=120)
    subscriptions.invoice(double, subscribed, discount=2000)
    hear(double, alice_client)
    assert balance(organisation) == TEN + 3 * CREDIT
    all_is_well()


def owe(organisation: Organisation, nanos: int) -> None:
    """So much more is used than there is, and told to Stripe's meter."""
    use = balance(organisation) + nanos
    request_id = new_id("req")
    hold(request_id, organisation.pk, use)
    ledger.settle(request_id, draft(use))
    tasks.tell_usage()


def subscription_of_usage(double: StripeDouble, organisation: Organisation) -> str:
    postpaid.turn_on(organisation, 100 * NANOS_PER_DOLLAR, "operator@example.com")
    tasks.tell_usage()
    return PostPaid.objects.get().subscription_id or ""


@pytest.mark.parametrize("order", [1, -1])
def test_what_usage_left_is_paid_with_a_plans_invoice_and_told_no_more(
    double: StripeDouble, alice_client: Client, organisation: Organisation, subscribed: str,
    order: int,
) -> None:  # fmt: skip
    """Thirty cents with six of tax, on the customer's balance at Stripe; then a period's."""
    usage = subscription_of_usage(double, organisation)
    owe(organisation, 30 * NANOS_PER_CENT)
    subscriptions.invoice(double, usage, tax=6)
    subscriptions.invoice(double, subscribed, tax=400)
    double.post.waiting = double.post.waiting[::order]
    hear(double, alice_client)
    newest = TopUp.objects.latest("created_at")
    assert (newest.amount_cents, newest.discount_cents, newest.tax_cents) == (2230, 200, 406)
    assert balance(organisation) == CREDIT
    owe(organisation, 40 * NANOS_PER_CENT)
    assert told(double) == [30 * NANOS_PER_CENT, 40 * NANOS_PER_CENT]
    audit_is_clean()


def test_what_a_plan_left_is_paid_with_an_invoice_of_usage_and_settles_none(
    double: StripeDouble, alice_client: Client, organisation: Organisation, subscribed: str
) -> None:
    usage = subscription_of_usage(double, organisation)
    subscriptions.invoice(double, subscribed, "subscription_update", subtotal=30)
    owe(organisation, 100 * NANOS_PER_CENT)
    subscriptions.invoice(double, usage)
    hear(double, alice_client)
    assert balance(organisation) == 30 * NANOS_PER_CENT
    owe(organisation, 20 * NANOS_PER_CENT)
    assert told(double) == [100 * NANOS_PER_CENT, 20 * NANOS_PER_CENT]
    audit_is_clean()


def test_a_price_that_includes_its_tax_gives_all_of_the_credit(
    double: StripeDouble, alice_client: Client, organisation: Organisation, subscribed: str
) -> None:
    invoice = subscriptions.invoice(double, subscribed, paid=False)
    invoice["total_taxes"] = [{"amount": 319, "tax_behavior": "inclusive"}]
    subscriptions.pay(double, invoice["id"])
    hear(double, alice_client)
    assert balance(organisation) == TEN + 2 * CREDIT
    newest = TopUp.objects.latest("created_at")
    assert (newest.amount_cents, newest.paid_cents, newest.tax_cents) == (2200, 2000, 319)
    all_is_well()


def test_a_trial_gives_nothing(
    double: StripeDouble, alice_client: Client, organisation: Organisation, subscribed: str
) -> None:
    subscriptions.invoice(double, subscribed, subtotal=0)
    hear(double, alice_client)
    assert balance(organisation) == TEN + CREDIT


def test_what_is_carried_to_an_invoice_of_nothing_is_credited(
    double: StripeDouble, alice_client: Client, organisation: Organisation, subscribed: str
) -> None:
    customer = double.get("customer", double.get("subscription", subscribed)["customer"])
    customer["balance"] = 60
    subscriptions.invoice(double, subscribed, subtotal=0)
    hear(double, alice_client)
    assert balance(organisation) == TEN + CREDIT + 60 * NANOS_PER_CENT
    all_is_well()


def test_an_invoice_of_which_another_payment_is_told_later_is_credited_once(
    double: StripeDouble, alice_client: Client, organisation: Organisation, subscribed: str
) -> None:
    invoice = subscriptions.invoice(double, subscribed)
    hear(double, alice_client)
    payment = next(
        each for each in double.all("invoice_payment") if each["invoice"] == invoice["id"]
    )
    payment["payment"]["payment_intent"] = double.make("payment_intent", "pi")["id"]
    double.emit("invoice.paid", invoice)
    hear(double, alice_client)
    assert balance(organisation) == TEN + 2 * CREDIT
    audit_is_clean()


def test_a_price_that_is_no_plans_credits_nobody(
    double: StripeDouble, alice_client: Client, organisation: Organisation, subscribed: str
) -> None:
    Plan.objects.update(stripe_price_id="price_other")
    invoice = subscriptions.invoice(double, subscribed)
    with pytest.raises(topups.PaymentRefused, match="no plan"):
        invoices.hear_paid(invoice["id"])
    hear(double, alice_client)
    assert balance(organisation) == TEN + CREDIT


def test_what_was_paid_in_another_currency_credits_nobody(
    double: StripeDouble, alice_client: Client, organisation: Organisation, subscribed: str
) -> None:
    invoice = subscriptions.invoice(double, subscribed)
    invoice["currency"] = "eur"
    with pytest.raises(topups.PaymentRefused, match="'eur', not in US dollars"):
        invoices.hear_paid(invoice["id"])
    hear(double, alice_client)
    assert balance(organisation) == TEN + CREDIT


def test_the_credit_is_used_like_any_other(subscribed: str, organisation: Organisation) -> None:
    hold("req_1", organisation.pk, TEN + CREDIT)
    ledger.settle("req_1", draft(TEN + CREDIT))
    assert balance(organisation) == 0


def test_a_plan_gives_at_least_what_it_costs(plan: Plan) -> None:
    with pytest.raises(IntegrityError):
        Plan.objects.update(credit_cents=1999)
