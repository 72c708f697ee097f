"""Sums of usage records of one organisation, by day, model or key."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any

from django.db.models import Count, Expression, F, Sum
from django.db.models.functions import TruncDate

from billing.models import UsageRecord

GROUPS: Mapping[str, Expression | F] = {
    "day": TruncDate("created_at", tzinfo=UTC),
    "model": F("model"),
    "key": F("api_key_id"),
}
SUMMED = ("uncached_tokens", "cached_tokens", "output_tokens", "cost_nanos")


def sums(organisation_id: str, *, since: date, until: date, group_by: str) -> list[dict[str, Any]]:
    """A row for each group that has any, in its order; `until` is not part of it."""
    records = UsageRecord.objects.filter(
        organisation_id=organisation_id,
        created_at__gte=datetime.combine(since, time(), UTC),
        created_at__lt=datetime.combine(until, time(), UTC),
    )
    totals = {name: Sum(name) for name in SUMMED}
    rows = records.values(group=GROUPS[group_by]).annotate(requests=Count("pk"), **totals)
    return [{**row, "group": str(row["group"] or "")} for row in rows.order_by("group")]
