"""Rate limits: GCRA on requests and on tokens, per organisation and, where set, per key.

A request's tokens are its prompt and the output it reserves; what it does not use flows back at
the rate of the limit, not at once. State is in Redis when there is one, so that it is shared by
all web processes; else in this process. When Redis is away, generation is refused (503): limits
fail closed, and only as long as that lasts.
"""

from dataclasses import dataclass, field

import structlog
from django.conf import settings
from throttled.asyncio import RateLimiterType, Throttled, rate_limiter, store
from throttled.exceptions import BaseThrottledError

from accounts.authentication import Caller
from inference import errors
from inference.errors import ServiceError

logger = structlog.get_logger(__name__)

_MEMORY_KEYS = 100_000


@dataclass(slots=True)
class LimitState:
    """What is left of one limit after a request was counted."""

    limit: int
    remaining: int
    reset_s: float


@dataclass(slots=True)
class Allowance:
    """What is left of all limits, as the `x-ratelimit-*` headers say it."""

    states: dict[str, LimitState] = field(default_factory=dict)  # "requests", "tokens"

    def headers(self) -> dict[str, str]:
        made = {}
        for unit, state in self.states.items():
            made[f"x-ratelimit-limit-{unit}"] = str(state.limit)
            made[f"x-ratelimit-remaining-{unit}"] = str(state.remaining)
            made[f"x-ratelimit-reset-{unit}"] = spell_duration(state.reset_s)
        return made


@dataclass(frozen=True, slots=True)
class _Limiter:
    gcra: Throttled
    capacity: int


class RateLimits:
    """The limits of every caller; one for each event loop, since its store is bound to one."""

    def __init__(self) -> None:
        self._store = (
            store.RedisStore(server=settings.REDIS_URL)
            if settings.REDIS_URL
            else store.MemoryStore(options={"MAX_SIZE": _MEMORY_KEYS})
        )
        self._of_organisation = {
            "requests": self._limiter(settings.RATE_LIMIT_REQUESTS_PER_MINUTE),
            "tokens": self._limiter(settings.RATE_LIMIT_TOKENS_PER_MINUTE),
        }
        self._of_key = {
            "requests": self._limiter(settings.RATE_LIMIT_KEY_REQUESTS_PER_MINUTE),
            "tokens": self._limiter(settings.RATE_LIMIT_KEY_TOKENS_PER_MINUTE),
        }

    def _limiter(self, per_minute: int) -> _Limiter | None:
        """None for 0, which means no limit."""
        if not per_minute:
            return None
        gcra = Throttled(
            using=RateLimiterType.GCRA.value,
            quota=rate_limiter.per_min(per_minute),
            store=self._store,
        )
        return _Limiter(gcra, per_minute)

    async def take(self, caller: Caller, unit: str, cost: int, allowance: Allowance) -> None:
        """Count `cost` against the caller's limits and note what is left in `allowance`.

        Raises ServiceError: 429 with a true Retry-After, 503 when the store is away.
        """
        try:
            if caller.api_key_id is not None:
                key = f"key:{caller.api_key_id}:{unit}"
                await self._take_one(self._of_key[unit], key, unit, cost, allowance)
            key = f"organisation:{caller.organisation_id}:{unit}"
            await self._take_one(self._of_organisation[unit], key, unit, cost, allowance)
        except (BaseThrottledError, OSError) as error:
            logger.error("rate limits unavailable", error=type(error).__name__)
            raise errors.overloaded("Rate limits cannot be checked at the moment.", 1.0) from None

    async def _take_one(
        self, limiter: _Limiter | None, key: str, unit: str, cost: int, allowance: Allowance
    ) -> None:
        if limiter is None:
            return
        # What is larger than the whole limit could never pass; it takes all of it instead.
        result = await limiter.gcra.limit(key, min(cost, limiter.capacity))
        state = result.state
        left = LimitState(state.limit, max(state.remaining, 0), state.reset_after)
        known = allowance.states.get(unit)
        if known is None or left.remaining < known.remaining:
            allowance.states[unit] = left
        if result.limited:
            raise _limited(unit, state.limit, state.retry_after, allowance)


def _limited(unit: str, limit: int, retry_after_s: float, allowance: Allowance) -> ServiceError:
    message = (
        f"Rate limit reached: {limit:,} {unit} per minute. "
        f"Please try again in {spell_duration(retry_after_s)}."
    )
    headers = allowance.headers() | errors.retry_after(retry_after_s)
    return ServiceError(429, unit, "rate_limit_exceeded", message, None, headers)


def spell_duration(seconds: float) -> str:
    """`12ms`, `6.5s`, `1m3s`, the way OpenAI writes resets."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, seconds = divmod(seconds, 60)
    spelt = f"{seconds:.3f}".rstrip("0").rstrip(".")
    return f"{int(minutes)}m{spelt}s" if minutes else f"{spelt}s"
