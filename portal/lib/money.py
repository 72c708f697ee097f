"""Money is an integer number of nano-US-dollars (1e-9 $); this module converts and formats it."""

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from django.utils.translation import pgettext

NANOS_PER_DOLLAR = 1_000_000_000
NANOS_PER_CENT = 10_000_000
TOKENS_PER_PRICE_UNIT = 1_000_000
BASIS_POINTS = 10_000
# The largest amount a 64-bit column holds is 9.2 billion dollars; refuse anything near it.
MAX_NANOS = 10**18
# What an account takes in in all: two such sums together are still within 64 bits.
MAX_POSTED_NANOS = 4 * MAX_NANOS


def parse_dollars(value: str) -> int:
    """Nanos of an amount such as `5`, `5.00` or `0.000000001`.

    Raises ValueError for anything else: signs, exponents, more than nine decimals.
    """
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{value!r} is not an amount in dollars") from None
    if not amount.is_finite() or "e" in value.lower() or not value.strip().isascii():
        raise ValueError(f"{value!r} is not an amount in dollars")
    nanos = amount * NANOS_PER_DOLLAR
    if nanos != nanos.to_integral_value():
        raise ValueError(f"{value!r} has more than nine decimals")
    if not 0 <= nanos <= MAX_NANOS:
        raise ValueError(f"{value!r} is out of range")
    return int(nanos)


def format_dollars(nanos: int, *, places: int | None = None) -> str:
    """`$1.50`, `-$0.000012`: exact, at least two decimals; or rounded to `places`.

    The sign is that of the active language: other dollars are nearer to readers of Chinese.
    """
    sign = f"-{dollar_sign()}" if nanos < 0 else dollar_sign()
    amount = Decimal(abs(nanos)) / NANOS_PER_DOLLAR
    if places is not None:
        amount = amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)
        return f"{sign}{amount:,.{places}f}"
    whole, _, decimals = f"{amount:,.9f}".partition(".")
    return f"{sign}{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def dollar_sign() -> str:
    """As the active language writes it."""
    return pgettext("the sign of US dollars", "$")


def format_plain(nanos: int) -> str:
    """Dollars as an exact decimal string without a sign for the currency: `-0.00000025`."""
    whole, rest = divmod(abs(nanos), NANOS_PER_DOLLAR)
    decimals = f"{rest:09}".rstrip("0") or "0"
    return f"{'-' if nanos < 0 else ''}{whole}.{decimals}"


def per_token(nanos_per_mtok: int) -> str:
    """A price per million tokens as dollars per token, exact: `0.0000002`."""
    digits = Decimal(nanos_per_mtok).scaleb(-15)
    plain = f"{digits:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain
