"""How fast `/api` may be called: GCRA, so many requests a minute for each organisation.

Every such call reads or changes rows, so a loop that went wild would slow down what everybody else
does. Generation has limits of its own (`inference/limits.py`).
"""

import math
from functools import cache
from typing import Any

import structlog
from django.conf import settings
from redis.exceptions import RedisError
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from throttled import RateLimiterType, RateLimitState, Throttled, rate_limiter, store
from throttled.exceptions import BaseThrottledError

from accounts.authentication import Caller
from portal.lib.durations import spell_duration

logger = structlog.get_logger(__name__)

_MEMORY_KEYS = 100_000


class TooFast(exceptions.APIException):
    status_code = 429
    default_code = "rate_limit_exceeded"

    def __init__(self, owner: str, state: RateLimitState) -> None:
        self.wait = max(1, math.ceil(state.retry_after))  # Retry-After, by DRF's handler
        self.headers = {
            "retry-after-ms": str(math.ceil(1000 * state.retry_after)),
            "x-ratelimit-limit-requests": str(state.limit),
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": spell_duration(state.reset_after),
        }
        super().__init__(
            f"Rate limit of this {owner} reached: {state.limit:,} requests per minute. "
            f"Please try again in {self.wait}s."
        )


class Unavailable(exceptions.APIException):
    status_code = 503
    default_code = "overloaded"
    default_detail = "Rate limits cannot be checked at the moment."
    wait = 1


class ManagementThrottle(BaseThrottle):
    """The key's own requests per minute, then its organisation's."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Raises TooFast and Unavailable; both say when to come back."""
        if not isinstance(request.auth, Caller):
            return True  # what needs no key reads no rows
        for owner, name, per_minute in _limits(request.auth):
            try:
                result = _counter(per_minute, settings.REDIS_URL).limit(name)
            except (BaseThrottledError, RedisError, OSError) as error:
                logger.error("rate limits unavailable", error=type(error).__name__)
                raise Unavailable from None
            if result.limited:
                raise TooFast(owner, result.state)
        return True


def _limits(caller: Caller) -> list[tuple[str, str, int]]:
    limits = []
    if caller.requests_per_minute:
        limits.append(("key", f"manage:key:{caller.counts_as}", caller.requests_per_minute))
    if per_minute := settings.MANAGEMENT_REQUESTS_PER_MINUTE:
        limits.append(("organisation", f"manage:{caller.organisation_id}", per_minute))
    return limits


@cache
def _counter(per_minute: int, redis_url: str) -> Throttled:
    quota = rate_limiter.per_min(per_minute)
    return Throttled(using=RateLimiterType.GCRA.value, quota=quota, store=_store(redis_url))


@cache
def _store(redis_url: str) -> store.BaseStore:
    """Shared by all web processes where there is a Redis, else this process's own."""
    if redis_url:
        options = {"CONNECTION_POOL_KWARGS": settings.REDIS_CONNECTIONS}
        return store.RedisStore(server=redis_url, options=options)
    return store.MemoryStore(options={"MAX_SIZE": _MEMORY_KEYS})
