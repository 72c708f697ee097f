"""What goes back of a payment: price, tax and discount in proportion, all of it in the end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from accounts import flows
from accounts.models import Organisation, User
from billing import shares, topups
from billing.models import Dispute, Refund, RefundState, TopUp
from billing.shares import Share

parts = st.lists(st.integers(1, 400), max_size=6)


def paid(organisation: Organisation, amount: int, discount: int, tax: int) -> TopUp:
    return TopUp.objects.create(
        organisation=organisation, amount_cents=amount, discount_cents=discount, tax_cents=tax,
        form_token=topups.new_form_token(),
    )  # fmt: skip


def go_back(top_up: TopUp, share: Share) -> None:
    if share.money_cents:
        token = str(Refund.objects.filter(top_up=top_up).count())
        Refund.objects.create(
            top_up=top_up, amount_cents=share.money_cents, tax_cents=share.tax_cents,
            discount_cents=share.discount_cents, form_token=token,
        )  # fmt: skip


class TestShares(TestCase):
    organisation: Organisation

    @classmethod
    def setUpTestData(cls) -> None:
        user = User.objects.create_user("shares@example.com")
        cls.organisation = flows.create_organisation(user, "Shares", welcome=False)

    @settings(deadline=None, max_examples=60)
    @given(st.integers(1, 1000), st.integers(0, 1000), st.integers(0, 200), parts, parts)
    def test_all_of_a_payment_is_all_of_each_in_any_parts(
        self, amount: int, discount: int, tax: int, money: list[int], credit: list[int]
    ) -> None:
        discount = min(discount, amount - 1)
        top_up = paid(self.organisation, amount, discount, tax)
        left, gone = top_up.paid_cents, Share(0, 0, 0)

        def take(share: Share) -> None:
            nonlocal left, gone
            assert min(share.net_cents, share.tax_cents, share.discount_cents) >= 0
            gone = Share(
                gone.net_cents + share.net_cents, gone.tax_cents + share.tax_cents,
                gone.discount_cents + share.discount_cents,
            )  # fmt: skip
            left -= share.money_cents
            go_back(top_up, share)

        for cents in money:
            take(shares.following(top_up, min(cents, left)))
        for cents in credit:
            share = shares.refundable(top_up, cents)
            assert share.credit_cents <= cents
            take(share)
        take(shares.following(top_up, left))
        assert gone == Share(top_up.net_cents, top_up.tax_cents, top_up.discount_cents)

    @settings(deadline=None, max_examples=60)
    @given(st.integers(1, 1000), st.integers(0, 1000), st.integers(0, 200), st.integers(0, 1100))
    def test_no_cent_more_could_go_back_for_so_much_credit(
        self, amount: int, discount: int, tax: int, credit: int
    ) -> None:
        top_up = paid(self.organisation, amount, min(discount, amount - 1), tax)
        share = shares.refundable(top_up, credit)
        if share.money_cents < top_up.paid_cents:
            more = shares.following(top_up, share.money_cents + 1)
            assert more.credit_cents > credit


@pytest.mark.django_db
def test_without_discount_and_tax_a_cent_is_a_cent(organisation: Organisation) -> None:
    top_up = paid(organisation, 2500, 0, 0)
    assert shares.refundable(top_up, 700) == shares.following(top_up, 700) == Share(700, 0, 0)


@pytest.mark.django_db
def test_nothing_goes_back_of_what_was_free(organisation: Organisation) -> None:
    assert shares.refundable(paid(organisation, 2500, 2500, 0), 2500) == Share(0, 0, 0)


@pytest.mark.django_db
def test_what_went_back_of_another_payment_is_none_of_this_one(organisation: Organisation) -> None:
    top_up, other = paid(organisation, 2500, 0, 0), paid(organisation, 2500, 0, 0)
    Dispute.objects.create(
        dispute_id="dp_1", top_up=other, amount_cents=2500, taken=True, status="lost"
    )
    go_back(other, Share(100, 0, 0))
    assert shares.refundable(top_up, 2500) == Share(2500, 0, 0)


@pytest.mark.django_db
def test_what_a_won_dispute_gave_back_can_go_back(organisation: Organisation) -> None:
    top_up = paid(organisation, 2500, 500, 200)
    for taken, status in ((True, "lost"), (False, "won")):
        Dispute.objects.create(
            dispute_id=f"dp_{status}", top_up=top_up, amount_cents=1100, tax_cents=100,
            discount_cents=250, taken=taken, status=status,
        )  # fmt: skip
    assert shares.refundable(top_up, 2500) == Share(1000, 100, 250)


@pytest.mark.django_db
def test_what_a_failed_refund_was_to_bring_can_go_back_again(organisation: Organisation) -> None:
    top_up = paid(organisation, 2500, 500, 200)
    go_back(top_up, shares.following(top_up, 1100))
    assert shares.refundable(top_up, 2500) == Share(1000, 100, 250)
    Refund.objects.update(state=RefundState.FAILED)
    assert shares.refundable(top_up, 2500) == Share(2000, 200, 500)
