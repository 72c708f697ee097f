"""What each model earned in a month, and for how many hours its engines ran for it.

Revenue is what customers were charged, whatever they paid it with; prices and costs of machines
are the operator's own to compare it with. The time of engines that somebody else runs is unknown.
"""

from dataclasses import dataclass
from datetime import date

from django.db.models import Count, F, Sum
from django.utils import timezone

from billing.models import LateWaiver, UsageRecord
from billing.months import bounds, month_of
from inference.models import EngineTime

MS_PER_HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class Margin:
    """Of one model and month; tokens that were waived earned nothing, and may have no request."""

    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    waived_tokens: int
    revenue_nanos: int
    engine_ms: int

    @property
    def engine_hours(self) -> float:
        return self.engine_ms / MS_PER_HOUR

    @property
    def nanos_per_engine_hour(self) -> int | None:
        """None when no engine of ours ran for it."""
        return self.revenue_nanos * MS_PER_HOUR // self.engine_ms if self.engine_ms else None


def add_engine_time(model: str, day: date, milliseconds: int) -> None:
    rows = EngineTime.objects.filter(model=model, day=day)
    EngineTime.objects.bulk_create([EngineTime(model=model, day=day)], ignore_conflicts=True)
    rows.update(milliseconds=F("milliseconds") + milliseconds)


def margins(month: date) -> list[Margin]:
    """Every model that earned something or ran, the one that earned most first."""
    begin, end = bounds(month)
    records = UsageRecord.objects.filter(created_at__gte=begin, created_at__lt=end)
    sums = records.values_list("model").annotate(
        requests=Count("pk"),
        input=Sum(F("uncached_tokens") + F("cached_tokens")),
        output=Sum("output_tokens"),
        waived=Sum("waived_tokens"),
        revenue=Sum("cost_nanos"),
    )
    earned = {model: numbers for model, *numbers in sums.order_by()}
    waived = LateWaiver.objects.filter(created_at__gte=begin, created_at__lt=end).exclude(model="")
    late = dict(waived.values_list("model").annotate(Sum("tokens")).order_by())
    days = EngineTime.objects.filter(day__gte=begin.date(), day__lt=end.date())
    ran = dict(days.values_list("model").annotate(Sum("milliseconds")).order_by())
    rows = []
    for model in earned.keys() | late.keys() | ran.keys():
        requests, sent, made, waived_tokens, revenue = earned.get(model, [0] * 5)
        waived_tokens += late.get(model, 0)
        rows.append(Margin(model, requests, sent, made, waived_tokens, revenue, ran.get(model, 0)))
    return sorted(rows, key=lambda row: (-row.revenue_nanos, row.model))


def month_named(name: str) -> date:
    """`2026-03` as its first day; this month for anything else."""
    try:
        month = date.fromisoformat(f"{name}-01")
        bounds(month)  # the last month of all has no end
    except ValueError:
        return month_of(timezone.now())
    return month
