"""Money: exact conversions, and refusals of what is not an amount."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.lib import money
from portal.lib.money import MAX_NANOS, format_dollars, format_plain, parse_dollars, per_token


@given(st.integers(0, MAX_NANOS))
def test_formatting_and_parsing_are_inverse(nanos: int) -> None:
    assert parse_dollars(format_plain(nanos)) == nanos
    assert parse_dollars(format_dollars(nanos).removeprefix("$").replace(",", "")) == nanos


@pytest.mark.parametrize(
    ("text", "nanos"), [("5", 5 * 10**9), ("5.00", 5 * 10**9), ("0.000000001", 1), ("0", 0)]
)
def test_it_parses_amounts(text: str, nanos: int) -> None:
    assert parse_dollars(text) == nanos


@pytest.mark.parametrize(
    "text",
    ["", "-1", "1e3", "NaN", "Infinity", "0.0000000001", "5 $", "١", "1,000", "10000000000"],
)
def test_it_refuses_what_is_not_an_amount(text: str) -> None:
    with pytest.raises(ValueError, match=r"dollars|decimals|range"):
        parse_dollars(text)


def test_it_shows_cents_at_least_and_nanos_at_most() -> None:
    assert format_dollars(1_500_000_000) == "$1.50"
    assert format_dollars(-12_000) == "-$0.000012"
    assert format_dollars(1_234_567_890_000_000_000) == "$1,234,567,890.00"
    assert format_dollars(1_005_000_000, places=2) == "$1.00"


def test_a_price_per_token_is_exact() -> None:
    assert per_token(100_000_000) == "0.0000001"
    assert per_token(1) == "0.000000000000001"
    assert per_token(0) == "0"


def test_a_cent_is_ten_million_nanos() -> None:
    assert money.NANOS_PER_CENT * 100 == money.NANOS_PER_DOLLAR
