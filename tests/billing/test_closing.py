"""Deleting an organisation: holds end, unused credit goes back or is given up, the ledger stays."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import flows
from accounts.models import ApiKey, Membership, Organisation, User
from billing import closing, ledger, ledger_payments, postpaid, refunds, tasks
from billing.models import (
    Closing,
    Plan,
    Refund,
    StripeCustomer,
    Subscription,
    SubscriptionPage,
    TopUp,
    Transfer,
    UsageRecord,
)
from billing.stripe_objects import StripeRefund
from playground.models import Conversation
from portal.lib.money import NANOS_PER_CENT, NANOS_PER_DOLLAR
from tests.billing.money import audit_is_clean, draft, hold
from tests.billing.payments import TEN, balance, begin, hear
from tests.billing.plans import all_is_well
from tests.billing.rules import broken
from tests.billing.stripe_double import StripeDouble, subscriptions
from tests.billing.stripe_double.state import Refused

pytestmark = pytest.mark.django_db(transaction=True)
PAID = 2500 * NANOS_PER_CENT


@pytest.fixture
def paid(double: StripeDouble, alice_client: Client) -> TopUp:
    """Twenty-five dollars paid, beside ten that were given."""
    begin(alice_client)
    double.pay(TopUp.objects.get().checkout_session_id or "")
    hear(double, alice_client)
    return TopUp.objects.get()


def delete(client: Client, name: str = "Acme") -> Any:
    return client.post(reverse("organisation_delete"), {"name": name})


def is_deleted(organisation: Organisation) -> bool:
    organisation.refresh_from_db()
    return organisation.deleted_at is not None


def test_unused_credit_goes_back_and_what_was_given_is_named_as_lost(
    double: StripeDouble, alice: User, alice_client: Client, organisation: Organisation,
    paid: TopUp, api_key: tuple[ApiKey, str],
) -> None:  # fmt: skip
    hold("req_1", organisation.pk, PAID)
    ledger.settle("req_1", draft(5 * NANOS_PER_DOLLAR))
    Conversation.objects.create(organisation=organisation, user=alice, title="a", model="starter")
    page = alice_client.get(reverse("organisation_delete")).content.decode()
    assert "$25.00 will be returned to your cards" in page
    assert "$5.00 of credit will be lost" in page
    assert delete(alice_client).status_code == 302
    assert [each["amount"] for each in double.all("refund")] == [2500]
    assert is_deleted(organisation)
    assert Closing.objects.get().given_up_nanos == 5 * NANOS_PER_DOLLAR
    assert balance(organisation) == 0
    assert organisation.name == "–"
    for gone in (ApiKey, Membership, Conversation):
        assert not gone.objects.filter(organisation=organisation).exists()
    assert UsageRecord.objects.filter(organisation=organisation).count() == 1
    audit_is_clean()
    assert [query for query in broken() if "AS whole" not in query] == []


def test_a_wrong_name_deletes_nothing(alice_client: Client, organisation: Organisation) -> None:
    assert delete(alice_client, "acme").status_code == 400
    organisation.refresh_from_db()
    assert organisation.suspended_at is None
    assert not Closing.objects.exists()


def test_only_owners_delete(bob_client: Client, charlie_client: Client) -> None:
    assert delete(bob_client).status_code == 403
    assert delete(charlie_client).status_code == 400, "it is not the name of Charlie's own"


def test_what_is_owed_is_paid_first(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    postpaid.turn_on(organisation, 10 * NANOS_PER_DOLLAR, "operator@example.com")
    hold("req_1", organisation.pk, TEN + postpaid.SMALLEST_NANOS)
    ledger.settle("req_1", draft(TEN + postpaid.SMALLEST_NANOS))
    answer = delete(alice_client)
    assert (answer.status_code, "owed" in answer.content.decode()) == (400, True)
    assert not is_deleted(organisation)


def test_less_than_an_invoice_can_ask_for_is_forgiven(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    postpaid.turn_on(organisation, 10 * NANOS_PER_DOLLAR, "operator@example.com")
    for request_id, nanos in (("req_1", TEN), ("req_2", postpaid.SMALLEST_NANOS - 1)):
        hold(request_id, organisation.pk, nanos)
        ledger.settle(request_id, draft(nanos))
    delete(alice_client)
    tasks.finish_closings()
    assert is_deleted(organisation)
    assert Transfer.objects.get(reference=f"rest:{organisation.pk}").amount_nanos == (
        postpaid.SMALLEST_NANOS - 1
    )
    audit_is_clean()


def test_it_waits_for_requests_that_run(alice_client: Client, organisation: Organisation) -> None:
    hold("req_1", organisation.pk, 1000)
    delete(alice_client)
    organisation.refresh_from_db()
    assert organisation.suspended_at is not None
    assert not is_deleted(organisation)
    ledger.settle("req_1", draft(600))
    tasks.finish_closings()
    assert is_deleted(organisation)
    assert Closing.objects.get().given_up_nanos == TEN - 600
    audit_is_clean()


def test_a_request_that_begins_in_this_instant_is_waited_for(
    double: StripeDouble, alice_client: Client, organisation: Organisation, paid: TopUp,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    take = ledger_payments.take

    def late(*args: Any, **kwargs: Any) -> None:
        hold("req_late", organisation.pk, TEN + 1)
        take(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(ledger_payments, "take", late)
        assert delete(alice_client).status_code == 302
    assert (is_deleted(organisation), double.all("refund")) == (False, [])
    assert balance(organisation) == TEN + PAID
    tasks.finish_closings()
    assert [each["amount"] for each in double.all("refund")] == [2500]
    assert is_deleted(organisation)
    audit_is_clean()


def test_while_stripe_is_away_it_waits(
    double: StripeDouble, alice_client: Client, organisation: Organisation, paid: TopUp
) -> None:
    double.down = True
    delete(alice_client)
    assert not is_deleted(organisation)
    double.down = False
    for _ in range(2):
        tasks.finish_closings()
    assert is_deleted(organisation)
    assert [each["amount"] for each in double.all("refund")] == [2500]
    audit_is_clean()


def test_a_refund_that_stripe_refuses_is_not_lost_in_silence(
    double: StripeDouble, alice_client: Client, organisation: Organisation, paid: TopUp
) -> None:
    double.dispute(paid.payment_intent_id or "")  # not heard of yet
    delete(alice_client)
    assert not is_deleted(organisation)
    assert balance(organisation) == TEN + PAID
    audit_is_clean()


def test_a_payment_page_is_ended_or_its_payment_goes_back(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    for token in "ab":
        begin(alice_client, token=token)
    first, second = double.sessions
    double.post.losing = True
    double.pay(first)
    delete(alice_client)
    assert double.sessions[second]["status"] == "expired"
    assert [each["amount"] for each in double.all("refund")] == [2500]
    assert is_deleted(organisation)
    audit_is_clean()


def test_what_was_made_with_other_keys_keeps_nobody_waiting(
    double: StripeDouble, alice_client: Client, organisation: Organisation, plan: Plan
) -> None:
    begin(alice_client)
    TopUp.objects.update(checkout_session_id="cs_test_unknown")
    Plan.objects.update(stripe_price_id="price_unknown")
    mine = {"organisation": organisation, "plan": plan}
    SubscriptionPage.objects.create(**mine, checkout_session_id="cs_test_none")
    Subscription.objects.create(**mine, subscription_id="sub_unknown", status="active")
    delete(alice_client)
    assert is_deleted(organisation)


def test_the_subscription_of_who_paid_later_ends(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    postpaid.turn_on(organisation, TEN, "operator@example.com")
    tasks.tell_usage()
    delete(alice_client)
    assert is_deleted(organisation)
    [subscription] = double.all("subscription")
    assert subscription["status"] == "canceled"


def test_one_that_stripe_refuses_keeps_no_other_waiting(
    double: StripeDouble, alice_client: Client, charlie_client: Client, charlie: User,
    organisation: Organisation, plan: Plan, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def refuse(*_arguments: Any) -> None:
        raise Refused(400, "It cannot be canceled.")

    monkeypatch.setattr(subscriptions, "cancel", refuse)  # at Stripe
    Subscription.objects.create(
        organisation=organisation, plan=plan, subscription_id="sub_1", status="active"
    )
    delete(alice_client)
    [other] = charlie.organisations.all()
    delete(charlie_client, other.name)
    assert (is_deleted(organisation), is_deleted(other)) == (False, True)


def test_what_others_do_keeps_nobody_waiting_and_is_left_alone(
    double: StripeDouble, alice_client: Client, organisation: Organisation, charlie_client: Client,
    charlie: User,
) -> None:  # fmt: skip
    [other] = charlie.organisations.all()
    begin(charlie_client, token="paid")
    double.pay(TopUp.objects.get().checkout_session_id or "")
    hear(double, charlie_client)
    paid = TopUp.objects.get()
    hold("req_other", other.pk, NANOS_PER_DOLLAR)
    Refund.objects.create(top_up=paid, amount_cents=1, form_token="closing:", state="failed")
    double.down = True
    refunds.ask(paid, "form", "charlie@example.com")
    double.down = False
    begin(charlie_client, token="open")
    TopUp.objects.create(organisation=other, amount_cents=500, automatic=True, form_token="auto")
    delete(alice_client)
    assert is_deleted(organisation)
    assert [each["status"] for each in double.sessions.values()] == ["complete", "open"]
    assert (double.all("refund"), Refund.objects.get(form_token="form").state) == ([], "created")
    audit_is_clean()


def test_what_was_paid_too_long_ago_is_lost(
    double: StripeDouble, alice_client: Client, organisation: Organisation, paid: TopUp
) -> None:
    TopUp.objects.update(paid_at=timezone.now() - timedelta(days=400))
    assert closing.preview(organisation) == (0, TEN + PAID)
    delete(alice_client)
    assert Closing.objects.get().given_up_nanos == TEN + PAID
    assert double.all("refund") == []


def test_a_deleted_one_is_not_resumed_and_gives_no_second_welcome(
    alice: User, alice_client: Client, organisation: Organisation, settings: Any
) -> None:
    settings.WELCOME_CREDIT_NANOS = TEN
    User.objects.filter(pk=alice.pk).update(welcomed_at=timezone.now())
    delete(alice_client)
    assert is_deleted(organisation)
    assert not flows.resume(organisation)
    again = flows.ensure_organisation(alice)
    assert again != organisation
    assert balance(again) == 0


def test_once_however_often_it_is_finished(organisation: Organisation) -> None:
    for _ in range(2):
        closing.ask(organisation, "alice@example.com")
    closing.finish(Closing.objects.get())
    assert Transfer.objects.filter(kind="given_up").count() == 1
    assert not StripeCustomer.objects.exists()
    audit_is_clean()


@pytest.mark.parametrize("paid", [True, False])
def test_it_waits_for_a_bank_that_has_not_answered(
    double: StripeDouble, alice_client: Client, organisation: Organisation, paid: bool
) -> None:
    begin(alice_client)
    session_id = TopUp.objects.get().checkout_session_id or ""
    double.pay_by_debit(session_id)
    delete(alice_client)
    assert not is_deleted(organisation), "its money would come to nobody"
    double.answer_debit(session_id, paid=paid)
    tasks.finish_closings()
    assert is_deleted(organisation)
    assert [each["amount"] for each in double.all("refund")] == ([2500] if paid else [])
    audit_is_clean()


def test_a_dispute_that_is_won_meanwhile_does_not_resume_it(
    double: StripeDouble, alice_client: Client, organisation: Organisation, paid: TopUp
) -> None:
    hold("req_1", organisation.pk, 1000)
    dispute = double.dispute(paid.payment_intent_id or "")
    hear(double, alice_client)
    delete(alice_client)
    double.close_dispute(dispute["id"], won=True)
    hear(double, alice_client)
    organisation.refresh_from_db()
    assert organisation.suspended_at is not None


@pytest.mark.parametrize("days", [13, 15])
def test_a_dispute_that_is_won_after_the_deletion_goes_back_within_the_period_or_is_given_up(
    double: StripeDouble, alice_client: Client, organisation: Organisation, paid: TopUp, days: int
) -> None:
    hold("req_1", organisation.pk, 2 * TEN)
    ledger.settle("req_1", draft(2 * TEN))  # of what was paid fifteen dollars are left
    dispute = double.dispute(paid.payment_intent_id or "")
    hear(double, alice_client)
    delete(alice_client)
    assert (is_deleted(organisation), balance(organisation)) == (True, 0)
    TopUp.objects.update(paid_at=timezone.now() - timedelta(days=days))
    double.close_dispute(dispute["id"], won=True)
    hear(double, alice_client)
    assert balance(organisation) == 15 * NANOS_PER_DOLLAR
    for _ in range(2):
        tasks.finish_closings()
        tasks.send_refunds()
    assert [each["amount"] for each in double.all("refund")] == ([1500] if days == 13 else [])
    given_up = 0 if days == 13 else 15 * NANOS_PER_DOLLAR
    assert (balance(organisation), Closing.objects.get().given_up_nanos) == (0, given_up)
    audit_is_clean()
    assert [query for query in broken() if "AS whole" not in query] == []


def test_each_time_that_something_is_given_up_is_a_line(organisation: Organisation) -> None:
    closing.ask(organisation, "alice@example.com")
    for number in range(2):
        ledger.grant(organisation.pk, 1 + number, reference=f"grant:late {number}", description="")
        closing.run()
    lines = Transfer.objects.filter(kind="given_up").order_by("pk")
    assert [line.amount_nanos for line in lines] == [TEN, 1, 2]
    assert lines[0].reference == f"given_up:{organisation.pk}"
    assert Closing.objects.get().given_up_nanos == TEN + 3
    all_is_well()


def test_what_stripe_refuses_to_send_back_after_the_deletion_is_not_given_up(
    double: StripeDouble, alice_client: Client, organisation: Organisation, paid: TopUp
) -> None:
    dispute = double.dispute(paid.payment_intent_id or "")
    hear(double, alice_client)
    delete(alice_client)
    double.close_dispute(dispute["id"], won=True)
    hear(double, alice_client)
    closing.run()
    [refund] = Refund.objects.all()
    refunds._told(refund, StripeRefund("re_1", refund.pk, "", 2500, "failed"))
    for _ in range(2):
        closing.run()
    assert balance(organisation) == PAID, "a person decides"
    all_is_well()


def test_a_refund_that_comes_back_after_the_deletion_is_not_given_up(
    double: StripeDouble, alice_client: Client, organisation: Organisation, paid: TopUp
) -> None:
    refund = refunds.ask(paid, "form", "alice@example.com")
    delete(alice_client)
    TopUp.objects.update(paid_at=timezone.now() - timedelta(days=15))
    double.fail_refund(refund.stripe_refund_id or "")
    hear(double, alice_client)
    closing.run()
    assert balance(organisation) == PAID, "a person decides"
    all_is_well()


def test_one_that_an_operator_resumes_is_deleted_all_the_same(
    alice_client: Client, organisation: Organisation
) -> None:
    hold("req_1", organisation.pk, 1000)
    delete(alice_client)
    organisation.refresh_from_db()
    flows.resume(organisation)
    ledger.settle("req_1", draft(600))
    tasks.finish_closings()
    assert is_deleted(organisation)
    audit_is_clean()
