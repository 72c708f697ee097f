"""What each payer had left after the latest hold that this process opened for it.

To write a hold takes milliseconds, and more where the database is another machine. Who had enough
a moment ago nearly always has enough now, so the engine may begin meanwhile. Nothing else depends
on this: who can pay is the ledger's word alone, and whoever it refuses is forgotten here. A payer
is an organisation's key, whose cap may refuse what another key's does not, or its sessions.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

from accounts.authentication import Caller

MOST_PAYERS = 10_000

Payer = tuple[str, UUID | None]


def payer_of(caller: Caller) -> Payer:
    return caller.organisation_id, caller.counts_as


class Balances:
    def __init__(self) -> None:
        self._available_nanos: dict[Payer, int] = {}  # whose hold is oldest comes first
        self._unwritten_nanos: Counter[Payer] = Counter()

    def note(self, payer: Payer, available_nanos: int) -> None:
        self.forget(payer)
        self._available_nanos[payer] = available_nanos
        if len(self._available_nanos) > MOST_PAYERS:
            del self._available_nanos[next(iter(self._available_nanos))]

    def forget(self, payer: Payer) -> None:
        self._available_nanos.pop(payer, None)

    @contextlib.contextmanager
    def writing(self, payer: Payer, nanos: int) -> Iterator[bool]:
        """Around the writing of a hold; whether there was enough for it and all that is written.

        Not for a payer that is unknown.
        """
        self._unwritten_nanos[payer] += nanos
        try:
            yield self._available_nanos.get(payer, -1) >= self._unwritten_nanos[payer]
        finally:
            self._unwritten_nanos[payer] -= nanos
            if not self._unwritten_nanos[payer]:
                del self._unwritten_nanos[payer]
