"""Paying later: a credit line here, usage told to Stripe once, an invoice that settles it."""

from datetime import timedelta

import pytest
from django.conf import LazySettings as Settings
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import Organisation, User
from billing import customers, ledger, ledger_payments, postpaid, refunds, stripe_billing, tasks
from billing.models import MeterBatch, PostPaid, StripeCustomer, TopUp, Transfer
from portal.lib.ids import new_id
from portal.lib.money import NANOS_PER_CENT, NANOS_PER_DOLLAR
from tests.billing.money import account_of, audit_is_clean, draft, hold
from tests.billing.payments import TEN, balance, hear, told
from tests.billing.stripe_double import StripeDouble, subscriptions

pytestmark = pytest.mark.django_db(transaction=True)
LINE = 100 * NANOS_PER_DOLLAR
HALF = NANOS_PER_CENT // 2


@pytest.fixture
def later(double: StripeDouble, organisation: Organisation) -> Organisation:
    """Alice's organisation, with ten dollars given and a line of a hundred."""
    postpaid.turn_on(organisation, LINE, "operator@example.com")
    return organisation


def use(organisation: Organisation, nanos: int) -> None:
    request_id = new_id("req")
    hold(request_id, organisation.pk, nanos)
    ledger.settle(request_id, draft(nanos))


# --- The line ------------------------------------------------------------------------------------


def test_it_is_used_after_what_was_paid_in_and_refused_when_it_is_used_up(
    later: Organisation,
) -> None:
    use(later, TEN + LINE - 1)
    assert balance(later) == -LINE + 1
    with pytest.raises(ledger.InsufficientCredit) as refused:
        hold("req_more", later.pk, 2)
    assert refused.value.available_nanos == 1
    hold("req_rest", later.pk, 1)
    audit_is_clean()


def test_a_hold_is_extended_as_far_as_the_line(later: Organisation) -> None:
    hold("req_1", later.pk, TEN + LINE - 5)
    assert not ledger.extend_hold("req_1", 6)
    assert ledger.extend_hold("req_1", 5)


def test_the_database_refuses_what_is_below_the_line(later: Organisation) -> None:
    use(later, TEN + LINE)
    account = type(account_of(later.pk)).objects.filter(organisation=later)
    for change in ({"debits_posted": TEN + LINE + 1}, {"credit_line_nanos": LINE - 1}):
        with pytest.raises(IntegrityError), transaction.atomic():
            account.update(**change)


def test_a_line_below_what_is_owed_and_held_is_refused(later: Organisation) -> None:
    use(later, TEN + 30)
    hold("req_1", later.pk, 20)
    with pytest.raises(ValueError, match="owed"):
        postpaid.turn_on(later, 49, "operator@example.com")
    postpaid.turn_on(later, 50, "operator@example.com")
    assert account_of(later.pk).available_nanos == 0
    assert PostPaid.objects.get().term == 1, "another line begins nothing anew"


def test_switched_off_nothing_more_is_used_on_credit(later: Organisation) -> None:
    use(later, TEN + 50)
    postpaid.turn_off(later)
    with pytest.raises(ledger.InsufficientCredit):
        hold("req_more", later.pk, 1)
    assert postpaid.owed_nanos(later.pk) == 50


def test_what_a_request_gives_back_that_ran_when_it_was_switched_off_is_no_credit(
    double: StripeDouble, later: Organisation
) -> None:
    hold("req_1", later.pk, TEN + 5000)
    assert postpaid.owed_nanos(later.pk) == 0, "it may all come back"
    postpaid.turn_off(later)
    ledger.settle("req_1", draft(TEN + 50))
    tasks.tell_usage()
    with pytest.raises(ledger.InsufficientCredit):
        hold("req_more", later.pk, 1)
    assert told(double) == [50]


def test_what_was_used_before_it_was_switched_off_again_is_billed_and_keeps_no_other_waiting(
    double: StripeDouble, later: Organisation, charlie: User
) -> None:
    [other] = charlie.organisations.all()
    postpaid.turn_on(other, LINE, "operator@example.com")
    use(later, TEN + 50)
    postpaid.turn_off(later)  # the job has not run yet
    use(other, 70)
    for _ in range(2):
        tasks.tell_usage()
    assert told(double) == [50, 70]
    assert len(double.all("subscription")) == 2, "each has an invoice to come"


@pytest.mark.parametrize("ended", [False, True])
def test_switched_on_again_it_has_one_subscription_or_its_usage_would_be_billed_twice(
    double: StripeDouble, alice_client: Client, later: Organisation, ended: bool
) -> None:
    month(double, alice_client, later, TEN + NANOS_PER_DOLLAR)
    [first] = double.all("subscription")
    postpaid.turn_off(later)
    if ended:
        subscriptions.cancel(double, first["id"])
    postpaid.turn_on(later, LINE, "operator@example.com")
    tasks.tell_usage()
    statuses = [each["status"] for each in double.all("subscription")[::-1]]
    assert statuses == (["canceled", "active"] if ended else ["active"])
    assert (PostPaid.objects.get().subscription_id == first["id"]) is not ended


def test_what_was_given_is_no_credit_that_can_be_refunded(later: Organisation) -> None:
    assert refunds._unused_cents(later.pk) == 1000
    use(later, TEN + 50)
    assert refunds._unused_cents(later.pk) == 0


# --- Telling Stripe ------------------------------------------------------------------------------


def test_what_is_owed_is_told_once_and_what_was_paid_in_is_not(
    double: StripeDouble, later: Organisation
) -> None:
    use(later, TEN - 1)
    tasks.tell_usage()
    assert told(double) == []
    use(later, 1 + 700)
    for _ in range(3):
        tasks.tell_usage()
    assert told(double) == [700]
    use(later, 42)
    tasks.tell_usage()
    assert told(double) == [700, 42]
    assert len({each["identifier"] for each in double.all("billing.meter_event")}) == 2
    [subscription] = double.all("subscription")
    assert PostPaid.objects.get().subscription_id == subscription["id"]
    assert len(double.all("billing.meter")) == len(double.all("price")) == 1
    audit_is_clean()


def test_what_piled_up_while_stripe_was_away_is_told_afterwards(
    double: StripeDouble, later: Organisation
) -> None:
    tasks.tell_usage()
    use(later, TEN + 100)
    double.down = True
    tasks.tell_usage()
    use(later, 50)
    tasks.tell_usage()
    assert MeterBatch.objects.get().sent_at is None, "one waits, and no second"
    double.down = False
    tasks.tell_usage()
    tasks.tell_usage()
    assert told(double) == [100, 50]
    audit_is_clean()


def test_an_answer_that_was_lost_is_not_told_again(
    double: StripeDouble, later: Organisation
) -> None:
    tasks.tell_usage()
    use(later, TEN + 100)
    double.lost_answers = 3
    tasks.tell_usage()
    assert MeterBatch.objects.get().sent_at is None
    tasks.tell_usage()
    assert told(double) == [100]
    assert MeterBatch.objects.get().sent_at is not None


@pytest.mark.parametrize("came", [True, False])
def test_after_a_day_a_batch_is_looked_for_before_it_is_told_again(
    double: StripeDouble, later: Organisation, came: bool
) -> None:
    use(later, TEN + 70)
    tasks.tell_usage()
    use(later, 30)
    double.lost_answers, double.down = (3, False) if came else (0, True)
    tasks.tell_usage()
    long_ago = timezone.now() - timedelta(days=2)
    MeterBatch.objects.filter(sent_at=None).update(attempted_at=long_ago)
    double.down = False
    double.forget()
    tasks.tell_usage()
    assert told(double) == [70, 30]
    assert not MeterBatch.objects.filter(sent_at=None).exists()


@pytest.mark.parametrize("second", [0, 1, 59])
def test_what_was_told_this_second_is_found(
    double: StripeDouble, later: Organisation, second: int
) -> None:
    use(later, TEN + 70)
    tasks.tell_usage()
    [event] = double.all("billing.meter_event")
    minute = timezone.now().replace(second=0, microsecond=0)
    now = minute + timedelta(seconds=second, milliseconds=400)
    event["created"] = int(now.timestamp())
    customer_id = StripeCustomer.objects.get().customer_id
    assert stripe_billing.told_nanos(customer_id, minute, now) == 70


def test_what_stripe_refuses_is_kept_with_its_reason(
    double: StripeDouble, later: Organisation
) -> None:
    use(later, TEN + 100)
    tasks.tell_usage()
    StripeCustomer.objects.update(customer_id="cus_gone")
    use(later, 100)
    tasks.tell_usage()
    waiting = MeterBatch.objects.get(sent_at=None)
    assert "cus_gone" in waiting.error


def test_two_batches_cannot_wait(later: Organisation) -> None:
    use(later, TEN + 100)
    first = postpaid.begin(later.pk)
    assert first is not None
    use(later, 5)
    assert postpaid.begin(later.pk) is None
    with pytest.raises(IntegrityError), transaction.atomic():
        MeterBatch.objects.create(post_paid_id=later.pk, amount_nanos=5)


# --- Settling ------------------------------------------------------------------------------------


def test_a_paid_invoice_settles_what_was_told(
    double: StripeDouble, alice_client: Client, later: Organisation
) -> None:
    use(later, TEN + 12_345_678_901)
    tasks.tell_usage()
    [subscription] = double.all("subscription")
    invoice = subscriptions.invoice(double, subscription["id"], tax=99)
    assert invoice["subtotal"] == 1235, "rounded once, to the cent"
    for _ in range(2):
        hear(double, alice_client)
        double.emit("invoice.paid", invoice)
    paid = TopUp.objects.get()
    assert (paid.source, paid.amount_cents, paid.tax_cents) == ("post_paid", 1235, 99)
    assert Transfer.objects.filter(description="Invoice of usage").exists()
    assert balance(later) == 12_350_000_000 - 12_345_678_901
    tasks.tell_usage()
    assert told(double) == [12_345_678_901], "nothing is owed"
    use(later, NANOS_PER_CENT)
    tasks.tell_usage()
    assert told(double)[1:] == [NANOS_PER_CENT - (12_350_000_000 - 12_345_678_901)]
    audit_is_clean()


def test_less_than_half_a_cent_is_billed_when_it_has_become_more(
    double: StripeDouble, alice_client: Client, later: Organisation
) -> None:
    """An invoice of it is rounded to nothing; the usage goes on to the next one."""
    month(double, alice_client, later, TEN + HALF - 1)
    assert (balance(later), TopUp.objects.count()) == (-HALF + 1, 0)
    month(double, alice_client, later, NANOS_PER_DOLLAR)
    assert told(double) == [HALF - 1, NANOS_PER_DOLLAR + HALF - 1]
    assert (TopUp.objects.get().amount_cents, balance(later)) == (100, -HALF + 1)
    month(double, alice_client, later, NANOS_PER_DOLLAR + 2)
    assert balance(later) == HALF - 1, "rounded up, and part of the next batch"
    audit_is_clean()


def test_what_is_less_than_stripe_charges_is_paid_with_the_next_invoice_once(
    double: StripeDouble, alice_client: Client, later: Organisation
) -> None:
    """Thirty cents: paid in name, on the customer's balance at Stripe, and then with the next."""
    month(double, alice_client, later, TEN + 30 * NANOS_PER_CENT + 12)
    assert balance(later) == -30 * NANOS_PER_CENT - 12
    month(double, alice_client, later, 500 * NANOS_PER_CENT)
    assert told(double) == [30 * NANOS_PER_CENT + 12, 500 * NANOS_PER_CENT + 12]
    assert TopUp.objects.get().amount_cents == 530
    assert balance(later) == -12
    month(double, alice_client, later, 100 * NANOS_PER_CENT)
    assert told(double)[2:] == [100 * NANOS_PER_CENT + 12]
    assert balance(later) == -12
    audit_is_clean()


def test_the_first_of_a_price_rounded_up_that_nobody_paid_yet_is_no_error(
    double: StripeDouble, alice_client: Client, later: Organisation
) -> None:
    month(double, alice_client, later, TEN + HALF + 1)  # a cent, on the balance at Stripe
    month(double, alice_client, later, NANOS_PER_DOLLAR)
    assert told(double) == [HALF + 1, NANOS_PER_DOLLAR - HALF + 1], "less the rest of that cent"
    assert (TopUp.objects.get().amount_cents, balance(later)) == (101, HALF - 1)
    audit_is_clean()


def test_what_a_voided_invoice_asked_for_is_owed_and_told_again(
    double: StripeDouble, alice_client: Client, later: Organisation
) -> None:
    use(later, TEN + 500 * NANOS_PER_CENT)
    tasks.tell_usage()
    [subscription] = double.all("subscription")
    invoice = subscriptions.invoice(double, subscription["id"], paid=False)
    tasks.tell_usage()
    assert told(double) == [500 * NANOS_PER_CENT], "it is asked for already"
    subscriptions.void(double, invoice["id"])
    double.emit("invoice.paid", invoice)  # late, and no longer true
    for _ in range(2):
        hear(double, alice_client)
        double.emit("invoice.voided", invoice)
    ledger.grant(later.pk, 200 * NANOS_PER_CENT, reference="grant:sorry", description="")
    tasks.tell_usage()
    assert told(double)[1:] == [300 * NANOS_PER_CENT]
    audit_is_clean()


def month(double: StripeDouble, client: Client, organisation: Organisation, nanos: int) -> None:
    """So much is used and told, and Stripe's invoice of it comes and is paid."""
    use(organisation, nanos)
    tasks.tell_usage()
    [subscription] = double.all("subscription")
    subscriptions.invoice(double, subscription["id"])
    hear(double, client)


def test_a_grant_is_used_before_more_is_told(double: StripeDouble, later: Organisation) -> None:
    use(later, TEN + 1000)
    tasks.tell_usage()
    ledger.grant(later.pk, 600, reference="grant:sorry", description="")
    use(later, 500)
    tasks.tell_usage()
    assert told(double) == [1000]
    use(later, 200)
    tasks.tell_usage()
    assert told(double) == [1000, 100]
    audit_is_clean()


def test_when_stripe_ends_the_subscription_the_line_is_closed(
    double: StripeDouble, alice_client: Client, later: Organisation
) -> None:
    use(later, TEN + 100)
    tasks.tell_usage()
    [subscription] = double.all("subscription")
    subscriptions.cancel(double, subscription["id"])
    hear(double, alice_client)
    assert not PostPaid.objects.get().active
    assert account_of(later.pk).available_nanos == 0
    postpaid.turn_on(later, LINE, "operator@example.com")
    tasks.tell_usage()
    assert len(double.all("subscription")) == 2
    assert told(double) == [100]


def test_a_last_invoice_closes_the_line_behind_it(
    double: StripeDouble, alice_client: Client, later: Organisation
) -> None:
    use(later, TEN + 5 * NANOS_PER_DOLLAR)
    tasks.tell_usage()
    postpaid.turn_off(later)
    [subscription] = double.all("subscription")
    subscriptions.invoice(double, subscription["id"])
    hear(double, alice_client)
    account = account_of(later.pk)
    assert (account.balance_nanos, account.credit_line_nanos) == (0, 0)
    audit_is_clean()


def test_the_line_is_nobodys_whose_operator_did_not_say_so(organisation: Organisation) -> None:
    with pytest.raises(ValueError, match="credit line"):
        postpaid.turn_on(organisation, 0, "operator@example.com")
    ledger_payments.set_credit_line(organisation.pk, 0)
    with pytest.raises(ledger.InsufficientCredit):
        hold("req_1", organisation.pk, TEN + 1)


def test_what_stripe_refuses_of_one_keeps_nobody_elses_usage_from_being_told(
    double: StripeDouble, organisation: Organisation, charlie: User, settings: Settings
) -> None:
    settings.STRIPE_AUTOMATIC_TAX = True
    other = charlie.memberships.get().organisation
    for each in (organisation, other):  # in this order
        postpaid.turn_on(each, LINE, "operator")
    customer = customers.customer_of(other)
    double.objects[customer.customer_id]["address"] = {"country": "US"}
    use(other, balance(other) + NANOS_PER_DOLLAR)
    postpaid.run()
    assert PostPaid.objects.get(pk=organisation.pk).subscription_id is None
    assert told(double) == [NANOS_PER_DOLLAR]
