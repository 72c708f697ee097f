"""Who waits, counted by priority and tenant: who is refused when the queue is full, who is next.

Integers only.
"""

import threading
from collections import Counter

# How many sequences wait, by priority and tenant.
Places = Counter[tuple[int, str]]


def who_gives_way(tenant: str, priority: int, lengths: Places) -> tuple[int, str] | None:
    """Return whose queue a newcomer shortens where there is no room; None: it is refused itself.

    The refused one is of the lowest priority, and there of the tenant that waits with the most, so
    a flood pushes out its own requests (longest queue drop).
    """
    last = max([priority, *(each for each, _ in lengths)])
    waiting = Counter({name: length for (each, name), length in lengths.items() if each == last})
    if priority == last:
        waiting[tenant] += 1
    longest = max(waiting, key=lambda name: waiting[name])
    if priority == last and waiting[longest] <= waiting[tenant] + 1:
        return None
    return last, longest


def num_before(tenant: str, priority: int, lengths: Places) -> int:
    """Count the waiting ones that would start before a newcomer: the tenants take turns."""
    own = lengths[priority, tenant]
    before = 0
    for (each, name), length in lengths.items():
        if each < priority or name == tenant:
            before += length if each <= priority else 0
        elif each == priority:
            before += min(length, own + 1)
    return before


class Coming:
    """The sequences that are on their way to the loop's thread; any thread may ask for them."""

    def __init__(self) -> None:
        """Nothing comes yet."""
        self._places = Places()
        self._lock = threading.Lock()

    def add(self, place: tuple[int, str]) -> None:
        """One more is sent."""
        with self._lock:
            self._places[place] += 1

    def remove(self, place: tuple[int, str]) -> None:
        """One has arrived."""
        with self._lock:
            self._places -= Places({place: 1})

    def count(self) -> Places:
        """Return those that are on their way now."""
        with self._lock:
            return self._places.copy()
