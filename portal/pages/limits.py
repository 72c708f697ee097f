"""The limits page: the organisation's tier, what it allows, how much was just used; its cap."""

from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import Organisation
from accounts.permissions import member_required
from billing import spending, tiers
from billing.models import UsageRecord
from portal.pages import measures
from portal.pages.measures import Totals

MINUTE = timedelta(minutes=1)


@require_safe
@member_required()
def limits(request: HttpRequest) -> HttpResponse:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    spend = spending.standing(organisation.pk)
    context = {
        "cap_nanos": spend.monthly_cap_nanos,
        "spent_nanos": spend.spent_nanos,
        "standing": tiers.standing(organisation.pk),
        "tiers": tiers.table(),
        "used": used_in_the_last_minute(organisation),
    }
    return render(request, "pages/limits.html", context)


def used_in_the_last_minute(organisation: Organisation) -> Totals:
    """Requests that ended in it, and their tokens; what still runs is counted when it ends."""
    records = UsageRecord.objects.filter(
        organisation=organisation, created_at__gte=timezone.now() - MINUTE
    )
    return measures.totals(records)
