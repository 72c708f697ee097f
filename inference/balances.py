"""What organisations had left after the latest hold that this process opened for them.

To write a hold takes milliseconds, and more where the database is another machine. Who had enough
a moment ago nearly always has enough now, so the engine may begin meanwhile. Nothing else depends
on this: who can pay is the ledger's word alone, and whoever it refuses is forgotten here.
"""

MOST_ORGANISATIONS = 10_000


class Balances:
    def __init__(self) -> None:
        self._available_nanos: dict[str, int] = {}  # whose hold is oldest comes first

    def note(self, organisation_id: str, available_nanos: int) -> None:
        self.forget(organisation_id)
        self._available_nanos[organisation_id] = available_nanos
        if len(self._available_nanos) > MOST_ORGANISATIONS:
            del self._available_nanos[next(iter(self._available_nanos))]

    def forget(self, organisation_id: str) -> None:
        self._available_nanos.pop(organisation_id, None)

    def cover(self, organisation_id: str, nanos: int) -> bool:
        """Whether it had as much; not for one that is unknown."""
        return self._available_nanos.get(organisation_id, -1) >= nanos
