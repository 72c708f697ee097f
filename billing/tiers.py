"""Tiers: how fast an organisation may call, by what it has paid in all.

The table is one setting, `RATE_LIMIT_TIERS`; a tier is read from payments and what went back of
them, so nothing has to be kept in step with them. It is read while a request waits, so never from
the transfers, of which there are as many as requests. An operator may put an organisation into
another one (`TierOverride`).
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db.models import F, QuerySet, Sum

from billing.models import Dispute, Refund, RefundState, TierOverride, TopUp, TopUpState
from portal.lib.money import NANOS_PER_CENT, parse_dollars


@dataclass(frozen=True, slots=True)
class Tier:
    """Limits of whoever has paid `paid_nanos` in; a limit of 0 is none."""

    name: str
    paid_nanos: int
    requests_per_minute: int
    tokens_per_minute: int


@dataclass(frozen=True, slots=True)
class Standing:
    """The tier of an organisation, and why it has that one."""

    tier: Tier
    paid_nanos: int
    overridden: bool
    next_tier: Tier | None  # what paying more would lead to


def table() -> tuple[Tier, ...]:
    """Every tier, lowest first. Raises ValueError when the setting makes no sense."""
    return _parsed(tuple(settings.RATE_LIMIT_TIERS))


@lru_cache
def _parsed(rows: Sequence[str]) -> tuple[Tier, ...]:
    tiers = tuple(_tier(row) for row in rows)
    thresholds = [tier.paid_nanos for tier in tiers]
    if not tiers or thresholds[0] != 0 or thresholds != sorted(set(thresholds)):
        raise ValueError("RATE_LIMIT_TIERS must begin with a tier from 0 dollars, and rise")
    if len({tier.name for tier in tiers}) != len(tiers):
        raise ValueError("RATE_LIMIT_TIERS has two tiers of one name")
    return tiers


def _tier(row: str) -> Tier:
    try:
        name, dollars, requests, tokens = row.split(":")
        tier = Tier(name, parse_dollars(dollars), int(requests), int(tokens))
    except ValueError:
        raise ValueError(
            f"RATE_LIMIT_TIERS must be a list of NAME:DOLLARS:REQUESTS:TOKENS, but holds {row!r}"
        ) from None
    if not name or min(tier.requests_per_minute, tier.tokens_per_minute) < 0:
        raise ValueError(
            f"RATE_LIMIT_TIERS needs a name and no negative numbers in each tier, unlike {row!r}"
        )
    return tier


def standing(organisation_id: str) -> Standing:
    return standings([organisation_id])[organisation_id]


def standings(organisation_ids: Collection[str]) -> dict[str, Standing]:
    """Four queries. An override that names a tier which is no longer there counts for nothing."""
    tiers = {tier.name: tier for tier in table()}
    paid_cents = _paid_cents(organisation_ids)
    overrides = TierOverride.objects.filter(organisation_id__in=organisation_ids, tier__in=tiers)
    chosen = {row.organisation_id: tiers[row.tier] for row in overrides}
    return {
        each: _standing(paid_cents[each] * NANOS_PER_CENT, chosen.get(each))
        for each in organisation_ids
    }


def _standing(paid_nanos: int, chosen: Tier | None) -> Standing:
    if chosen is not None:
        return Standing(chosen, paid_nanos, overridden=True, next_tier=None)
    tiers = table()
    earned = [tier for tier in tiers if tier.paid_nanos <= paid_nanos]
    above = tiers[len(earned) :]
    return Standing(earned[-1], paid_nanos, overridden=False, next_tier=above[0] if above else None)


def _paid_cents(organisation_ids: Collection[str]) -> Counter[str]:
    """Payments less what went back of them, without discounts and tax."""
    paid = TopUp.objects.filter(organisation__in=organisation_ids, state=TopUpState.PAID)
    refunds = Refund.objects.filter(top_up__organisation__in=organisation_ids)
    disputes = Dispute.objects.filter(top_up__organisation__in=organisation_ids, taken=True)
    cents = _sums(paid, "organisation_id", "discount_cents")
    cents.subtract(
        _sums(refunds.exclude(state=RefundState.FAILED), "top_up__organisation_id", "tax_cents")
    )
    cents.subtract(_sums(disputes, "top_up__organisation_id", "tax_cents"))
    return cents


def _sums(rows: QuerySet[Any], of: str, less: str) -> Counter[str]:
    sums = rows.order_by().values_list(of).annotate(total=Sum(F("amount_cents") - F(less)))
    return Counter(dict(sums))
