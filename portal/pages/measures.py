"""Sums over usage records: what the pages show is what was billed, row by row.

Only requests that were accepted have a record; what was refused (a wrong key, no credit) has none.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.db.models import Count, ExpressionWrapper, F, IntegerField, Max, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from billing.models import Outcome, UsageRecord
from inference.spec import LEAST_MEASURED_MS
from portal.pages.periods import Period

Records = QuerySet[UsageRecord]
Key = TypeVar("Key", bound=Hashable)

TOTALS = {
    "requests": Count("pk"),
    "failed": Count("pk", filter=Q(outcome=Outcome.FAILED)),
    "uncached_tokens": Sum("uncached_tokens", default=0),
    "cached_tokens": Sum("cached_tokens", default=0),
    "output_tokens": Sum("output_tokens", default=0),
    "cost_nanos": Sum("cost_nanos", default=0),
}


@dataclass(frozen=True)
class Totals:
    """What a set of records adds up to; the fields are in the order of TOTALS."""

    requests: int = 0
    failed: int = 0
    uncached_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost_nanos: int = 0

    @property
    def prompt_tokens(self) -> int:
        return self.uncached_tokens + self.cached_tokens

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens

    @property
    def cache_rate(self) -> float | None:
        """The share of prompt tokens that came from the cache; None without a prompt."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None

    @property
    def error_rate(self) -> float | None:
        return self.failed / self.requests if self.requests else None


def totals(records: Records) -> Totals:
    return Totals(**records.aggregate(**TOTALS))


def over_time(records: Records, period: Period) -> list[tuple[datetime, Totals]]:
    """One entry a bucket of the period, also where nothing happened."""
    found = {row.pop("bucket"): Totals(**row) for row in rows_over_time(records, period)}
    return [(start, found.get(start, Totals())) for start in period.starts]


def rows_over_time(records: Records, period: Period, *fields: str) -> Iterator[dict[str, Any]]:
    """One row a bucket and combination of `fields`, with its totals, in order."""
    within: Any = records.filter(created_at__gte=period.begin)
    cut = within.annotate(bucket=period.position_of("created_at")).values("bucket", *fields)
    for row in cut.annotate(**TOTALS).order_by("bucket", *fields):
        yield {**row, "bucket": period.starts[row["bucket"]]}


def added_up(
    rows: Iterable[Mapping[str, Any]], key: Callable[[Mapping[str, Any]], Key]
) -> dict[Key, Totals]:
    """What the rows of each key add up to; the rows are those of `rows_over_time`."""
    found: dict[Key, list[int]] = {}
    for row in rows:
        sums = found.setdefault(key(row), [0] * len(TOTALS))
        for place, name in enumerate(TOTALS):
            sums[place] += row[name]
    return {value: Totals(*sums) for value, sums in found.items()}


def dearest_first(found: Mapping[Key, Totals]) -> list[tuple[Key, Totals]]:
    return sorted(found.items(), key=lambda item: (-item[1].cost_nanos, -item[1].requests))


def by(records: Records, field: str) -> list[tuple[object, Totals]]:
    """What each value of `field` adds up to, the dearest first."""
    rows = records.values(field).annotate(**TOTALS).order_by("-cost_nanos", "-requests")
    return [(row.pop(field), Totals(**row)) for row in rows]


def percentile(records: Records, field: str, share: float) -> int | None:
    """The smallest value that at least `share` of the rows do not exceed (nearest rank)."""
    measured = records.exclude(**{field: None})
    count = measured.count()
    if not count:
        return None
    rank = max(0, -(-count * share // 1) - 1)  # ceiling, then from zero
    value: int = measured.order_by(field).values_list(field, flat=True)[int(rank)]
    return value


@dataclass(frozen=True)
class Speed:
    """How fast a model answered: a median, and a rate over all its tokens."""

    requests: int
    ttft_ms: int | None
    tokens_per_s: float | None


def speeds(since: datetime, models: Iterable[str]) -> dict[str, Speed]:
    """By model, over every finished request since then: nobody's in particular."""
    recent = UsageRecord.objects.filter(created_at__gte=since, outcome=Outcome.FINISHED)
    return {model: speed(recent.filter(model=model)) for model in models}


def speed(records: Records) -> Speed:
    """Tokens after a request's first over the time after its first, summed over requests.

    Of the requests whose own speed is told (`inference.spec.tokens_per_s`).
    """
    after_first = ExpressionWrapper(F("duration_ms") - F("ttft_ms"), output_field=IntegerField())
    told = records.filter(output_tokens__gt=1).annotate(ms=Coalesce("decode_ms", after_first))
    sums = told.filter(ms__gte=LEAST_MEASURED_MS).aggregate(
        tokens=Sum("output_tokens", default=0), first=Count("pk"), time_ms=Sum("ms", default=0)
    )
    rate = (sums["tokens"] - sums["first"]) * 1000 / sums["time_ms"] if sums["time_ms"] else None
    return Speed(records.count(), percentile(records, "ttft_ms", 0.5), rate)


def latest(records: Records) -> datetime | None:
    found: datetime | None = records.aggregate(last=Max("created_at"))["last"]
    return found
