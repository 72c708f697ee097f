"""The nightly comparison with Stripe: silent when all is well, and it shows every difference."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Organisation, User
from billing import ledger, ledger_payments, postpaid, reconciliation, tasks
from billing.models import (
    Difference,
    MeterBatch,
    PostPaid,
    Reconciliation,
    Refund,
    StripeCustomer,
    Subscription,
    TopUp,
)
from portal.lib.money import NANOS_PER_CENT, NANOS_PER_DOLLAR
from tests.billing.money import audit_is_clean, draft, hold
from tests.billing.payments import TEN, balance, begin, hear, make_plan, told
from tests.billing.stripe_double import StripeDouble, subscriptions

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _compare_what_was_just_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "SETTLES", timedelta(minutes=-1))


@pytest.fixture
def paid(double: StripeDouble, alice_client: Client, organisation: Organisation) -> list[str]:
    """Payments of three top-ups, all credited: their ids at Stripe, oldest first."""
    for token in "abc":
        begin(alice_client, token=token)
    for session_id in double.sessions:
        double.pay(session_id)
    hear(double, alice_client)
    return [each["id"] for each in double.all("payment_intent")][::-1]


@pytest.fixture
def unheard(double: StripeDouble, alice_client: Client) -> str:
    """A plan that is paid for while webhooks are lost: its subscription at Stripe."""
    plan = make_plan(double)
    double.post.losing = True
    alice_client.post(reverse("billing_subscribe", args=[plan.pk]), {"form_token": "t"})
    double.pay(next(iter(double.sessions)))
    [subscription] = double.all("subscription")
    return str(subscription["id"])


def differences() -> set[tuple[str, str, int, int]]:
    """Compare; kind, id, Stripe's nanos, the ledger's nanos."""
    run = reconciliation.reconcile()
    assert run is not None
    assert (run.error, run.finished_at is not None) == ("", True)
    rows = Difference.objects.filter(reconciliation=run)
    assert run.num_differences == len(rows)
    return {(row.kind, row.stripe_id, row.stripe_nanos, row.ledger_nanos) for row in rows}


def test_when_both_agree_there_is_no_difference(
    double: StripeDouble, alice_client: Client, paid: list[str]
) -> None:
    double.refund(paid[0], 700)
    won = double.dispute(paid[1])
    double.close_dispute(won["id"], won=True)
    double.dispute(paid[2])
    hear(double, alice_client)
    tasks.reconcile()
    run = Reconciliation.objects.get()
    assert (run.compared, run.num_differences, run.error) == (6, 0, "")
    audit_is_clean()


def test_whatever_webhooks_were_lost_stands_in_the_comparison(
    double: StripeDouble, alice_client: Client, paid: list[str]
) -> None:
    begin(alice_client, token="d")
    double.post.losing = True
    unheard = double.pay(TopUp.objects.get(state="created").checkout_session_id or "")
    refund = double.refund(paid[0], 700)
    dispute = double.dispute(paid[1])
    assert differences() == {
        ("payment", unheard["payment_intent"], 2500 * NANOS_PER_CENT, 0),
        ("refund", refund["id"], 700 * NANOS_PER_CENT, 0),
        ("dispute", dispute["id"], 2500 * NANOS_PER_CENT, 0),
    }


def test_what_stripe_does_not_know_stands_in_the_comparison(
    double: StripeDouble, alice_client: Client, organisation: Organisation, paid: list[str]
) -> None:
    ledger_payments.record_payment(
        organisation.id, 5 * NANOS_PER_CENT, reference="payment:pi_x", description=""
    )
    double.down = True
    top_up = TopUp.objects.get(payment_intent_id=paid[0])
    alice_client.post(reverse("billing_refund", args=[top_up.pk]), {"form_token": "t"})
    double.down = False
    assert differences() == {
        ("payment", "pi_x", 0, 5 * NANOS_PER_CENT),
        ("refund", Refund.objects.get().pk, 0, 2500 * NANOS_PER_CENT),
    }


def test_an_amount_that_differs_stands_in_the_comparison(
    double: StripeDouble, paid: list[str]
) -> None:
    double.objects[paid[1]]["amount_received"] = 2499
    seen = ("payment", paid[1], 2499 * NANOS_PER_CENT, 2500 * NANOS_PER_CENT)
    assert differences() == {seen}


def test_the_ends_of_the_window_hide_nothing(double: StripeDouble, paid: list[str]) -> None:
    long_ago = int((timezone.now() - timedelta(days=40)).timestamp())
    double.objects[paid[0]]["created"] = long_ago  # made before the window, credited in it
    assert differences() == set()


def test_another_business_of_the_same_stripe_account_is_left_alone(
    double: StripeDouble, paid: list[str]
) -> None:
    theirs = double._succeed(double._intent(500, "usd", None))
    double.refund(theirs["id"])
    assert differences() == set()


def test_an_invoice_that_was_paid_by_transfer_is_compared_by_itself(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    use_on_credit(organisation, 5 * NANOS_PER_DOLLAR)
    [subscription] = double.all("subscription")
    invoice = subscriptions.invoice(double, subscription["id"])
    for each in double.all("invoice_payment"):
        del double.objects[each["id"]], double.objects[each["payment"]["payment_intent"]]
    double.post.waiting = [each for each in double.events if each["type"] == "invoice.paid"]
    hear(double, alice_client)
    assert TopUp.objects.get().payment_intent_id == invoice["id"]
    assert differences() == set()
    invoice["amount_paid"] = 499
    paid = (499 * NANOS_PER_CENT, 500 * NANOS_PER_CENT)
    assert differences() == {("payment", invoice["id"], *paid)}


def use_on_credit(organisation: Organisation, nanos: int) -> None:
    """So much more than the ten dollars that were given, told to the meter."""
    postpaid.turn_on(organisation, 100 * NANOS_PER_DOLLAR, "operator@example.com")
    hold("req_1", organisation.pk, TEN + nanos)
    ledger.settle("req_1", draft(TEN + nanos))
    tasks.tell_usage()


def test_a_customer_that_is_gone_from_stripe_is_a_difference_and_hides_no_other(
    double: StripeDouble, organisation: Organisation
) -> None:
    use_on_credit(organisation, 700)
    long_ago = timezone.now() - timedelta(minutes=30)
    MeterBatch.objects.update(attempted_at=long_ago, sent_at=long_ago)
    customer_id = StripeCustomer.objects.get().customer_id
    double.delete_customer(customer_id)
    assert differences() == {("usage", customer_id, 0, 700)}


def test_what_the_meter_counted_is_what_it_was_told(
    double: StripeDouble, organisation: Organisation
) -> None:
    use_on_credit(organisation, 700)
    minutes_ago = timezone.now() - timedelta(minutes=30)
    MeterBatch.objects.update(attempted_at=minutes_ago, sent_at=minutes_ago)
    [event] = double.all("billing.meter_event")
    event["created"] = int(minutes_ago.timestamp())
    assert differences() == set()
    event["payload"]["value"] = "699"
    customer_id = event["payload"]["stripe_customer_id"]
    assert differences() == {("usage", customer_id, 699, 700)}
    del double.objects[event["id"]]
    assert differences() == {("usage", customer_id, 0, 700)}
    event["payload"]["value"] = "700"
    double.objects |= {"mev_1": event, "mev_2": {**event, "identifier": "again"}}
    assert differences() == {("usage", customer_id, 1400, 700)}


def test_a_batch_that_is_on_its_way_or_at_an_end_of_the_window_is_no_difference(
    double: StripeDouble, organisation: Organisation
) -> None:
    use_on_credit(organisation, 700)
    for batch in ({"sent_at": None}, {"sent_at": timezone.now()}):
        MeterBatch.objects.update(**batch)
        [event] = double.all("billing.meter_event")
        for counted in (event["created"], event["created"] + 600):
            double.objects[event["id"]] = {**event, "created": counted}
            assert differences() == set()
        double.objects[event["id"]] = event


def test_more_than_a_page_is_read_to_its_end(
    double: StripeDouble, alice_client: Client, paid: list[str]
) -> None:
    for _ in range(105):
        double.refund(paid[0], 1)
    double.post.losing = True
    last = double.refund(paid[0], 2)
    hear(double, alice_client)
    assert differences() == {("refund", last["id"], 2 * NANOS_PER_CENT, 0)}


def test_while_stripe_is_down_the_run_says_so_and_the_next_one_compares(
    double: StripeDouble, paid: list[str]
) -> None:
    double.down = True
    run = reconciliation.reconcile()
    assert run is not None
    assert (run.finished_at, run.error != "") == (None, True)
    double.down = False
    assert differences() == set()


def test_a_payment_whose_webhook_was_lost_is_credited_all_the_same(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    double.post.losing = True
    for token in "abc":
        begin(alice_client, token=token)
    first, second, _third = double.sessions
    double.pay(first)
    double.expire(second)
    for _ in range(2):
        tasks.catch_up()
    assert sorted(TopUp.objects.values_list("state", flat=True)) == ["created", "expired", "paid"]
    assert balance(organisation) == TEN + 2500 * NANOS_PER_CENT
    audit_is_clean()


def test_many_pages_that_nobody_pays_keep_no_payment_waiting(
    double: StripeDouble, alice_client: Client, organisation: Organisation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(reconciliation, "PAGES_AT_ONCE", 1)
    double.post.losing = True
    for token in "abc":
        begin(alice_client, token=token)
    double.pay(list(double.sessions)[-1])
    for _ in range(100):  # each asks of one of three, by chance
        tasks.catch_up()
    assert balance(organisation) == TEN + 2500 * NANOS_PER_CENT


def test_invoices_whose_webhooks_were_lost_are_credited_or_told_again(
    double: StripeDouble, organisation: Organisation
) -> None:
    use_on_credit(organisation, 5 * NANOS_PER_DOLLAR)
    double.post.losing = True
    [subscription] = double.all("subscription")
    subscriptions.void(double, subscriptions.invoice(double, subscription["id"], paid=False)["id"])
    assert differences() == set()
    tasks.tell_usage()
    assert told(double) == [5 * NANOS_PER_DOLLAR] * 2
    subscriptions.invoice(double, subscription["id"])
    for _ in range(2):
        assert differences() == set()
    assert balance(organisation) == 0
    audit_is_clean()


def test_a_plan_whose_webhooks_were_lost_gives_its_credit_and_an_end_is_heard_of(
    double: StripeDouble, organisation: Organisation, unheard: str
) -> None:
    assert differences() == set()
    assert balance(organisation) == TEN + 2200 * NANOS_PER_CENT
    known = Subscription.objects.get()
    use_on_credit(organisation, 2200 * NANOS_PER_CENT + 1)
    for each in double.all("subscription"):
        subscriptions.cancel(double, each["id"])
    assert differences() == set()
    known.refresh_from_db()
    assert (known.is_live, PostPaid.objects.get().active) == (False, False)
    audit_is_clean()


def test_an_invoice_that_is_refused_is_a_difference_and_hides_no_other(
    double: StripeDouble, organisation: Organisation, unheard: str
) -> None:
    for currency in ("usd", "eur", "usd"):
        subscriptions.invoice(double, unheard)["currency"] = currency
    [refused] = differences()
    assert (refused[0], refused[3]) == ("payment", 0)
    assert balance(organisation) == TEN + 3 * 2200 * NANOS_PER_CENT
    audit_is_clean()


def test_without_stripe_nothing_is_compared(organisation: Organisation) -> None:
    tasks.reconcile()
    tasks.catch_up()
    assert not Reconciliation.objects.exists()


def test_the_console_compares_and_shows_each_difference(
    double: StripeDouble, alice: User, alice_client: Client, paid: list[str]
) -> None:
    double.objects[paid[1]]["amount_received"] = 2499
    address = reverse("admin:billing_reconcile")
    assert alice_client.post(address).status_code == 302, "to the sign-in of operators"
    assert not Reconciliation.objects.exists()
    User.objects.update(is_staff=True, is_superuser=True)
    assert alice_client.get(address).status_code == 405
    page = alice_client.post(address, follow=True).content.decode()
    assert "Compared 3; differences: 1." in page
    run = Reconciliation.objects.get()
    detail = reverse("admin:billing_reconciliation_change", args=[run.pk])
    shown = alice_client.get(detail).content.decode()
    assert all(text in shown for text in (paid[1], "$24.99", "$25.00"))
