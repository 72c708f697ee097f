"""The clock of leases: a number in the database that goes up with every sweep, HOLD_SWEEP_S apart.

Who runs a request vouches for it a few beats ahead, and what is not renewed by then is taken for
dead. Nobody's time of day has a part in that: it may jump, and differ between processes. And while
the database is away or its disk is full there are no beats: what could not be renewed is no sign
of death.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import F, Q
from django.utils import timezone

from billing.models import Pulse

# Of the time between two beats: sweeps that piled up while no worker ran are one.
LEAST_APART = 0.8
# `number()`, within another statement.
NUMBER = "COALESCE((SELECT number FROM billing_pulse), 0)"


def beat() -> None:
    """Make it one more, unless that has just been done. Raises DatabaseError.

    Of those who waited for the database together, and have all seen the same beat, one makes it.
    """
    seen = number()
    now = timezone.now()
    due = now - timedelta(seconds=LEAST_APART * settings.HOLD_SWEEP_S)
    # One that is in the future was told by a clock that has been put right since.
    is_due = Q(beat_at__lte=due) | Q(beat_at__gt=now)
    if not Pulse.objects.filter(is_due, number=seen).update(number=F("number") + 1, beat_at=now):
        Pulse.objects.bulk_create([Pulse(beat_at=now)], ignore_conflicts=True)


def number() -> int:
    """The beat it is; 0 before the first."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {NUMBER}")
        return int(cursor.fetchone()[0])


def beat_at() -> datetime | None:
    """When the last beat was, by the clock of whoever made it; None before the first."""
    return Pulse.objects.values_list("beat_at", flat=True).first()


def new_lease() -> int:
    """The beat with which a lease that begins now is over, after about HOLD_LEASE_S."""
    return number() + beats_of_a_lease()


def beats_of_a_lease() -> int:
    return int(settings.HOLD_LEASE_S // settings.HOLD_SWEEP_S)


def check() -> None:
    """Write, since reading goes on when a disk is full. Raises DatabaseError when it cannot be."""
    if not Pulse.objects.update(checked_at=timezone.now()):
        beat()  # nobody has swept yet
