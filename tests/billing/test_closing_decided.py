"""Deletions whose refunds Stripe refuses: an operator asks again, or gives the credit up."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Organisation, User
from billing import closing, refunds, tasks
from billing.models import Closing, Refund, RefundState, TopUp, Transfer
from portal.lib.money import NANOS_PER_CENT
from tests.billing.payments import TEN, balance, hear
from tests.billing.plans import all_is_well
from tests.billing.stripe_double import StripeDouble
from tests.billing.test_closing import delete, is_deleted
from tests.conftest import make_user, signed_in

pytestmark = pytest.mark.django_db(transaction=True)
PAID = 2500 * NANOS_PER_CENT


@pytest.fixture
def operator(db: None) -> User:
    """Staff who may decide about deletions, and nothing else."""
    user = make_user("operator@example.com", "Operator")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=["view_closing", "change_closing"])
    )
    return User.objects.get(pk=user.pk)


def decide(operator: User, action: str, organisation: Organisation) -> str:
    """What the console says."""
    page = reverse("admin:billing_closing_changelist")
    fields = {"action": action, "_selected_action": [organisation.pk]}
    answer: Any = signed_in(operator).post(page, fields, follow=True)
    return str(answer.content.decode())


@pytest.fixture
def refused(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> dict[str, Any]:
    """A dispute that nobody here has heard of, for which Stripe refuses the deletion's refund."""
    dispute = double.dispute(top_up.payment_intent_id or "")
    delete(alice_client)
    assert (is_deleted(organisation), balance(organisation)) == (False, TEN + PAID)
    return dispute


@pytest.fixture
def come_back(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> TopUp:
    """A payment whose refund was sent with the deletion, and fails after it."""
    delete(alice_client)
    double.fail_refund(Refund.objects.get().stripe_refund_id or "")
    hear(double, alice_client)
    return top_up


def test_what_stripe_refused_is_asked_for_again(
    double: StripeDouble, alice_client: Client, organisation: Organisation, operator: User,
    refused: dict[str, Any],
) -> None:  # fmt: skip
    assert "is still waiting" in decide(operator, "try_again", organisation)
    assert not is_deleted(organisation)
    double.close_dispute(refused["id"], won=True)
    hear(double, alice_client)
    tasks.finish_closings()
    assert double.all("refund") == [], "nobody has said so"
    assert "is settled" in decide(operator, "try_again", organisation)
    assert [each["amount"] for each in double.all("refund")] == [2500]
    assert is_deleted(organisation)
    assert Closing.objects.get().given_up_nanos == TEN
    all_is_well()


def test_what_stripe_refused_is_given_up_by_name(
    organisation: Organisation, operator: User, refused: dict[str, Any]
) -> None:
    assert "is settled" in decide(operator, "give_up", organisation)
    assert is_deleted(organisation)
    assert Closing.objects.get().given_up_nanos == TEN + PAID
    assert Transfer.objects.get(kind="given_up").actor == operator.email
    all_is_well()


def test_who_may_only_look_decides_nothing(
    organisation: Organisation, operator: User, refused: dict[str, Any]
) -> None:
    operator.user_permissions.set(Permission.objects.filter(codename="view_closing"))
    for action in ("try_again", "give_up"):
        decide(operator, action, organisation)
    assert not is_deleted(organisation)


def test_while_stripe_is_away_the_console_says_so(
    double: StripeDouble, organisation: Organisation, operator: User, refused: dict[str, Any]
) -> None:
    double.down = True
    assert "is still waiting" in decide(operator, "try_again", organisation)
    assert not is_deleted(organisation)


@pytest.mark.usefixtures("come_back")
def test_what_comes_back_after_the_deletion_is_given_up_by_name(
    organisation: Organisation, operator: User
) -> None:
    closing.run()
    assert balance(organisation) == PAID
    decide(operator, "give_up", organisation)
    assert (balance(organisation), Closing.objects.get().given_up_nanos) == (0, TEN + PAID)
    assert Transfer.objects.filter(kind="given_up").latest("pk").actor == operator.email
    all_is_well()


@pytest.mark.usefixtures("come_back")
def test_what_comes_back_after_the_deletion_is_sent_again(
    organisation: Organisation, operator: User
) -> None:
    assert "is settled" in decide(operator, "try_again", organisation)
    assert [refund.state for refund in Refund.objects.order_by("created_at")] == [
        RefundState.FAILED, RefundState.SUCCEEDED
    ]  # fmt: skip
    assert balance(organisation) == 0
    all_is_well()


def test_what_stripe_refuses_after_the_deletion_once_more_is_said_at_once(
    double: StripeDouble, organisation: Organisation, operator: User, come_back: TopUp
) -> None:
    double.dispute(come_back.payment_intent_id or "")  # of which nobody here has heard
    assert "is still waiting" in decide(operator, "try_again", organisation)
    assert balance(organisation) == PAID


def test_a_part_that_is_won_after_the_deletion_goes_back_as_the_other_part_did(
    double: StripeDouble, alice_client: Client, organisation: Organisation, top_up: TopUp
) -> None:
    dispute = double.dispute(top_up.payment_intent_id or "", 1000)
    hear(double, alice_client)
    double.get("dispute", dispute["id"])["status"] = "won"  # of which nobody has heard
    delete(alice_client)
    assert is_deleted(organisation)
    double.close_dispute(dispute["id"], won=True)
    hear(double, alice_client)
    for _ in range(2):
        tasks.finish_closings()
        tasks.send_refunds()
    assert sorted(each["amount"] for each in double.all("refund")) == [1000, 1500]
    assert (balance(organisation), Closing.objects.get().given_up_nanos) == (0, TEN)
    all_is_well()


def test_those_that_wait_for_a_person_keep_no_other_waiting(
    alice_client: Client, organisation: Organisation, top_up: TopUp, charlie_client: Client,
    charlie: User,
) -> None:  # fmt: skip
    [other] = charlie.organisations.all()
    for client, name in ((charlie_client, other.name), (alice_client, "Acme")):
        delete(client, name)
    Closing.objects.filter(pk=other.pk).update(finished_at=timezone.now() - timedelta(days=1))
    refunds._fail(Refund.objects.get())
    refunds.ledger.grant(other.pk, 1, reference="late", description="")
    assert [each.pk for each in closing._paid_late()] == [other.pk, organisation.pk]
