"""What a part of a payment's money was paid for: credit, the discount beside it, and tax.

A payment of `paid_cents` bought credit at a price, `net_cents`, and paid tax on it; a discount was
credit beside it. When money goes back, each goes back in proportion: of the first M cents that
ever go back, floor(tax x M / paid) are tax, the rest N is price, and floor(discount x N / net) of
discount is taken back with it. So all of the payment is all of each, to the cent, in any number of
parts. The next part is what the whole says less what earlier parts were, as their rows tell.
"""

from dataclasses import dataclass

from django.db.models import Sum

from billing.models import Dispute, Refund, RefundState, TopUp
from portal.lib.money import NANOS_PER_CENT


@dataclass(frozen=True, slots=True)
class Share:
    """Cents of a part: `net` and `tax` are Stripe's money, `net` and `discount` are credit."""

    net_cents: int
    tax_cents: int
    discount_cents: int

    @property
    def money_cents(self) -> int:
        return self.net_cents + self.tax_cents

    @property
    def credit_cents(self) -> int:
        return self.net_cents + self.discount_cents

    @property
    def credit_nanos(self) -> int:
        return self.credit_cents * NANOS_PER_CENT


def following(top_up: TopUp, money_cents: int) -> Share:
    """What the next `money_cents` that go back are. The caller has locked the top-up."""
    gone = _gone(top_up)
    return _following(top_up, gone, money_cents)


def refundable(top_up: TopUp, credit_cents: int) -> Share:
    """The most that can go back for at most so much credit."""
    gone = _gone(top_up)
    left = top_up.paid_cents - gone.money_cents
    # With no more credit than this the money is at most that much, two roundings aside.
    guess = top_up.paid_cents * (gone.credit_cents + credit_cents) // top_up.amount_cents + 2
    money_cents = max(0, min(left, guess - gone.money_cents))
    share = _following(top_up, gone, money_cents)
    while share.credit_cents > credit_cents and money_cents:
        money_cents -= 1
        share = _following(top_up, gone, money_cents)
    return share


def _following(top_up: TopUp, gone: Share, money_cents: int) -> Share:
    until = _first(top_up, gone.money_cents + money_cents)
    tax_cents = min(max(until.tax_cents - gone.tax_cents, 0), money_cents)
    discount_cents = max(until.discount_cents - gone.discount_cents, 0)
    return Share(money_cents - tax_cents, tax_cents, discount_cents)


def _first(top_up: TopUp, money_cents: int) -> Share:
    """Of the first cents that go back of a payment."""
    if not top_up.paid_cents:
        return Share(0, 0, 0)
    tax_cents = top_up.tax_cents * money_cents // top_up.paid_cents
    net_cents = money_cents - tax_cents
    return Share(net_cents, tax_cents, top_up.discount_cents * net_cents // top_up.net_cents)


def _gone(top_up: TopUp) -> Share:
    """What went back already."""
    refunds = Refund.objects.filter(top_up=top_up).exclude(state=RefundState.FAILED)
    disputes = Dispute.objects.filter(top_up=top_up, taken=True)
    sums = [
        rows.aggregate(
            money=Sum("amount_cents", default=0),
            tax=Sum("tax_cents", default=0),
            discount=Sum("discount_cents", default=0),
        )
        for rows in (refunds, disputes)
    ]
    money, tax, discount = (
        sum(found[name] for found in sums) for name in ("money", "tax", "discount")
    )
    return Share(money - tax, tax, discount)
