"""Celery's scheduler on a machine whose clock is put right while it runs."""

from typing import Any

from celery.beat import Scheduler


class SteadyScheduler(Scheduler):  # type: ignore[misc]  # celery has no types
    """Knows that nothing has run in the future.

    Celery compares times of day: once a clock was put back by an hour, nothing would be due for an
    hour, the sweep of dead processes' holds included.
    """

    def tick(self, *args: Any, **options: Any) -> float:
        """Run one job that is due; in how many seconds to come again."""
        now = self.app.now()
        ahead = [entry for entry in self.schedule.values() if entry.last_run_at > now]
        if ahead:
            for entry in ahead:
                entry.last_run_at = now
            self._heap = None  # of times by the old clock; made anew
        wait_s: float = super().tick(*args, **options)
        return wait_s
