"""The operator's pages of models: what is wanted, what runs, three verbs; what each earned."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.decorators import permission_required
from django.db.models import F, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from billing.models import UsageRecord
from inference import lifecycle, margins, service
from inference.models import MAX_ENGINES, ModelState, ServedModel
from inference.reports import EngineReport

SHARES_OVER = timedelta(hours=1)
MOST_SHARES = 8


@dataclass(frozen=True)
class Share:
    """An organisation's part of a model's tokens, prompts' without those from the cache."""

    organisation: str
    part: float


@dataclass
class Row:
    """A model, those of its engines that this process knows, and whose requests they served."""

    model: ServedModel
    engines: list[EngineReport] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("inference.view_servedmodel", raise_exception=True)
def engines(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return _change(request)
    rows = {row.name: Row(row) for row in ServedModel.objects.filter(enabled=True)}
    for report in service.engines():
        if report.model in rows:
            rows[report.model].engines.append(report)
    for name, shares in shares_since(timezone.now() - SHARES_OVER).items():
        if name in rows:
            rows[name].shares = shares
    context = {
        **admin.site.each_context(request),
        "title": _("Engines"),
        "rows": list(rows.values()),
        "may_change": request.user.has_perm("inference.change_servedmodel"),
        "max_engines": MAX_ENGINES,
        "states": [(state.value, _VERBS[state]) for state in ModelState],
    }
    return render(request, "admin/inference/engines.html", context)


def shares_since(moment: datetime) -> dict[str, list[Share]]:
    """By model, the largest first: of what was computed for requests that have ended since."""
    computed = Sum(F("uncached_tokens") + F("output_tokens") + F("waived_tokens"))
    recent = UsageRecord.objects.filter(created_at__gte=moment).order_by()
    # By the organisation, not its name: two may have the same.
    rows = recent.values("model", "organisation_id", "organisation__name").annotate(tokens=computed)
    found: dict[str, list[tuple[str, int]]] = {}
    for row in rows:
        found.setdefault(row["model"], []).append((row["organisation__name"], row["tokens"]))
    return {model: _parts(of_model) for model, of_model in found.items()}


def _parts(of_model: list[tuple[str, int]]) -> list[Share]:
    whole = sum(tokens for _name, tokens in of_model) or 1
    largest = sorted(of_model, key=lambda pair: -pair[1])[:MOST_SHARES]
    return [Share(name, tokens / whole) for name, tokens in largest]


@require_safe
@permission_required("billing.view_usagerecord", raise_exception=True)
def margins_page(request: HttpRequest) -> HttpResponse:
    month = margins.month_named(request.GET.get("month", ""))
    rows = margins.margins(month)
    context = {
        **admin.site.each_context(request),
        "title": _("Margins"),
        "month": month,
        "rows": rows,
        "revenue_nanos": sum(row.revenue_nanos for row in rows),
    }
    return render(request, "admin/inference/margins.html", context)


_VERBS = {
    ModelState.LOADED: _("Load"),
    ModelState.DRAINED: _("Drain"),
    ModelState.UNLOADED: _("Unload"),
}


@permission_required("inference.change_servedmodel", raise_exception=True)
def _change(request: HttpRequest) -> HttpResponse:
    name, number = request.POST.get("model", ""), request.POST.get("num_engines", "")
    try:
        state = ModelState(request.POST.get("state", ""))
        lifecycle.want(name, state, num_engines=int(number) if number else None)
    except ValueError as error:
        messages.error(request, str(error))
    else:
        told = f"{state.value}, {number}" if number else state.value
        LogEntry.objects.log_actions(
            request.user.pk or 0, ServedModel.objects.filter(name=name), CHANGE, told
        )
        messages.success(request, f"{name}: {lifecycle.TOLD[state]}")
    return redirect("admin:inference_engines")
