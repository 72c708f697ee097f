"""The limits page: the organisation's tier, what it allows, how much was just used; its cap."""

from datetime import timedelta

from django.db.models import Count, F, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import Organisation
from accounts.permissions import member_required
from billing import spending, tiers
from billing.models import UsageRecord

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


def used_in_the_last_minute(organisation: Organisation) -> dict[str, int]:
    """Requests that ended in it, and their tokens; what still runs is counted when it ends."""
    records = UsageRecord.objects.filter(
        organisation=organisation, created_at__gte=timezone.now() - MINUTE
    )
    tokens = F("uncached_tokens") + F("cached_tokens") + F("output_tokens")
    return records.aggregate(requests=Count("pk"), tokens=Coalesce(Sum(tokens), 0))
