"""The nightly comparison with Stripe: silent when all is well, and it shows every difference."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Organisation, User
from billing import ledger_payments, reconciliation, tasks
from billing.models import Difference, Reconciliation, Refund, TopUp
from portal.lib.money import NANOS_PER_CENT
from tests.billing.money import audit_is_clean
from tests.billing.payments import TEN, balance, begin, hear
from tests.billing.stripe_double import StripeDouble

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


def differences() -> set[tuple[str, str, int, int]]:
    """Compare; kind, id, Stripe's cents, the ledger's cents."""
    run = reconciliation.reconcile()
    assert run is not None
    assert (run.error, run.finished_at is not None) == ("", True)
    rows = Difference.objects.filter(reconciliation=run)
    assert run.num_differences == len(rows)
    return {(row.kind, row.stripe_id, row.stripe_cents, row.ledger_cents) for row in rows}


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
        ("payment", unheard["payment_intent"], 2500, 0),
        ("refund", refund["id"], 700, 0),
        ("dispute", dispute["id"], 2500, 0),
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
        ("payment", "pi_x", 0, 5),
        ("refund", Refund.objects.get().pk, 0, 2500),
    }


def test_an_amount_that_differs_stands_in_the_comparison(
    double: StripeDouble, paid: list[str]
) -> None:
    double.objects[paid[1]]["amount_received"] = 2499
    assert differences() == {("payment", paid[1], 2499, 2500)}


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


def test_more_than_a_page_is_read_to_its_end(
    double: StripeDouble, alice_client: Client, paid: list[str]
) -> None:
    for _ in range(105):
        double.refund(paid[0], 1)
    double.post.losing = True
    last = double.refund(paid[0], 2)
    hear(double, alice_client)
    assert differences() == {("refund", last["id"], 2, 0)}


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
    assert all(text in shown for text in (paid[1], "2499", "2500"))
