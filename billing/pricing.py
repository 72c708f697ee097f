"""What tokens cost: arithmetic on integers, and which price applies now.

Prices are nanos per million tokens; multipliers are basis points. A request is rounded once, up.
Two multipliers, an organisation's and a price's for the flex tier, become one, rounded up to the
basis point. A price is never edited, only succeeded by one with a later date.
"""

from dataclasses import dataclass
from decimal import Decimal

from django.utils import timezone

from billing.models import Price
from portal.lib.money import BASIS_POINTS, TOKENS_PER_PRICE_UNIT


class NoPrice(Exception):  # noqa: N818  the word of the contract
    """The model has no price yet, so it cannot be sold."""


@dataclass(frozen=True, slots=True)
class PriceSheet:
    """One row of prices as plain numbers: nanos per million tokens."""

    price_id: int
    model: str
    input_nanos_per_mtok: int
    cached_input_nanos_per_mtok: int
    output_nanos_per_mtok: int
    flex_multiplier_bp: int = BASIS_POINTS

    @property
    def flex_percent(self) -> str:
        """What the flex tier costs of it: `50`, `12.5`; nothing where it costs the same."""
        if self.flex_multiplier_bp == BASIS_POINTS:
            return ""
        return f"{Decimal(self.flex_multiplier_bp) / 100:f}"


def current_price(model: str) -> PriceSheet:
    """The price in effect now. Raises NoPrice."""
    row = (
        Price.objects.filter(model=model, effective_from__lte=timezone.now())
        .order_by("-effective_from")
        .first()
    )
    if row is None:
        raise NoPrice(model)
    return sheet(row)


def sheet(row: Price) -> PriceSheet:
    return PriceSheet(
        price_id=row.pk,
        model=row.model,
        input_nanos_per_mtok=row.input_nanos_per_mtok,
        cached_input_nanos_per_mtok=row.cached_input_nanos_per_mtok,
        output_nanos_per_mtok=row.output_nanos_per_mtok,
        flex_multiplier_bp=row.flex_multiplier_bp,
    )


def set_price(
    model: str,
    input: int,  # noqa: A002
    cached_input: int,
    output: int,
    *,
    flex_multiplier_bp: int = BASIS_POINTS,
) -> PriceSheet:
    """Succeed the model's price from now on; nanos per million tokens."""
    row = Price.objects.create(
        model=model,
        input_nanos_per_mtok=input,
        cached_input_nanos_per_mtok=cached_input,
        output_nanos_per_mtok=output,
        flex_multiplier_bp=flex_multiplier_bp,
    )
    return sheet(row)


def ensure_price(model: str, input: int, cached_input: int, output: int) -> PriceSheet:  # noqa: A002
    """The current price, made from these when the model has none."""
    try:
        return current_price(model)
    except NoPrice:
        return set_price(model, input, cached_input, output)


def together_bp(organisation_bp: int, price: PriceSheet, *, flex: bool) -> int:
    """One multiplier of an organisation's and the flex tier's, rounded up to the basis point."""
    if not flex:
        return organisation_bp
    return -(-organisation_bp * price.flex_multiplier_bp // BASIS_POINTS)


def cost_nanos(
    price: PriceSheet, *, uncached: int, cached: int, output: int, multiplier_bp: int
) -> int:
    """The cost of disjoint counts of tokens, in nanos, rounded up once at the end."""
    per_unit = (
        uncached * price.input_nanos_per_mtok
        + cached * price.cached_input_nanos_per_mtok
        + output * price.output_nanos_per_mtok
    ) * multiplier_bp
    return -(-per_unit // (TOKENS_PER_PRICE_UNIT * BASIS_POINTS))
