"""GCRA, the leaky bucket as a meter: how many units of a name may pass in a minute.

A name's state is one moment, its theoretical arrival time (TAT): when all that it took will have
flowed back. It is in this process (`Paces`), or in Redis, shared by all web processes
(`SharedPaces`). After ITU-T I.371, as https://brandur.org/rate-limiting tells it.
"""

import math
from time import monotonic
from typing import NamedTuple

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from throttled.asyncio import RateLimiterType, Throttled, rate_limiter, store

MINUTE_S = 60.0
_MOST_NAMES = 100_000
# A few connections are shared: redis-py's own pool fails where it has no more to give. One that a
# restart of Redis or a firewall has ended is noticed when it is used next, and made again.
REDIS_OPTIONS = {
    "CONNECTION_POOL_CLASS": "redis.asyncio.BlockingConnectionPool",
    "CONNECTION_POOL_KWARGS": {
        "max_connections": 32,
        "timeout": 5,
        "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    },
    "SOCKET_TIMEOUT": 5,
    "SOCKET_CONNECT_TIMEOUT": 5,
}


class Taken(NamedTuple):
    """What came of asking for units, and what is left."""

    passed: bool
    remaining: int
    reset_s: float  # until all have flowed back
    retry_s: float  # until these would pass; 0 when they did


class Paces:
    """Of one event loop, which asks without waiting."""

    def __init__(self) -> None:
        self._arrivals: dict[str, float] = {}  # TATs, who took last at the end

    async def take(self, name: str, per_minute: int, cost: int) -> Taken:
        now, interval_s = monotonic(), MINUTE_S / per_minute
        ahead_s = max(self._arrivals.get(name, now) - now, 0.0)
        remaining = per_minute - cost + math.floor(-ahead_s / interval_s)
        if remaining < 0:
            retry_s = ahead_s - (per_minute - cost) * interval_s
            return Taken(False, cost + remaining, ahead_s, retry_s)
        self._note(name, now + ahead_s + cost * interval_s)
        return Taken(True, remaining, ahead_s + cost * interval_s, 0.0)

    def _note(self, name: str, arrival: float) -> None:
        self._arrivals.pop(name, None)
        self._arrivals[name] = arrival
        if len(self._arrivals) > _MOST_NAMES:
            del self._arrivals[next(iter(self._arrivals))]

    async def reset_s(self, name: str, per_minute: int) -> float:
        """Until all units have flowed back."""
        return max(self._arrivals.get(name, 0.0) - monotonic(), 0.0)


class SharedPaces:
    """In Redis. Raises BaseThrottledError and OSError when that is away."""

    def __init__(self, url: str) -> None:
        self._store = store.RedisStore(server=url, options=REDIS_OPTIONS)
        self._counters: dict[int, Throttled] = {}  # by what they let pass in a minute

    async def take(self, name: str, per_minute: int, cost: int) -> Taken:
        result = await self._counter(per_minute).limit(name, cost)
        state = result.state
        return Taken(not result.limited, state.remaining, state.reset_after, state.retry_after)

    async def reset_s(self, name: str, per_minute: int) -> float:
        """Until all units have flowed back."""
        state = await self._counter(per_minute).peek(name)
        return state.reset_after

    def _counter(self, per_minute: int) -> Throttled:
        counter = self._counters.get(per_minute)
        if counter is None:
            quota = rate_limiter.per_min(per_minute)
            using = RateLimiterType.GCRA.value
            counter = Throttled(using=using, quota=quota, store=self._store)
            self._counters[per_minute] = counter
        return counter
