"""The sequences that wait for a place: a queue for each priority and tenant, each by arrival."""

from bisect import insort
from collections.abc import Set

from inference.engine.crowd import Places
from inference.engine.fairness import TenantCounters
from inference.engine.request import Sequence


class Waiting:
    """Who waits, and whose turn it is. Any thread may ask for `num` and `places`."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._queues: dict[tuple[int, str], list[Sequence]] = {}
        self.num = 0
        self.num_tokens = 0  # of all of them

    def places(self) -> Places:
        """Count them by priority and tenant."""
        return Places({place: len(queue) for place, queue in list(self._queues.items())})

    def tenants(self) -> set[str]:
        """Return who has someone waiting."""
        return {tenant for _, tenant in self._queues}

    def queue(self, place: tuple[int, str]) -> list[Sequence]:
        """Return those of one priority and tenant, by arrival."""
        return self._queues.get(place, [])

    def add(self, sequence: Sequence) -> None:
        """Put one into its queue, at the place of its arrival."""
        queue = self._queues.setdefault((sequence.priority, sequence.tenant), [])
        insort(queue, sequence, key=lambda waiting: waiting.arrival)
        self.num += 1
        self.num_tokens += len(sequence.tokens)

    def remove(self, sequence: Sequence) -> None:
        """Take one out; nothing happens if it does not wait."""
        place = (sequence.priority, sequence.tenant)
        queue = self.queue(place)
        if sequence in queue:
            queue.remove(sequence)
            self.num -= 1
            self.num_tokens -= len(sequence.tokens)
            if not queue:
                del self._queues[place]

    def next(
        self, counters: TenantCounters, deferred: Set[tuple[int, str]] = frozenset()
    ) -> Sequence | None:
        """Return whose turn it is, of the queues that are not deferred.

        The lowest priority number first, then the tenant that was served least, then by arrival.
        """
        return min(
            (queue[0] for place, queue in self._queues.items() if place not in deferred),
            key=lambda head: (head.priority, counters.served(head.tenant), head.arrival),
            default=None,
        )

    def check(self) -> None:
        """Raise AssertionError unless all are counted and none holds a block."""
        waiting = [sequence for queue in self._queues.values() for sequence in queue]
        assert self.num == len(waiting)
        assert self.num_tokens == sum(len(sequence.tokens) for sequence in waiting)
        assert not any(sequence.block_table for sequence in waiting)
