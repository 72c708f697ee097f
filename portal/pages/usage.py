"""Usage over time, by model, key and member; the same numbers as CSV."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from accounts.models import Organisation
from accounts.permissions import member_required
from billing.models import UsageRecord
from portal.lib.money import format_plain
from portal.lib.spreadsheets import csv_line
from portal.pages import measures, periods
from portal.pages.charts import METRICS, Line, chart
from portal.pages.filters import GROUPS, Names, RecordFilter
from portal.pages.measures import Records, Totals
from portal.pages.periods import Period

Row = Mapping[str, Any]  # of measures.rows_over_time, split by every group

MOST_LINES = 4
CSV_HEAD = (
    "start", "model", "key", "member", "requests", "failed", "uncached_input_tokens",
    "cached_input_tokens", "output_tokens", "cost_usd", "cost_nanos",
)  # fmt: skip


class UsageFilter(RecordFilter):
    metric = forms.ChoiceField(
        required=False, choices=[(name, found.label) for name, found in METRICS.items()]
    )
    group = forms.ChoiceField(
        label=gettext_lazy("Split by"),
        required=False,
        choices=[
            ("", gettext_lazy("Nothing")),
            ("model", gettext_lazy("Model")),
            ("key", gettext_lazy("Key")),
            ("member", gettext_lazy("Member")),
        ],
    )


@dataclass(frozen=True)
class Breakdown:
    title: str
    what: str
    group: str
    rows: Sequence[tuple[str, object, Totals]]


@require_safe
@member_required()
def usage(request: HttpRequest) -> HttpResponse:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    names = Names(organisation)
    form = UsageFilter(request.GET, names)
    if not form.is_valid():
        return render(request, "pages/usage.html", {"form": form, "refused": True}, status=400)
    zone = periods.zone_of(request.user.time_zone)  # type: ignore[union-attr]
    period = periods.period(periods.RANGES[form.chosen("range", "week")], zone)
    records = form.narrow(UsageRecord.objects.filter(organisation=organisation))
    # The one time the records are read: everything on the page is a sum of these rows.
    rows = list(measures.rows_over_time(records, period, *GROUPS.values()))
    by_start = measures.added_up(rows, itemgetter("bucket"))
    buckets = [(start, by_start.get(start, Totals())) for start in period.starts]
    metric = METRICS[form.chosen("metric", "spend")]
    lines = chart_lines(rows, buckets, form.chosen("group"), names)
    context = {
        "form": form,
        "zone": zone,
        "period": period,
        "bucket_format": periods.FORMATS[period.range.bucket],
        "ranges": periods.RANGES.values(),
        "metrics": METRICS.values(),
        "metric": metric,
        "totals": measures.added_up(rows, lambda _row: None).get(None, Totals()),
        "buckets": buckets,
        "chart": chart(metric, period, lines),
        "breakdowns": breakdowns(rows, names),
    }
    return render(request, "pages/usage.html", context)


def chart_lines(
    rows: Sequence[Row], buckets: Sequence[tuple[datetime, Totals]], group: str, names: Names
) -> list[Line]:
    """One line; or one for each of the dearest values of a grouping, and the rest together."""
    if not group:
        return [Line(_("All"), [found for _start, found in buckets])]
    field = GROUPS[group]
    order = measures.dearest_first(measures.added_up(rows, itemgetter(field)))
    shown = [value for value, _totals in order[:MOST_LINES]]
    split = measures.added_up(
        rows, lambda row: (shown.index(row[field]) if row[field] in shown else None, row["bucket"])
    )
    labels: dict[int | None, str] = {
        place: names.of(group, value) for place, value in enumerate(shown)
    }
    if len(order) > len(shown):
        labels[None] = _("Others")
    return [
        Line(label, [split.get((place, start), Totals()) for start, _totals in buckets])
        for place, label in labels.items()
    ]


def breakdowns(rows: Sequence[Row], names: Names) -> list[Breakdown]:
    titles = {
        "model": (_("By model"), _("Model")),
        "key": (_("By key"), _("Key")),
        "member": (_("By member"), _("Member")),
    }
    return [
        Breakdown(
            title,
            what,
            group,
            [
                (names.of(group, value), value, found)
                for value, found in measures.dearest_first(
                    measures.added_up(rows, itemgetter(GROUPS[group]))
                )
            ],
        )
        for group, (title, what) in titles.items()
    ]


@require_safe
@member_required()
def usage_csv(request: HttpRequest) -> HttpResponse:
    """One line a bucket, model, key and member; the sum of `cost_nanos` is what was billed."""
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    names = Names(organisation)
    form = UsageFilter(request.GET, names)
    if not form.is_valid():
        return HttpResponseBadRequest(form.errors.as_text(), content_type="text/plain")
    zone = periods.zone_of(request.user.time_zone)  # type: ignore[union-attr]
    period = periods.period(periods.RANGES[form.chosen("range", "week")], zone)
    records = form.narrow(UsageRecord.objects.filter(organisation=organisation))
    answer = HttpResponse(csv_lines(records, period, names), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = (
        f'attachment; filename="usage-{period.range.name}-{period.starts[-1]:%Y-%m-%d}.csv"'
    )
    return answer


def csv_lines(records: Records, period: Period, names: Names) -> Iterator[str]:
    yield csv_line(CSV_HEAD)
    for row in measures.rows_over_time(records, period, *GROUPS.values()):
        yield csv_line(
            [
                row["bucket"].astimezone(period.zone).isoformat(),
                row["model"],
                names.of("key", row["api_key_id"]),
                names.of("member", row["user_id"]),
                row["requests"],
                row["failed"],
                row["uncached_tokens"],
                row["cached_tokens"],
                row["output_tokens"],
                format_plain(row["cost_nanos"]),
                row["cost_nanos"],
            ]
        )
