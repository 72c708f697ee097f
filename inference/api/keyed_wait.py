"""Who waits for an answer that somebody else's request with the same key is getting.

In each process one looks at the database for all who wait for a key, whoever runs it and wherever;
nobody looks when all have left. How many may wait is bounded: each keeps its connection and body.
That is a process's memory, so each process counts its own.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from django.db import Error as DatabaseError

from inference.errors import ServiceError, retry_after
from inference.log import replays
from inference.log.replays import Asked
from portal.lib.db import db

logger = structlog.get_logger(__name__)

HEADER = "Idempotency-Key"
MAX_WAITING = 32  # for one key, in one process
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0

_Key = tuple[str, bytes]


@dataclass(eq=False, slots=True)
class _Watch:
    """A look at a key again and again, for as many as wait."""

    ended: asyncio.Task[None]
    num_waiting: int = 0


_watches: dict[_Key, _Watch] = {}


@contextmanager
def waiting(asked: Asked) -> Iterator[asyncio.Task[None]]:
    """What is done when nobody runs the key any more, as far as is known.

    Raises ServiceError (429) when too many wait for it already.
    """
    key = asked.organisation_id, asked.key_hash
    watch = _watches.get(key)
    if watch is None or watch.ended.done():
        watch = _watches[key] = _Watch(asyncio.create_task(_until_ended(key)))
    if watch.num_waiting >= MAX_WAITING:
        raise _too_many()
    watch.num_waiting += 1
    try:
        yield watch.ended
    finally:
        watch.num_waiting -= 1
        if not watch.num_waiting:
            watch.ended.cancel()
            if _watches.get(key) is watch:
                del _watches[key]


async def _until_ended(key: _Key) -> None:
    pause_s = FIRST_PAUSE_S
    running = True
    while running:
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
        try:
            running = await db(replays.is_running, *key)
        except DatabaseError as error:  # who waits asks by itself, and is told
            logger.error("a key was not looked at", error=type(error).__name__)
            return


def _too_many() -> ServiceError:
    message = (
        f"{MAX_WAITING} requests wait already for the answer to this '{HEADER}'. It is told to "
        "whoever asks when it is there."
    )
    headers = retry_after(LONGEST_PAUSE_S)
    return ServiceError(429, "requests", "rate_limit_exceeded", message, HEADER, headers)
