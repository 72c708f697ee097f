"""Tax, promotion codes, invoices: what is credited, what is paid, and what goes back."""

from typing import Any

import pytest
from django.conf import LazySettings as Settings
from django.test import Client
from django.urls import reverse

from accounts.models import Organisation
from billing import autotopup, closing, reconciliation, shares
from billing.models import Refund, TopUp, Transfer
from billing.shares import Share
from portal.lib.money import NANOS_PER_CENT
from tests.billing.money import audit_is_clean, spend
from tests.billing.payments import TEN, balance, begin, hear
from tests.billing.rules import broken
from tests.billing.saved_cards import save_card
from tests.billing.stripe_double import StripeDouble

pytestmark = pytest.mark.django_db(transaction=True)
CREDIT = 2500 * NANOS_PER_CENT


@pytest.fixture(autouse=True)
def _with_tax_and_codes(settings: Settings) -> None:
    settings.STRIPE_AUTOMATIC_TAX = settings.STRIPE_PROMOTION_CODES = True


def pay(double: StripeDouble, client: Client, discount: int = 500) -> TopUp:
    """Twenty-five dollars of credit; with five off, twenty and 8 % tax are paid: 21.60."""
    begin(client)
    double.pay(TopUp.objects.get().checkout_session_id or "", discount=discount)
    hear(double, client)
    return TopUp.objects.get()


def all_is_well() -> None:
    audit_is_clean()
    assert broken() == []


def test_the_page_asks_for_tax_takes_codes_and_makes_an_invoice(
    double: StripeDouble, alice_client: Client, settings: Settings
) -> None:
    begin(alice_client)
    [session] = double.sessions.values()
    enabled = {"enabled": True}
    assert session["automatic_tax"] == session["invoice_creation"] == enabled
    assert session["allow_promotion_codes"] is True
    settings.STRIPE_AUTOMATIC_TAX = settings.STRIPE_PROMOTION_CODES = False
    begin(alice_client, token="form2")
    _first, plain = double.sessions.values()
    assert plain["automatic_tax"] == {"enabled": False}
    assert plain["allow_promotion_codes"] is False


def test_the_credit_is_what_was_chosen_and_cash_is_what_was_paid(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    top_up = pay(double, alice_client)
    assert (top_up.discount_cents, top_up.tax_cents, top_up.paid_cents) == (500, 160, 2160)
    assert balance(organisation) == TEN + CREDIT
    kinds = Transfer.objects.filter(reference__startswith="payment:").order_by("pk")
    assert [(row.kind, row.amount_nanos // NANOS_PER_CENT) for row in kinds] == [
        ("payment", 2000), ("grant", 500), ("tax", 160),
    ]  # fmt: skip
    all_is_well()


def test_a_deletion_names_money_with_its_tax_and_lost_credit_without_discounts(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    pay(double, alice_client)
    assert closing.preview(organisation) == (2160 * NANOS_PER_CENT, TEN)


def test_a_deletion_sends_no_more_back_of_two_payments_than_is_unused_of_both(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    pay(double, alice_client)
    begin(alice_client, token="form2")
    double.pay(list(double.sessions)[-1], discount=500)
    hear(double, alice_client)
    spend(organisation, CREDIT)
    # All of one, and ten dollars' worth of the other: eight that were paid for it, and their tax.
    assert closing.preview(organisation) == ((2160 + 864) * NANOS_PER_CENT, 0)


def test_what_is_told_again_is_booked_once(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    pay(double, alice_client)
    for event in list(double.events):
        double.emit(event["type"], event["data"]["object"])
    hear(double, alice_client)
    assert balance(organisation) == TEN + CREDIT
    all_is_well()


def test_a_code_for_everything_is_credit_without_a_payment(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    top_up = pay(double, alice_client, discount=2500)
    assert (top_up.state, top_up.paid_cents) == ("paid", 0)
    assert balance(organisation) == TEN + CREDIT
    assert not double.all("payment_intent")
    assert " unused</summary>" not in alice_client.get(reverse("billing")).content.decode()
    all_is_well()


@pytest.mark.parametrize("part", ["amount_discount", "amount_tax"])
def test_a_sum_that_does_not_add_up_credits_nobody(
    double: StripeDouble, alice_client: Client, organisation: Organisation, part: str
) -> None:
    begin(alice_client)
    session = double.pay(TopUp.objects.get().checkout_session_id or "", discount=500)
    session["total_details"][part] += 1
    hear(double, alice_client)
    assert balance(organisation) == TEN


def test_all_of_it_goes_back_tax_and_discount_with_it(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    top_up = pay(double, alice_client)
    page = alice_client.get(reverse("billing")).content.decode()
    assert all(text in page for text in ("$21.60 unused", "with $1.60 tax", "$5.00 off"))
    refund(alice_client, top_up)
    assert [each["amount"] for each in double.all("refund")] == [2160]
    assert balance(organisation) == TEN, "the five dollars that the code gave are gone, too"
    all_is_well()


def test_a_part_goes_back_in_proportion(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    top_up = pay(double, alice_client)
    double.refund(top_up.payment_intent_id or "", 1081)
    hear(double, alice_client)
    refunded = Refund.objects.get()
    assert (refunded.tax_cents, refunded.discount_cents) == (80, 250)
    assert balance(organisation) == TEN + CREDIT - (1001 + 250) * NANOS_PER_CENT
    all_is_well()
    double.fail_refund(refunded.stripe_refund_id or "")
    hear(double, alice_client)
    assert balance(organisation) == TEN + CREDIT
    all_is_well()


def test_a_dispute_takes_tax_and_discount_and_gives_them_back(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    top_up = pay(double, alice_client)
    dispute = double.dispute(top_up.payment_intent_id or "")
    hear(double, alice_client)
    assert balance(organisation) == TEN
    all_is_well()
    double.close_dispute(dispute["id"], won=True)
    hear(double, alice_client)
    assert balance(organisation) == TEN + CREDIT
    all_is_well()


def test_what_a_bank_took_is_not_taken_again_with_the_rest(
    double: StripeDouble, alice_client: Client
) -> None:
    double.dispute(pay(double, alice_client).payment_intent_id or "", 1080)
    hear(double, alice_client)
    assert shares.following(TopUp.objects.get(), 1080) == Share(1000, 80, 250)


def test_the_comparison_with_stripe_knows_tax_and_discounts(
    double: StripeDouble, alice_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    top_up = pay(double, alice_client)
    double.refund(top_up.payment_intent_id or "", 500)
    hear(double, alice_client)
    monkeypatch.setattr(reconciliation, "SETTLES", -reconciliation.SETTLES)
    run = reconciliation.reconcile()
    assert run is not None
    assert (run.compared, run.num_differences, run.error) == (2, 0, "")
    double.objects[top_up.payment_intent_id or ""]["amount_received"] -= 1
    again = reconciliation.reconcile()
    assert again is not None
    assert again.num_differences == 1


# --- Invoices and receipts -----------------------------------------------------------------------


def refund(client: Client, top_up: TopUp) -> Any:
    return client.post(reverse("billing_refund", args=[top_up.pk]), {"form_token": "once"})


def receipt(client: Client, top_up: TopUp) -> Any:
    return client.get(reverse("billing_receipt", args=[top_up.pk]))


def test_a_payment_on_stripes_page_has_an_invoice(
    double: StripeDouble, alice_client: Client
) -> None:
    top_up = pay(double, alice_client)
    address = reverse("billing_receipt", args=[top_up.pk])
    assert f'href="{address}">Invoice' in alice_client.get(reverse("billing")).content.decode()
    [invoice] = double.all("invoice")
    assert receipt(alice_client, top_up)["Location"] == invoice["hosted_invoice_url"]


def test_an_automatic_payment_has_a_receipt(
    double: StripeDouble, alice_client: Client, organisation: Organisation
) -> None:
    save_card(double, alice_client)
    autotopup.turn_on(organisation, 10_000, 2500, 10_000, "alice@example.com")
    autotopup.run()
    [charge] = double.all("charge")
    assert receipt(alice_client, TopUp.objects.get())["Location"] == charge["receipt_url"]


def test_a_receipt_is_its_payers_alone_and_only_of_a_payment(
    double: StripeDouble, alice_client: Client, bob_client: Client, charlie_client: Client
) -> None:
    begin(alice_client)
    assert receipt(alice_client, TopUp.objects.get()).status_code == 404
    double.pay(TopUp.objects.get().checkout_session_id or "")
    hear(double, alice_client)
    top_up = TopUp.objects.get()
    assert receipt(bob_client, top_up).status_code == 403
    assert receipt(charlie_client, top_up).status_code == 404
    double.down = True
    assert receipt(alice_client, top_up)["Location"] == reverse("billing")
