"""What an invoice's cents were paid for, worked out by hand for one of each kind."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.invoices import Parts, parts_of
from billing.models import Plan
from billing.stripe_billing import StripeInvoice

PLAN = Plan(price_cents=2000, credit_cents=2500)


def invoice(
    subtotal: int, total: int, paid: int, *, begins_period: bool = True, **cents: int
) -> StripeInvoice:
    parts: dict[str, Any] = dict.fromkeys(("discount_cents", "tax_cents", "included_tax_cents"), 0)
    return StripeInvoice(
        invoice_id="in_1", customer_id="cus_1", subscription_id="sub_1", status="paid",
        begins_period=begins_period, price_id="price_1", currency="usd", units=0, address="",
        subtotal_cents=subtotal, total_cents=total, paid_cents=paid,
        **parts | {f"{name}_cents": value for name, value in cents.items()},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("made", "parts"),
    [
        pytest.param(invoice(2000, 2000, 2000), Parts(2500, 500, 0, 0), id="a-period"),
        pytest.param(invoice(2000, 2200, 2200, tax=200), Parts(2500, 500, 200, 0), id="tax"),
        pytest.param(
            invoice(2000, 2000, 2000, tax=200, included_tax=200),
            Parts(2500, 700, 200, 0), id="tax-included",
        ),
        pytest.param(
            invoice(2000, 2200, 1100, tax=200), Parts(1250, 250, 100, 0), id="half-by-balance"
        ),
        pytest.param(
            invoice(2000, 1100, 1100, tax=100, discount=1000), Parts(2500, 1500, 100, 0), id="code"
        ),
        pytest.param(invoice(2000, 0, 0, discount=2000), Parts(2500, 2500, 0, 0), id="all-free"),
        pytest.param(
            invoice(2000, 2200, 2530, tax=200), Parts(2800, 500, 230, 300), id="carried-beside"
        ),
        pytest.param(invoice(2600, 2600, 2600), Parts(3100, 500, 0, 0), id="above-its-price"),
        pytest.param(invoice(800, 800, 800), Parts(1000, 200, 0, 0), id="below-its-price"),
        pytest.param(
            invoice(2000, 2200, 2200, tax=200, begins_period=False),
            Parts(2000, 0, 200, 0), id="a-change-within",
        ),
        pytest.param(invoice(0, 0, 0), Parts(0, 0, 0, 0), id="a-trial"),
        pytest.param(invoice(-500, -500, 0), Parts(0, 0, 0, 0), id="on-its-way-back"),
        pytest.param(invoice(0, 0, 60), Parts(60, 0, 0, 60), id="a-trial-and-carried"),
        pytest.param(invoice(-40, -40, 60), Parts(60, 0, 0, 60), id="way-back-and-carried"),
        pytest.param(invoice(1, 1, 1), Parts(1, 0, 0, 0), id="a-cent"),
    ],
)  # fmt: skip
def test_of_a_plan(made: StripeInvoice, parts: Parts) -> None:
    assert parts_of(made, PLAN) == parts


def test_of_usage_each_part_is_rounded_down() -> None:
    made = invoice(1999, 1604, 1000, tax=105, discount=500)
    assert parts_of(made, None) == Parts(1246, 311, 65, 0)


@given(st.data())
def test_credit_less_discount_and_tax_is_what_was_paid(data: st.DataObject) -> None:
    subtotal = data.draw(st.integers(1, 5000))
    discount = data.draw(st.integers(0, subtotal - 1))
    tax = data.draw(st.integers(0, subtotal - discount))
    total = subtotal - discount + tax
    made = invoice(
        subtotal, total, data.draw(st.integers(0, 2 * total)), tax=tax, discount=discount,
        begins_period=data.draw(st.booleans()),
    )  # fmt: skip
    parts = parts_of(made, data.draw(st.sampled_from([PLAN, None])))
    assert parts.credit_cents - parts.discount_cents + parts.tax_cents == made.paid_cents
    assert min(parts.credit_cents, parts.discount_cents, parts.tax_cents, parts.carried_cents) >= 0
