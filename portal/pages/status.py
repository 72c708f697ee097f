"""The status page: what the engines answer now, and each hour of the last day as it was billed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from billing.models import UsageRecord
from inference import service
from inference.catalog import CatalogEntry
from inference.service import ModelLoad
from portal.pages import measures, periods
from portal.pages.measures import Records, Totals
from portal.pages.offered import offered_to

STATUS_OVER = timedelta(hours=24)
HOURS = periods.RANGES["day"]
BAR_STEP, BAR_HEIGHT = 10, 28  # of the drawing; the page stretches it


@dataclass(frozen=True)
class Hour:
    """One bar: empty, whole, or with a part for what failed that is never too low to be seen."""

    start: datetime
    totals: Totals
    x: int

    @property
    def failed_height(self) -> int:
        if not self.totals.failed:
            return 0
        return max(BAR_HEIGHT // 4, BAR_HEIGHT * self.totals.failed // self.totals.requests)

    @property
    def good_height(self) -> int:
        """With a gap of two to what failed; an hour without requests is a line at the bottom."""
        if not self.totals.requests:
            return 2
        return max(0, BAR_HEIGHT - self.failed_height - (2 if self.failed_height else 0))

    @property
    def good_y(self) -> int:
        return BAR_HEIGHT - self.good_height


@dataclass(frozen=True)
class ModelStatus:
    """Whether an engine of a model answers, and what its last day was like."""

    entry: CatalogEntry
    load: ModelLoad
    totals: Totals
    ttft_ms: int | None
    hours: Sequence[Hour]

    @property
    def answers(self) -> bool:
        """Whether a request would be let in: an engine may well run while its model is drained."""
        return self.load.healthy > 0 and not self.entry.paused

    @property
    def fails(self) -> bool:
        return not self.load.healthy and not self.entry.paused

    @property
    def success_rate(self) -> float:
        return 1 - (self.totals.error_rate or 0)

    @property
    def told(self) -> str:
        """The strip in words, for who does not see it."""
        bad = [hour for hour in self.hours if hour.totals.failed]
        if not any(hour.totals.requests for hour in self.hours):
            return _("No requests in the last 24 hours.")
        if not bad:
            return _("No failures in the last 24 hours.")
        each = (
            _("%(time)s UTC: %(failed)d of %(requests)d failed") % {
                "time": f"{hour.start.astimezone(UTC):%H:%M}",
                "failed": hour.totals.failed,
                "requests": hour.totals.requests,
            }
            for hour in bad
        )  # fmt: skip
        return "; ".join(each)


@require_safe
def status(request: HttpRequest) -> HttpResponse:
    """What this process sees of the engines, and what the records of the last day say."""
    now = timezone.now()
    day = UsageRecord.objects.filter(created_at__gte=now - STATUS_OVER)
    loads = service.loads()
    by_model = dict(measures.by(day, "model"))
    hours = hours_by_model(day, now)
    found = [
        ModelStatus(
            entry,
            loads.get(entry.name, ModelLoad()),
            by_model.get(entry.name, Totals()),
            measures.percentile(day.filter(model=entry.name), "ttft_ms", 0.5),
            hours.get(entry.name) or hours_of([Totals()] * HOURS.count, now),
        )
        for entry in offered_to(request)
    ]
    context = {
        "models": found,
        "day": measures.totals(day),
        "all_up": all(model.answers for model in found),
        "any_up": any(model.answers for model in found),
        "any_down": any(model.fails for model in found),
        "now": now,
        "strip_width": BAR_STEP * HOURS.count - 2,
        "strip_height": BAR_HEIGHT,
    }
    return render(request, "pages/status.html", context)


def hours_by_model(records: Records, now: datetime) -> dict[object, list[Hour]]:
    """Of each model that was used, the hours of the last day; one query for all of them."""
    period = periods.period(HOURS, UTC, now)
    rows = list(measures.rows_over_time(records, period, "model"))
    found = measures.added_up(rows, lambda row: (row["model"], row["bucket"]))
    return {
        model: hours_of([found.get((model, start), Totals()) for start in period.starts], now)
        for model in {row["model"] for row in rows}
    }


def hours_of(totals: Sequence[Totals], now: datetime) -> list[Hour]:
    starts = periods.period(HOURS, UTC, now).starts
    pairs = zip(starts, totals, strict=True)
    return [Hour(start, each, place * BAR_STEP) for place, (start, each) in enumerate(pairs)]
