"""How soon places become free: the time between two ends while there is more to do than fits.

Little's law turns that into waits: who has `n` sequences before it starts after `n` such times. It
is measured over busy seconds only, so an idle night neither lengthens nor shortens it, and
remembered across them, so that the first of a flood are already told the truth. Numbers only; the
clock is the caller's.
"""

import threading

MEMORY = 0.99  # weight of what was before, each end
GUESS_S = 1.0  # before the first end


class Turnover:
    """The estimate of one engine. The loop's thread writes it; any may ask."""

    def __init__(self) -> None:
        """Know nothing."""
        # (busy seconds, ends): while some waited, and while there was room for all.
        self._crowded = [0.0, 0.0]
        self._roomy = [0.0, 0.0]
        self._promised_at = 0.0
        self._promising = threading.Lock()

    def note(self, seconds: float, num_ended: int, *, crowded: bool) -> None:
        """Learn from a step: how long it took, how many ended, whether others waited meanwhile."""
        sums = self._crowded if crowded else self._roomy
        sums[0] += seconds
        sums[1] += num_ended
        for index in range(2):
            sums[index] *= MEMORY**num_ended

    @property
    def known(self) -> bool:
        """Whether it was measured under the conditions that it is asked for."""
        return self._crowded[1] > 0

    @property
    def place_s(self) -> float:
        """Seconds from one freed place to the next."""
        for seconds, ends in (self._crowded, self._roomy):
            if ends:
                return seconds / ends
        return GUESS_S

    def retry_after_s(self, now: float, num_present: int) -> float:
        """Return when to come back: each who is refused is told the time of another place.

        At the latest, when all of the `num_present` that are here now have ended.
        """
        with self._promising:
            latest = now + num_present * self.place_s
            self._promised_at = min(max(self._promised_at, now) + self.place_s, latest)
            return self._promised_at - now
