"""Counts how long engines run, for the operator's margins."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable

from django.db import DatabaseError
from django.utils import timezone

from inference import margins
from portal.serving.engine_process import EngineProcess

logger = logging.getLogger(__name__)

BOOK_EVERY_S = 60.0


class EngineMeter:
    """Adds up what it sees, and books it once a minute; a database that is away loses nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked_at = self._booked_at = clock()
        self._ran_s: defaultdict[str, float] = defaultdict(float)

    def look(self, engines: Iterable[EngineProcess]) -> None:
        """Count the time since the last look for every engine that runs now."""
        now = self._clock()
        for engine in engines:
            if engine.process is not None:
                self._ran_s[engine.model] += now - self._looked_at
        self._looked_at = now
        if now - self._booked_at >= BOOK_EVERY_S:
            self.book()

    def book(self) -> None:
        """Write what was counted; whole milliseconds, the rest waits for the next time."""
        self._booked_at = self._looked_at
        today = timezone.now().date()
        for model, ran_s in self._ran_s.items():
            milliseconds = int(ran_s * 1000)
            try:
                margins.add_engine_time(model, today, milliseconds)
            except DatabaseError as error:
                logger.warning("the time of engines cannot be booked: %s", error)
                return
            self._ran_s[model] -= milliseconds / 1000
