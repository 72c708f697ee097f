"""Rolls usage records up by the hour. Recomputing an hour gives the same rows."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, Q, Sum
from django.db.models.functions import TruncHour
from django.utils import timezone

from billing.models import HourlyUsage, Outcome, UsageRecord

# Records are written at the end of a request; an hour is final a while after it ended.
LOOK_BACK = timedelta(hours=3)


def roll_up(since: datetime | None = None) -> int:
    """Recompute every hour from `since` (by default the last three) up to now; rows written."""
    start = since or timezone.now() - LOOK_BACK
    start = start.replace(minute=0, second=0, microsecond=0)
    groups = (
        UsageRecord.objects.filter(created_at__gte=start)
        .annotate(hour=TruncHour("created_at"))
        .values("organisation_id", "hour", "model", "api_key_id")
        .annotate(
            requests=Count("id"),
            errors=Count("id", filter=Q(outcome=Outcome.FAILED)),
            uncached=Sum("uncached_tokens"),
            cached=Sum("cached_tokens"),
            output=Sum("output_tokens"),
            cost=Sum("cost_nanos"),
        )
    )
    rows = [
        HourlyUsage(
            organisation_id=group["organisation_id"],
            hour=group["hour"],
            model=group["model"],
            api_key_id=group["api_key_id"],
            requests=group["requests"],
            errors=group["errors"],
            uncached_tokens=group["uncached"],
            cached_tokens=group["cached"],
            output_tokens=group["output"],
            cost_nanos=group["cost"],
        )
        for group in groups
    ]
    with transaction.atomic():
        HourlyUsage.objects.filter(hour__gte=start).delete()
        HourlyUsage.objects.bulk_create(rows, batch_size=500)
    return len(rows)
