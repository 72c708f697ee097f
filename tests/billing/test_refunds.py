"""Refunds and disputes: never more than the payment, never a balance below zero, never twice."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Organisation, User
from billing import ledger, ledger_payments, refunds, tiers
from billing.models import Refund, TopUp, Transfer, WebhookDelivery
from portal.lib.money import NANOS_PER_CENT
from tests.billing.money import audit_is_clean, draft, hold
from tests.billing.payments import (
    TEN,
    answer_late,
    balance,
    begin,
    deliver,
    hear,
    paid_event,
    run_jobs,
)
from tests.billing.stripe_double import StripeDouble

pytestmark = pytest.mark.django_db(transaction=True)
PAID = 2500 * NANOS_PER_CENT


def use(organisation: Organisation, nanos: int) -> None:
    hold("req_used", organisation.id, nanos)
    ledger.settle("req_used", draft(nanos))


def refund(client: Client, top_up: TopUp, token: str = "once") -> Any:
    address = reverse("billing_refund", args=[top_up.pk])
    return client.post(address, {"form_token": token}, follow=True)


def sent_back(double: StripeDouble) -> list[int]:
    return [each["amount"] for each in double.all("refund")]


# --- By the customer -----------------------------------------------------------------------------


def test_what_is_unused_of_a_payment_goes_back_once(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    use(organisation, TEN + PAID // 5)  # what was given, and five dollars of what was paid
    assert "$20.00 unused" in alice_client.get(reverse("billing")).content.decode()
    for _ in range(2):  # a double click
        assert "$20.00 will be returned" in refund(alice_client, top_up).content.decode()
    hear(double, alice_client)
    assert sent_back(double) == [2000]
    assert balance(organisation) == 0
    assert Refund.objects.get().state == "succeeded"
    assert "can be refunded any more" in refund(alice_client, top_up, "again").content.decode()
    assert tiers.standing(organisation.id).paid_nanos == PAID // 5
    audit_is_clean()


def test_each_of_two_payments_goes_back_by_the_same_page(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    """Whose forms have one token."""
    paid_event(double, alice_client, token="form2")
    hear(double, alice_client)
    use(organisation, TEN + PAID // 5)
    for paid in TopUp.objects.order_by("paid_at"):
        refund(alice_client, paid)
    assert sent_back(double) == [2000, 2500]
    assert balance(organisation) == 0
    audit_is_clean()


def test_credit_that_was_given_is_never_refunded(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    refund(alice_client, top_up)
    assert sent_back(double) == [2500]
    assert balance(organisation) == TEN


def test_what_running_requests_hold_stays(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    hold("req_1", organisation.id, TEN + PAID - 1)
    assert "can be refunded any more" in refund(alice_client, top_up).content.decode()
    assert sent_back(double) == []


def test_after_the_period_it_is_too_late(
    double: StripeDouble, alice_client: Client, top_up: TopUp, settings: Any
) -> None:
    TopUp.objects.update(paid_at=timezone.now() - timedelta(days=settings.REFUND_DAYS, minutes=1))
    assert "unused" not in alice_client.get(reverse("billing")).content.decode().split("<table")[1]
    refund(alice_client, top_up)
    TopUp.objects.update(paid_at=timezone.now())
    settings.REFUND_DAYS = 0
    refund(alice_client, top_up)
    assert sent_back(double) == []


def test_only_those_who_may_pay_may_refund_and_only_their_own(
    double: StripeDouble, bob_client: Client, bob: User, charlie_client: Client, top_up: TopUp
) -> None:
    assert refund(bob_client, top_up).status_code == 403
    assert refund(charlie_client, top_up).status_code == 404
    assert bob_client.get(reverse("billing_refund", args=[top_up.pk])).status_code in {403, 405}
    assert sent_back(double) == []


def test_a_form_without_its_token_is_refused(
    double: StripeDouble, alice_client: Client, top_up: TopUp
) -> None:
    for token in ("", "t" * 41):
        assert refund(alice_client, top_up, token).status_code == 400


def test_while_stripe_is_down_the_credit_is_gone_and_the_refund_goes_out_later_once(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    double.down = True
    refund(alice_client, top_up)
    assert (balance(organisation), Refund.objects.get().state) == (TEN, "created")
    audit_is_clean()
    double.down = False
    double.lost_answers = 3
    refunds.run()
    refunds.run()
    refunds.run()
    assert sent_back(double) == [2500]
    assert Refund.objects.get().state == "succeeded"
    audit_is_clean()


def test_a_refund_whose_answer_was_lost_for_a_day_is_found(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    double.lost_answers = 3
    refund(alice_client, top_up)
    Refund.objects.update(created_at=timezone.now() - timedelta(days=2))
    double.forget()
    refunds.run()
    assert (sent_back(double), Refund.objects.get().state) == ([2500], "succeeded")


def test_a_refund_whose_answer_was_lost_is_known_when_it_is_told(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    double.lost_answers = 3
    refund(alice_client, top_up)
    hear(double, alice_client)
    assert (Refund.objects.get().state, balance(organisation)) == ("succeeded", TEN)
    audit_is_clean()


def test_a_refund_that_never_reached_stripe_gives_the_credit_back(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    double.down = True
    refund(alice_client, top_up)
    double.down = False
    Refund.objects.update(created_at=timezone.now() - timedelta(days=2))
    refunds.run()
    assert (sent_back(double), balance(organisation)) == ([], TEN + PAID)
    audit_is_clean()


def test_a_refund_that_stripe_refuses_gives_the_credit_back(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    double.dispute(top_up.payment_intent_id or "")
    assert "Stripe refused" in refund(alice_client, top_up).content.decode()
    assert balance(organisation) == TEN + PAID
    assert (Refund.objects.get().state, TopUp.objects.get().refunded_cents) == ("failed", 0)
    audit_is_clean()


def test_a_refund_that_the_bank_sends_back_is_credit_again_once(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    refund(alice_client, top_up)
    double.fail_refund(double.all("refund")[0]["id"])
    event = double.events[-1]
    for _ in range(2):
        hear(double, alice_client)
        deliver(alice_client, event)
        WebhookDelivery.objects.update(processed_at=None)
    run_jobs()
    assert balance(organisation) == TEN + PAID
    assert Refund.objects.get().state == "failed"
    audit_is_clean()


def test_the_database_refuses_more_than_the_payment(top_up: TopUp) -> None:
    for refused in (
        lambda: TopUp.objects.update(refunded_cents=2501),
        lambda: TopUp.objects.update(refunded_cents=2000, disputed_cents=501),
        lambda: TopUp.objects.update(state="created", refunded_cents=1),
        lambda: Refund.objects.create(top_up=top_up, amount_cents=0, form_token="a"),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            refused()


# --- From Stripe's dashboard ---------------------------------------------------------------------


def test_a_refund_by_the_operator_takes_what_is_left_and_the_rest_is_our_loss(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    use(organisation, TEN + PAID - NANOS_PER_CENT)
    double.refund(top_up.payment_intent_id or "", 1000)
    hear(double, alice_client)
    assert balance(organisation) == 0
    [lost] = Transfer.objects.filter(reference__endswith=":loss")
    assert lost.amount_nanos == 999 * NANOS_PER_CENT
    assert lost.debit_account.kind == "refunds"
    assert TopUp.objects.get().refunded_cents == 1000
    audit_is_clean()


def test_a_refund_told_before_its_payment_waits(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    begin(alice_client)
    intent = double.pay(TopUp.objects.get().checkout_session_id or "")["payment_intent"]
    double.refund(intent)
    double.post.waiting.reverse()
    hear(double, alice_client)
    assert "not credited yet" in WebhookDelivery.objects.get(event_type="refund.created").error
    run_jobs()
    assert balance(organisation) == TEN
    audit_is_clean()


@pytest.mark.parametrize("status", ["pending", "succeeded"])
def test_an_older_answer_that_comes_later_takes_nothing(
    double: StripeDouble, organisation: Organisation, top_up: TopUp,
    monkeypatch: pytest.MonkeyPatch, status: str,
) -> None:  # fmt: skip
    made = double.refund(top_up.payment_intent_id or "", 1000, status=status)

    def fail() -> None:
        double.fail_refund(made["id"])
        refunds.hear(made["id"])

    answer_late(monkeypatch, "fetch_refund", fail)
    refunds.hear(made["id"])
    assert (Refund.objects.get().state, balance(organisation)) == ("failed", TEN + PAID)
    audit_is_clean()


def test_one_that_was_done_is_not_on_its_way_again(
    double: StripeDouble, alice_client: Client, top_up: TopUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = double.refund(top_up.payment_intent_id or "", 1000, status="pending")
    hear(double, alice_client)

    def succeed() -> None:
        double.objects[made["id"]]["status"] = "succeeded"
        refunds.hear(made["id"])

    answer_late(monkeypatch, "fetch_refund", succeed)
    refunds.hear(made["id"])
    assert Refund.objects.get().state == "succeeded"


def test_a_refund_of_another_business_is_none_of_ours(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    intent = double._succeed(double._intent(500, "usd", None))
    double.refund(intent["id"])
    hear(double, alice_client)
    assert "another account" in WebhookDelivery.objects.get(event_type="refund.created").error
    assert not Refund.objects.exists()


@pytest.mark.parametrize("kind", ["refund", "dispute"])
def test_a_charge_without_a_payment_is_none_of_ours(
    double: StripeDouble, alice_client: Client, organisation: Organisation, kind: str
) -> None:
    """Another business of the Stripe account may charge cards as one did before payments."""
    made = double.make(kind, "x", amount=500, charge="ch_1", payment_intent=None, currency="usd")
    double.emit({"refund": "refund.created", "dispute": "charge.dispute.created"}[kind], made)
    hear(double, alice_client)
    delivery = WebhookDelivery.objects.get()
    assert delivery.processed_at is not None
    assert "another account" in delivery.error


def test_credit_that_is_used_in_this_instant_is_not_refunded(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    take = ledger_payments.take

    def late(*args: Any, **kwargs: Any) -> None:
        hold("req_late", organisation.pk, TEN + NANOS_PER_CENT)
        take(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(ledger_payments, "take", late)
        with pytest.raises(ValueError, match="in use at the moment"):
            refunds.ask(top_up, "form", "alice@example.com")
    assert (double.all("refund"), Refund.objects.count()) == ([], 0)
    assert balance(organisation) == TEN + PAID
    audit_is_clean()
