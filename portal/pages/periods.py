"""Spans of time for charts: which buckets a range has, in which time zone, and their labels.

Minutes and hours are cut in UTC, so that a change of clocks loses or doubles none; days and months
are the reader's own. A range ends with the bucket that is running now.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db.models import Case, IntegerField, Value, When
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import pgettext_lazy


@dataclass(frozen=True)
class Range:
    name: str
    label: str | Promise
    bucket: str  # minute, hour, day or month
    count: int


RANGES = {
    found.name: found
    for found in (
        Range("hour", pgettext_lazy("a span of time", "Hour"), "minute", 60),
        Range("day", pgettext_lazy("a span of time", "Day"), "hour", 24),
        Range("week", pgettext_lazy("a span of time", "Week"), "day", 7),
        Range("month", pgettext_lazy("a span of time", "Month"), "day", 30),
        Range("year", pgettext_lazy("a span of time", "Year"), "month", 12),
    )
}
# What a table prints beside a bucket: names of `portal.formats`.
FORMATS = {
    "minute": "TIME_FORMAT",
    "hour": "CLOCK_FORMAT",
    "day": "MONTH_DAY_FORMAT",
    "month": "SHORT_MONTH_FORMAT",
}


@dataclass(frozen=True)
class Period:
    """A range that ends now; `starts` are the beginnings of its buckets, in order."""

    range: Range
    zone: tzinfo
    starts: tuple[datetime, ...]

    @property
    def begin(self) -> datetime:
        return self.starts[0]

    def position_of(self, field: str) -> Case:
        """The expression that maps a row to the number of its bucket.

        Plain comparisons: SQLite would truncate times in Python, row by row.
        """
        *earlier, last = range(len(self.starts))
        ends = (When(**{f"{field}__lt": self.starts[n + 1]}, then=Value(n)) for n in earlier)
        return Case(*ends, default=Value(last), output_field=IntegerField())


def zone_of(name: str) -> tzinfo:
    """The time zone somebody chose; UTC when we do not know it (any more)."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def period(chosen: Range, zone: tzinfo, now: datetime | None = None) -> Period:
    instant = now or timezone.now()
    if chosen.bucket in {"minute", "hour"}:
        step = timedelta(minutes=1) if chosen.bucket == "minute" else timedelta(hours=1)
        last = instant.astimezone(UTC).replace(second=0, microsecond=0)
        if chosen.bucket == "hour":
            last = last.replace(minute=0)
        starts = [last - step * back for back in reversed(range(chosen.count))]
    elif chosen.bucket == "day":
        today = instant.astimezone(zone).date()
        days = [today - timedelta(days=back) for back in reversed(range(chosen.count))]
        starts = [datetime.combine(day, time(), zone) for day in days]
    else:
        starts = list(reversed(month_starts(instant.astimezone(zone), chosen.count)))
    return Period(chosen, zone, tuple(starts))


def month_starts(instant: datetime, count: int) -> list[datetime]:
    """The first instants of this month and those before it, newest first."""
    months = instant.year * 12 + instant.month - 1
    return [
        datetime(number // 12, number % 12 + 1, 1, tzinfo=instant.tzinfo)
        for number in range(months, months - count, -1)
    ]


def start_of_day(zone: tzinfo, now: datetime | None = None) -> datetime:
    return datetime.combine((now or timezone.now()).astimezone(zone).date(), time(), zone)


def start_of_month(zone: tzinfo, now: datetime | None = None) -> datetime:
    return month_starts((now or timezone.now()).astimezone(zone), 1)[0]
