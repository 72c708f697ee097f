"""Disputes: what a bank takes back, what it gives back, and the suspension meanwhile."""

from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from accounts import flows
from accounts.models import Organisation, User
from billing import disputes, ledger, postpaid, refunds
from billing.models import Dispute, Refund, TopUp, Transfer, WebhookDelivery
from portal.lib.money import NANOS_PER_CENT
from tests.billing.money import account_of, audit_is_clean, draft, hold
from tests.billing.payments import TEN, answer_late, balance, hear, paid_event, run_jobs
from tests.billing.stripe_double import StripeDouble

pytestmark = pytest.mark.django_db(transaction=True)
PAID = 2500 * NANOS_PER_CENT


def close(double: StripeDouble, client: Client, dispute: dict[str, Any], *, won: bool) -> None:
    double.close_dispute(dispute["id"], won=won)
    hear(double, client)


def is_suspended(organisation: Organisation) -> bool:
    return Organisation.objects.get(pk=organisation.pk).suspended_at is not None


def test_a_dispute_takes_the_payment_back_and_suspends(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    hold("req_used", organisation.id, TEN + NANOS_PER_CENT)
    ledger.settle("req_used", draft(TEN + NANOS_PER_CENT))
    dispute = double.dispute(top_up.payment_intent_id or "")
    hear(double, alice_client)
    assert is_suspended(organisation)
    assert balance(organisation) == 0
    assert Transfer.objects.filter(kind="dispute").count() == 2, "what was left, and our loss"
    assert [message.to for message in mail.outbox] == [["alice@example.com"]]
    assert "$25.00" in str(mail.outbox[0].body)
    audit_is_clean()
    close(double, alice_client, dispute, won=True)
    assert not is_suspended(organisation)
    assert balance(organisation) == PAID - NANOS_PER_CENT
    assert account_of(organisation.id).debits_pending == 0
    audit_is_clean()


def test_of_who_owes_a_dispute_suspends_and_is_our_loss_as_a_refund_is(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    postpaid.turn_on(organisation, TEN, "operator@example.com")
    hold("req_used", organisation.id, 2 * TEN + PAID)
    ledger.settle("req_used", draft(TEN + PAID + 5))
    double.refund(top_up.payment_intent_id or "", 500)
    hear(double, alice_client)
    dispute = double.dispute(top_up.payment_intent_id or "")
    hear(double, alice_client)
    assert is_suspended(organisation)
    assert balance(organisation) == -5
    lost = Transfer.objects.filter(debit_account__kind="refunds").order_by("pk")
    assert [each.amount_nanos for each in lost] == [500 * NANOS_PER_CENT, 2000 * NANOS_PER_CENT]
    audit_is_clean()
    close(double, alice_client, dispute, won=True)
    assert (is_suspended(organisation), balance(organisation)) == (False, -5)
    audit_is_clean()


def test_a_dispute_that_is_decided_again_is_taken_again(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    """Banks may go on with one that was won, and Stripe tells of it under the same id."""
    hold("req_used", organisation.id, TEN + NANOS_PER_CENT)
    ledger.settle("req_used", draft(TEN + NANOS_PER_CENT))
    dispute = double.dispute(top_up.payment_intent_id or "")
    for _ in range(3):
        close(double, alice_client, dispute, won=True)
        assert (balance(organisation), is_suspended(organisation)) == (PAID - NANOS_PER_CENT, False)
        audit_is_clean()
        close(double, alice_client, dispute, won=False)
        assert (balance(organisation), is_suspended(organisation)) == (0, True)
        audit_is_clean()
    page = alice_client.get(reverse("billing")).content.decode()
    assert page.count(reverse("billing_receipt", args=[top_up.pk])) >= 3


def test_a_lost_dispute_stays_until_an_operator_lifts_it(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    dispute = double.dispute(top_up.payment_intent_id or "")
    hear(double, alice_client)
    close(double, alice_client, dispute, won=False)
    assert is_suspended(organisation)
    assert balance(organisation) == TEN
    audit_is_clean()


@pytest.mark.parametrize("won", [True, False])
def test_disputes_told_in_any_order_and_twice_end_the_same(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp, won: bool
) -> None:
    dispute = double.dispute(top_up.payment_intent_id or "")
    double.close_dispute(dispute["id"], won=won)
    double.post.waiting = double.post.waiting[::-1] * 2
    hear(double, alice_client)
    WebhookDelivery.objects.update(processed_at=None)
    run_jobs()
    assert not WebhookDelivery.objects.exclude(error="").exists()
    assert balance(organisation) == (TEN + PAID if won else TEN)
    assert (Dispute.objects.get().taken, TopUp.objects.get().disputed_cents) == (
        (False, 0) if won else (True, 2500)
    )
    audit_is_clean()


@pytest.mark.parametrize("heard_before", [True, False])
@pytest.mark.parametrize("won", [True, False])
def test_an_older_answer_that_comes_later_changes_nothing(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp,
    monkeypatch: pytest.MonkeyPatch, won: bool, heard_before: bool,
) -> None:  # fmt: skip
    dispute = double.dispute(top_up.payment_intent_id or "")
    if heard_before:
        hear(double, alice_client)
    else:
        double.objects[dispute["id"]]["status"] = "warning_needs_response"

    def decide() -> None:
        double.close_dispute(dispute["id"], won=won)
        disputes.hear(dispute["id"])

    answer_late(monkeypatch, "fetch_dispute", decide)
    disputes.hear(dispute["id"])
    assert (Dispute.objects.get().status, is_suspended(organisation)) == (
        ("won", False) if won else ("lost", True)
    )
    assert balance(organisation) == (TEN + PAID if won else TEN)
    audit_is_clean()


@pytest.mark.parametrize("won", [True, False])
def test_a_dispute_of_more_than_is_left_takes_what_is_left(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp, won: bool
) -> None:
    double.refund(top_up.payment_intent_id or "", 1000)
    dispute = double.dispute(top_up.payment_intent_id or "", 2500)
    hear(double, alice_client)
    assert is_suspended(organisation)
    assert (balance(organisation), Dispute.objects.get().amount_cents) == (TEN, 1500)
    assert "$15.00" in str(mail.outbox[0].body)
    audit_is_clean()
    double.close_dispute(dispute["id"], won=won)
    hear(double, alice_client)
    assert not WebhookDelivery.objects.exclude(error="").exists()
    assert balance(organisation) == TEN + (1500 * NANOS_PER_CENT if won else 0)
    audit_is_clean()


def test_what_waits_to_be_refunded_is_the_banks(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    """Stripe, which was away when it was asked for, refuses it beside a dispute."""
    double.down = True
    assert refunds.ask(top_up, "form", "alice@example.com").state == "created"
    double.down = False
    double.dispute(top_up.payment_intent_id or "")
    hear(double, alice_client)
    refunds.run()
    assert (Refund.objects.get().state, double.all("refund")) == ("failed", [])
    assert (Dispute.objects.get().taken, is_suspended(organisation)) == (True, True)
    assert balance(organisation) == TEN
    audit_is_clean()


def test_a_dispute_of_what_has_gone_back_takes_nothing(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    double.refund(top_up.payment_intent_id or "")
    double.dispute(top_up.payment_intent_id or "", 2500)
    hear(double, alice_client)
    assert not WebhookDelivery.objects.exclude(error="").exists()
    assert (balance(organisation), Dispute.objects.get().taken) == (TEN, False)
    audit_is_clean()


def test_a_won_dispute_does_not_lift_what_an_operator_has_suspended(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    flows.suspend(organisation)
    dispute = double.dispute(top_up.payment_intent_id or "")
    hear(double, alice_client)
    close(double, alice_client, dispute, won=True)
    assert is_suspended(organisation)


@pytest.mark.parametrize("lifted_before", [True, False])
def test_a_won_dispute_does_not_lift_what_an_operator_has_suspended_since(
    double: StripeDouble,
    alice_client: Client,
    organisation: Organisation,
    top_up: TopUp,
    lifted_before: bool,
) -> None:
    dispute = double.dispute(top_up.payment_intent_id or "")
    hear(double, alice_client)
    operator = Client()
    operator.force_login(User.objects.create_superuser("operator@example.com", None))
    console = reverse("admin:accounts_organisation_changelist")
    for action in ("resume", "suspend") if lifted_before else ("suspend",):
        operator.post(console, {"action": action, "_selected_action": [organisation.pk]})
    close(double, alice_client, dispute, won=True)
    assert is_suspended(organisation)
    assert balance(organisation) == TEN + PAID


def second_payment(double: StripeDouble, client: Client) -> str:
    event = paid_event(double, client, token="form2")
    hear(double, client)
    return str(event["data"]["object"]["payment_intent"])


@pytest.mark.parametrize("first", [0, 1])
def test_the_last_of_two_disputes_lifts_the_suspension_whichever_brought_it(
    double: StripeDouble,
    alice_client: Client,
    organisation: Organisation,
    top_up: TopUp,
    first: int,
) -> None:
    other = second_payment(double, alice_client)
    disputes = [double.dispute(payment) for payment in (top_up.payment_intent_id or "", other)]
    hear(double, alice_client)
    close(double, alice_client, disputes[first], won=True)
    assert is_suspended(organisation)
    close(double, alice_client, disputes[1 - first], won=True)
    assert not is_suspended(organisation)


def test_a_dispute_lost_and_lifted_long_ago_does_not_keep_a_later_suspension(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    other = second_payment(double, alice_client)
    lost = double.dispute(top_up.payment_intent_id or "")
    close(double, alice_client, lost, won=False)
    assert flows.resume(organisation)
    later = double.dispute(other)
    hear(double, alice_client)
    assert is_suspended(organisation)
    close(double, alice_client, later, won=True)
    assert not is_suspended(organisation)


def test_an_inquiry_changes_nothing(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    dispute = double.dispute(top_up.payment_intent_id or "")
    double.objects[dispute["id"]]["status"] = "warning_needs_response"
    hear(double, alice_client)
    assert not is_suspended(organisation)
    assert balance(organisation) == TEN + PAID
    assert Dispute.objects.get().status == "warning_needs_response"
