"""Rate limits: GCRA on requests and on tokens, per organisation and, where set, per key.

An organisation's limits are its tier's (`billing.tiers`), a key's are its owner's choice; both
apply, so a key never has more than its organisation. A request's tokens are its prompt and the
output it reserves; what it does not use flows back at the rate of the limit, not at once.

State is in Redis when there is one, so that it is shared by all web processes; else in this
process. When Redis is away, generation is refused (503): limits fail closed, and only as long as
that lasts.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.utils.translation import gettext_lazy as _
from throttled.exceptions import BaseThrottledError

from accounts.authentication import Caller
from billing import tiers
from billing.tiers import Tier
from inference import errors
from inference.errors import ServiceError
from inference.pace import MINUTE_S, Paces, SharedPaces
from inference.sentences import Sentence
from portal.lib.db import db
from portal.lib.durations import spell_duration

logger = structlog.get_logger(__name__)

_MEMORY_KEYS = 100_000
REACHED = {
    ("key", "requests"): _("Rate limit of this key reached: %(most)s requests per minute."),
    ("key", "tokens"): _("Rate limit of this key reached: %(most)s tokens per minute."),
    ("organisation", "requests"): _(
        "Rate limit of this organisation reached: %(most)s requests per minute."
    ),
    ("organisation", "tokens"): _(
        "Rate limit of this organisation reached: %(most)s tokens per minute."
    ),
}


@dataclass(slots=True)
class LimitState:
    """What is left of one limit after a request was counted."""

    limit: int
    remaining: int
    reset_s: float


@dataclass(slots=True)
class Allowance:
    """What is left of the tightest limits, as the `x-ratelimit-*` headers say it."""

    states: dict[str, LimitState] = field(default_factory=dict)  # "requests", "tokens"

    def headers(self) -> dict[str, str]:
        made = {}
        for unit, state in self.states.items():
            made[f"x-ratelimit-limit-{unit}"] = str(state.limit)
            made[f"x-ratelimit-remaining-{unit}"] = str(state.remaining)
            made[f"x-ratelimit-reset-{unit}"] = spell_duration(state.reset_s)
        return made


class _Limit(NamedTuple):
    """`per_minute` units for one key or organisation; a tuple, since every request makes some."""

    owner: str  # "key" or "organisation"
    name: str  # of the stored state
    unit: str
    per_minute: int

    def capped(self, cost: int) -> int:
        """What is larger than the whole limit could never pass; it takes all of it instead."""
        return min(cost, self.per_minute)


class RateLimits:
    """The limits of every caller; one for each event loop, since its store is bound to one."""

    def __init__(self) -> None:
        url = settings.REDIS_URL
        self._paces: Paces | SharedPaces = SharedPaces(url) if url else Paces()
        self._tiers = _Tiers()

    async def take(self, caller: Caller, unit: str, cost: int, allowance: Allowance) -> None:
        """Count `cost` against the caller's limits and note what is left in `allowance`.

        Raises ServiceError: 429 with a true Retry-After, 503 when the store is away.
        """
        tier = self._tiers.known(caller.organisation_id)
        if tier is None:
            tier = await self._tiers.read(caller.organisation_id)
        try:
            for limit in _limits(caller, tier, unit):
                await self._take_one(limit, cost, caller, tier, allowance)
        except (BaseThrottledError, OSError) as error:
            logger.error("rate limits unavailable", error=type(error).__name__)
            unchecked = _("Rate limits cannot be checked at the moment.")
            raise errors.overloaded(unchecked, 1.0) from None

    async def _take_one(
        self, limit: _Limit, cost: int, caller: Caller, tier: Tier, allowance: Allowance
    ) -> None:
        taken = await self._paces.take(limit.name, limit.per_minute, limit.capped(cost))
        left = LimitState(limit.per_minute, taken.remaining, taken.reset_s)
        known = allowance.states.get(limit.unit)
        if not taken.passed or known is None or left.remaining < known.remaining:
            allowance.states[limit.unit] = left
        if not taken.passed:
            # It comes again as a whole: as a request, and with these tokens.
            costs = {"requests": 1, limit.unit: cost}
            wait_s = max(taken.retry_s, await self._wait_s(caller, tier, costs))
            raise _refused(limit, wait_s, allowance)

    async def _wait_s(self, caller: Caller, tier: Tier, costs: Mapping[str, int]) -> float:
        """After how long all limits would let this pass, if nothing else came."""
        wait_s = 0.0
        for unit, cost in costs.items():
            for limit in _limits(caller, tier, unit):
                reset_s = await self._paces.reset_s(limit.name, limit.per_minute)
                room = limit.per_minute - limit.capped(cost)
                wait_s = max(wait_s, reset_s - room * MINUTE_S / limit.per_minute)
        return wait_s


class _Tiers:
    """Tiers of organisations, read again after RATE_LIMIT_TIER_CACHE_S by one request of many."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Tier, float]] = {}
        self._reading: dict[str, asyncio.Future[Tier]] = {}

    def known(self, organisation_id: str) -> Tier | None:
        tier, until = self._known.get(organisation_id, (None, 0.0))
        return tier if time.monotonic() < until else None

    async def read(self, organisation_id: str) -> Tier:
        """Raises ServiceError (503) when the database is away."""
        reading = self._reading.get(organisation_id)
        if reading is None:
            reading = asyncio.ensure_future(self._read(organisation_id))
            self._reading[organisation_id] = reading
            reading.add_done_callback(lambda _: self._reading.pop(organisation_id, None))
        try:
            return await asyncio.shield(reading)
        except DatabaseError:
            raise errors.accounting_unavailable() from None

    async def _read(self, organisation_id: str) -> Tier:
        tier = (await db(tiers.standing, organisation_id)).tier
        if len(self._known) >= _MEMORY_KEYS:
            self._known.clear()
        self._known[organisation_id] = tier, time.monotonic() + settings.RATE_LIMIT_TIER_CACHE_S
        return tier


def _limits(caller: Caller, tier: Tier, unit: str) -> list[_Limit]:
    """The key's before its organisation's: a key that is too fast takes nothing from others."""
    by_key, by_organisation = (
        (caller.requests_per_minute, tier.requests_per_minute)
        if unit == "requests"
        else (caller.tokens_per_minute, tier.tokens_per_minute)
    )
    limits = []
    if by_key and caller.api_key_id is not None:
        limits.append(_Limit("key", f"key:{caller.counts_as}:{unit}", unit, by_key))
    if by_organisation:
        name = f"organisation:{caller.organisation_id}:{unit}"
        limits.append(_Limit("organisation", name, unit, by_organisation))
    return limits


def _refused(limit: _Limit, wait_s: float, allowance: Allowance) -> ServiceError:
    message = Sentence(REACHED[limit.owner, limit.unit], most=f"{limit.per_minute:,}")
    message.then(_("Please try again in %(wait)s."), wait=spell_duration(wait_s))
    headers = allowance.headers() | errors.retry_after(wait_s)
    return ServiceError(429, limit.unit, "rate_limit_exceeded", message, None, headers)
