"""How many sockets each person, key and address has open in this process: nobody takes all of them.

A socket costs memory and a file for as long as it is open, whether or not it says anything. It
belongs to one event loop, so nothing is locked.
"""

from collections import Counter

from django.utils.translation import gettext_lazy as _

from accounts.authentication import Caller
from inference.errors import ServiceError
from inference.sentences import Sentence

MAX_SOCKETS = 100
TOO_MANY = _("At most %(most)s connections may be open at once for one person, key or address.")

_open: Counter[str] = Counter()


class Place:
    """A socket's place in the crowd: first of its address or of nobody, then of its caller."""

    def __init__(self) -> None:
        self._whose = ""

    def take_for_address(self, remote_ip: str) -> None:
        """While nobody knows who it is. Raises as `take_for`."""
        self._take(f"address {remote_ip}")

    def take_for(self, caller: Caller) -> None:
        """Instead of what it had. Raises ServiceError (429)."""
        key = caller.counts_as
        self._take(f"user {caller.user_id}" if key is None else f"key {key}")

    def give_up(self) -> None:
        if self._whose:
            _open[self._whose] -= 1
            if not _open[self._whose]:
                del _open[self._whose]
        self._whose = ""

    def _take(self, whose: str) -> None:
        self.give_up()
        if _open[whose] >= MAX_SOCKETS:
            message = Sentence(TOO_MANY, most=MAX_SOCKETS)
            raise ServiceError(429, "rate_limit_error", "too_many_sockets", message)
        _open[whose] += 1
        self._whose = whose
