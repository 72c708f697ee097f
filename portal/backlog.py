"""What waits for workers and for beat, as `/metrics` tells it.

They have no address of their own to be asked at, and one that does not run says nothing; but what
they are there to do stands in the database.
"""

import math
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from prometheus_client import Gauge

from accounts import mail
from billing import pulse, webhooks

WAITING = Gauge(
    "parlance_jobs_waiting", "Mails, and what Stripe delivered, that are not done yet.", ["kind"]
)
OVERDUE = Gauge(
    "parlance_jobs_overdue_seconds", "For how long the first of them has been due.", ["kind"]
)
SWEPT = Gauge(
    "parlance_sweep_age_seconds",
    "Since holds were swept, which beat and a worker do every five seconds; +Inf: never.",
)


@dataclass(frozen=True)
class Backlog:
    """By kind, and in seconds."""

    waiting: dict[str, int]
    overdue_s: dict[str, float]
    swept_s: float


def read() -> Backlog:
    now = timezone.now()
    found = {"mail": mail.backlog(), "stripe": webhooks.backlog()}
    swept_at = pulse.beat_at()
    return Backlog(
        {kind: num for kind, (num, _) in found.items()},
        {kind: _seconds(due, now) for kind, (_, due) in found.items()},
        math.inf if swept_at is None else _seconds(swept_at, now),
    )


def _seconds(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())


def show(backlog: Backlog | None) -> None:
    """None: nobody knows, and what was known is old."""
    WAITING.clear()
    OVERDUE.clear()
    if backlog is None:
        SWEPT.set(math.nan)
        return
    for kind, num in backlog.waiting.items():
        WAITING.labels(kind).set(num)
        OVERDUE.labels(kind).set(backlog.overdue_s[kind])
    SWEPT.set(backlog.swept_s)
