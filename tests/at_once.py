"""The same work by many threads that begin in one moment, as by so many workers."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

T = TypeVar("T")


def at_once(number: int, work: Callable[[int], T]) -> list[T | ValueError]:
    """What each returned, or the ValueError with which it was refused. Raises any other error."""
    barrier = threading.Barrier(number)
    pool = getattr(connection, "pool", None)  # of PostgreSQL
    if pool is not None:
        pool.timeout = 60.0  # what is raced for is not a connection, also on a busy machine

    def one(which: int) -> T | ValueError:
        barrier.wait()
        try:
            return work(which)
        except ValueError as refusal:
            return refusal
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(one, range(number)))


def num_refused(results: Iterable[object]) -> int:
    return sum(isinstance(result, ValueError) for result in results)
