"""Prices: integers, rounded once, up; succeeded, never edited."""

from datetime import timedelta
from fractions import Fraction

import pytest
from django.db import IntegrityError
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from billing import pricing
from billing.models import Price
from billing.pricing import PriceSheet

counts = st.integers(0, 10**7)
prices = st.integers(0, 10**12)


def exact(sheet: PriceSheet, uncached: int, cached: int, output: int, bp: int) -> Fraction:
    return Fraction(
        uncached * sheet.input_nanos_per_mtok
        + cached * sheet.cached_input_nanos_per_mtok
        + output * sheet.output_nanos_per_mtok
    ) * Fraction(bp, 10_000 * 1_000_000)


@given(prices, prices, prices, counts, counts, counts, st.integers(0, 100_000))
def test_a_cost_is_the_exact_sum_rounded_up_once(
    input_price: int, cached_price: int, output_price: int, uncached: int, cached: int,
    output: int, bp: int,
) -> None:  # fmt: skip
    sheet = PriceSheet(1, "m", input_price, cached_price, output_price)
    cost = pricing.cost_nanos(
        sheet, uncached=uncached, cached=cached, output=output, multiplier_bp=bp
    )
    true = exact(sheet, uncached, cached, output, bp)
    assert true <= cost < true + 1


def test_nothing_costs_nothing_and_one_token_costs_at_least_one_nano() -> None:
    sheet = PriceSheet(1, "m", 1, 1, 1)
    free = pricing.cost_nanos(sheet, uncached=0, cached=0, output=0, multiplier_bp=10_000)
    least = pricing.cost_nanos(sheet, uncached=1, cached=0, output=0, multiplier_bp=1)
    assert (free, least) == (0, 1)


@given(st.integers(0, 100_000), st.integers(0, 10_000))
def test_two_multipliers_are_one_rounded_up_to_the_basis_point(rate: int, flex: int) -> None:
    sheet = PriceSheet(1, "m", 1, 1, 1, flex_multiplier_bp=flex)
    exactly = Fraction(rate * flex, 10_000)
    assert exactly <= pricing.together_bp(rate, sheet, flex=True) < exactly + 1
    assert pricing.together_bp(rate, sheet, flex=False) == rate


@pytest.mark.django_db
def test_the_flex_tier_is_never_dearer() -> None:
    with pytest.raises(IntegrityError):
        pricing.set_price("m", 1, 1, 1, flex_multiplier_bp=10_001)


@pytest.mark.django_db
def test_the_newest_price_in_effect_applies() -> None:
    now = timezone.now()
    for days, amount in ((-10, 1), (-1, 2), (1, 3)):
        Price.objects.create(
            model="m", input_nanos_per_mtok=amount, cached_input_nanos_per_mtok=amount,
            output_nanos_per_mtok=amount, effective_from=now + timedelta(days=days),
        )  # fmt: skip
    assert pricing.current_price("m").input_nanos_per_mtok == 2
    assert pricing.ensure_price("m", 9, 9, 9).input_nanos_per_mtok == 2


@pytest.mark.django_db
def test_a_model_without_a_price_is_not_sold() -> None:
    with pytest.raises(pricing.NoPrice):
        pricing.current_price("none")
