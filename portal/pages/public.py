"""Pages anyone may read: home, models, status, robots.txt."""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.models import UsageRecord
from inference import catalog, service
from inference.catalog import CatalogEntry
from inference.service import ModelLoad
from portal.pages import live_sample, measures, samples
from portal.pages.measures import Speed, Totals

MEASURED_OVER = timedelta(hours=1)
STATUS_OVER = timedelta(hours=24)


@dataclass(frozen=True)
class ListedModel:
    """A model of the catalogue and how fast it was in the last hour."""

    entry: CatalogEntry
    speed: Speed


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    found = samples.chat_samples(samples.default_model())
    context = {
        "listed": listed_models()[:5],
        "live_model": live_sample.model_to_show(),
        "questions": live_sample.QUESTIONS,
        "samples": found,
        "sample": found[0],
        "welcome_nanos": settings.WELCOME_CREDIT_NANOS,
    }
    return render(request, "pages/home.html", context)


@require_safe
def models(request: HttpRequest) -> HttpResponse:
    return render(request, "pages/models.html", {"listed": listed_models()})


@require_safe
def model(request: HttpRequest, name: str) -> HttpResponse:
    found = next((entry for entry in catalog.all_models() if entry.name == name), None)
    if found is None:
        raise Http404
    context = {
        "entry": found,
        "speed": measures.speeds(timezone.now() - MEASURED_OVER, [name])[name],
        "samples": samples.samples_of(found),
        "key_hint": samples.key_hint(request),
    }
    return render(request, "pages/model.html", context)


def listed_models() -> list[ListedModel]:
    entries = catalog.all_models()
    speeds = measures.speeds(timezone.now() - MEASURED_OVER, [entry.name for entry in entries])
    return [ListedModel(entry, speeds[entry.name]) for entry in entries]


@dataclass(frozen=True)
class ModelStatus:
    """Whether an engine of a model answers, and what its last day was like."""

    entry: CatalogEntry
    load: ModelLoad
    totals: Totals
    ttft_ms: int | None


@require_safe
def status(request: HttpRequest) -> HttpResponse:
    """What this process sees of the engines, and what the records of the last day say."""
    day = UsageRecord.objects.filter(created_at__gte=timezone.now() - STATUS_OVER)
    loads = service.loads()
    by_model = dict(measures.by(day, "model"))
    found = [
        ModelStatus(
            entry,
            loads.get(entry.name, ModelLoad()),
            by_model.get(entry.name, Totals()),
            measures.percentile(day.filter(model=entry.name), "ttft_ms", 0.5),
        )
        for entry in catalog.all_models()
    ]
    context = {
        "models": found,
        "day": measures.totals(day),
        "all_up": all(model.load.healthy or model.entry.paused for model in found),
        "any_up": any(model.load.healthy for model in found),
        "now": timezone.now(),
    }
    return render(request, "pages/status.html", context)


@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    lines = [
        "User-agent: *",
        *(
            f"Disallow: {path}"
            for path in ("/portal/", "/playground/", "/accounts/", "/operator/", "/api/", "/v1/")
        ),
        f"# For language models: {settings.BASE_URL}{reverse('llms_txt')}",
    ]
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; charset=utf-8")


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """Browsers ask for this address on their own, also beside pages that are not ours."""
    return redirect(static("favicon.svg"))
