"""Pages anyone may read: home, models, robots.txt."""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from inference.catalog import CatalogEntry
from portal.pages import live_sample, measures, samples
from portal.pages.measures import Speed
from portal.pages.offered import offered_to

MEASURED_OVER = timedelta(hours=1)


@dataclass(frozen=True)
class ListedModel:
    """A model of the catalogue and how fast it was in the last hour."""

    entry: CatalogEntry
    speed: Speed


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    context = {
        "listed": listed_models(request)[:5],
        "live_model": live_sample.model_to_show(),
        "questions": live_sample.QUESTIONS,
        "samples": samples.chat_samples(samples.default_model()),
        "welcome_nanos": settings.WELCOME_CREDIT_NANOS,
    }
    return render(request, "pages/home.html", context)


@require_safe
def models(request: HttpRequest) -> HttpResponse:
    return render(request, "pages/models.html", {"listed": listed_models(request)})


@require_safe
def model(request: HttpRequest, name: str) -> HttpResponse:
    found = next((entry for entry in offered_to(request) if entry.name == name), None)
    if found is None:
        raise Http404
    context = {
        "entry": found,
        "speed": measures.speeds(timezone.now() - MEASURED_OVER, [name])[name],
        "samples": samples.samples_of(found),
    }
    return render(request, "pages/model.html", context)


def listed_models(request: HttpRequest) -> list[ListedModel]:
    entries = offered_to(request)
    speeds = measures.speeds(timezone.now() - MEASURED_OVER, [entry.name for entry in entries])
    return [ListedModel(entry, speeds[entry.name]) for entry in entries]


@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    lines = [
        "User-agent: *",
        *(f"Allow: {reverse(name)}" for name in ("account_login", "account_signup")),
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
