"""The portal's first page: what is left, what was spent, how fast it was, what to do next."""

from collections.abc import Container
from dataclasses import dataclass
from datetime import timedelta

from allauth.mfa.models import Authenticator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.models import ApiKey, Organisation, Role, User
from accounts.permissions import KEY_MAKERS, member_required
from billing.models import Account, AutoTopUp, UsageRecord
from billing.notices import PAYERS
from playground.admission import SPENDERS
from portal.pages import measures, periods
from portal.pages.charts import METRICS, Line, chart
from portal.pages.keys import role_of

LATENCY_OVER = timedelta(hours=24)
RECENT = 5


@dataclass(frozen=True)
class Step:
    title: str
    text: str
    address: str
    action: str
    done: bool
    roles: Container[str] = tuple(Role)  # who can take it


@require_safe
@member_required()
def overview(request: HttpRequest) -> HttpResponse:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    user: User = request.user  # type: ignore[assignment]
    zone = periods.zone_of(user.time_zone)
    records = UsageRecord.objects.filter(organisation=organisation)
    period = periods.period(periods.RANGES["month"], zone)
    days = measures.over_time(records, period)
    recent_latency = records.filter(created_at__gte=timezone.now() - LATENCY_OVER)
    spend = METRICS["spend"]
    steps = open_steps(organisation, user, role_of(request))
    context = {
        "zone": zone,
        "auto": AutoTopUp.objects.filter(organisation=organisation).first(),
        "may_pay": request.membership.role in PAYERS,  # type: ignore[attr-defined]
        "account": Account.objects.filter(organisation=organisation).first(),
        "today": measures.totals(records.filter(created_at__gte=periods.start_of_day(zone))),
        "month": measures.totals(records.filter(created_at__gte=periods.start_of_month(zone))),
        "ttft_p50": measures.percentile(recent_latency, "ttft_ms", 0.5),
        "ttft_p95": measures.percentile(recent_latency, "ttft_ms", 0.95),
        "days": days,
        "bucket_format": periods.FORMATS["day"],
        "chart": chart(spend, period, [Line(str(spend.label), [found for _start, found in days])]),
        "steps": steps,
        "steps_done": sum(step.done for step in steps),
        "recent": records.order_by("-created_at", "-pk")[:RECENT],
    }
    return render(request, "pages/overview.html", context)


def open_steps(organisation: Organisation, user: User, role: str) -> list[Step]:
    """What a newcomer of this role still has to do; empty once everything is done."""
    records = UsageRecord.objects.filter(organisation=organisation)
    account = Account.objects.filter(organisation=organisation).first()
    steps = [
        Step(
            _("Get some credit"),
            _("Every request is paid from the balance; it can never go below zero."),
            reverse("billing"),
            _("Top up"),
            account is not None and account.credits_posted > 0,
            PAYERS,
        ),
        Step(
            _("Create an API key"),
            _("Programs sign in with a key. It is shown once."),
            reverse("keys"),
            _("Create a key"),
            ApiKey.objects.filter(organisation=organisation).exists(),
            KEY_MAKERS,
        ),
        Step(
            _("Make the first call"),
            _("Any OpenAI client works: change its base URL and its key."),
            reverse("docs_page", args=["quickstart"]),
            _("Read the quickstart"),
            records.filter(face="api").exists(),
            KEY_MAKERS,
        ),
        Step(
            _("Try the playground"),
            _("Talk to a model in the browser and watch what it costs."),
            reverse("playground"),
            _("Open it"),
            records.filter(face="playground").exists(),
            SPENDERS,
        ),
        Step(
            _("Protect your sign-in"),
            _("A passkey or an authenticator app keeps your balance yours."),
            reverse("mfa_index"),
            _("Set it up"),
            Authenticator.objects.filter(user=user).exists(),
        ),
    ]
    steps = [step for step in steps if role in step.roles]
    return [] if all(step.done for step in steps) else steps
