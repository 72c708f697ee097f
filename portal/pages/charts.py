"""What `<usage-chart>` draws: times, lines and their unit, as plain JSON."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from portal.lib.money import NANOS_PER_DOLLAR
from portal.pages.measures import Totals
from portal.pages.periods import Period


@dataclass(frozen=True)
class Metric:
    """One thing to draw; `read` gives the number of the chart, in the unit's terms."""

    name: str
    label: str | Promise
    unit: str  # dollars, count or share
    read: Callable[[Totals], float | None]


METRICS = {
    metric.name: metric
    for metric in (
        # Dollars as floats: for drawing alone, sums are made of integers.
        Metric("spend", _("Spend"), "dollars", lambda t: t.cost_nanos / NANOS_PER_DOLLAR),
        Metric("tokens", _("Tokens"), "count", lambda t: t.tokens),
        Metric("requests", _("Requests"), "count", lambda t: t.requests),
        Metric("cache", _("Cache rate"), "share", lambda t: t.cache_rate),
        Metric("errors", _("Errors"), "count", lambda t: t.failed),
    )
}


@dataclass(frozen=True)
class Line:
    label: str
    totals: Sequence[Totals]


def chart(metric: Metric, period: Period, lines: Sequence[Line]) -> dict[str, object]:
    return {
        "unit": metric.unit,
        "bucket": period.range.bucket,
        "zone": str(period.zone),
        "time": gettext("Time"),
        "times": [int(start.timestamp()) for start in period.starts],
        "lines": [
            {"label": line.label, "values": [metric.read(totals) for totals in line.totals]}
            for line in lines
        ],
    }
