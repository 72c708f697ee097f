"""Who waits, counted by priority and tenant: who is refused when the queue is full, who is next.

Integers only.
"""

import threading
from collections import Counter, deque

EXPECTED_S = 2.0  # longer than a hold takes to be opened
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
    # Who waits has been told that there is a place: for one less it is not taken back.
    if priority == last and waiting[longest] <= waiting[tenant] + 1:
        return None
    return last, longest


def num_before(tenant: str, priority: int, lengths: Places) -> int:
    """Count the waiting ones that would start before a newcomer: the tenants take turns."""
    turns = lengths[priority, tenant] + 1
    return sum(
        length if each < priority else min(length, turns)
        for (each, _), length in lengths.items()
        if each <= priority
    )


class Coming:
    """The sequences that are on their way to the loop's thread; any thread may ask for them.

    Who was told that there is a place is expected for a while: its hold is opened meanwhile, and
    all who ask until then would be let in as well.
    """

    def __init__(self) -> None:
        """Nothing comes yet."""
        self._sent = Places()
        self._expected: dict[tuple[int, str], deque[float]] = {}  # until when, each
        self._lock = threading.Lock()

    def expect(self, place: tuple[int, str], num: int, now: float) -> None:
        """So many will be sent, or have thought better of it in EXPECTED_S."""
        with self._lock:
            self._expected.setdefault(place, deque()).extend([now + EXPECTED_S] * num)

    def send(self, place: tuple[int, str]) -> None:
        """One is sent, expected or not."""
        with self._lock:
            self._sent[place] += 1
            if place in self._expected:
                self._drop(place, 1)

    def receive(self, place: tuple[int, str]) -> None:
        """One has arrived."""
        with self._lock:
            self._sent -= Places({place: 1})

    def count(self, now: float) -> Places:
        """Return those that are on their way or expected now."""
        with self._lock:
            for place, until in list(self._expected.items()):
                self._drop(place, sum(1 for each in until if each < now))
            return self._sent + Places({p: len(until) for p, until in self._expected.items()})

    def _drop(self, place: tuple[int, str], num: int) -> None:
        until = self._expected[place]
        for _ in range(num):
            until.popleft()
        if not until:
            del self._expected[place]
