"""The pairs that requests carry in their `metadata`: noted with the hold, found by value.

Readers see what is within the organisation's retention, whether or not the rest is deleted yet.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import Organisation
from inference.log.models import RequestMetadata


def note(organisation_id: str, request_id: str, pairs: Mapping[str, str]) -> None:
    """The caller is in the transaction that accepts the request."""
    RequestMetadata.objects.bulk_create(
        RequestMetadata(
            organisation_id=organisation_id, request_id=request_id, key=key, value=value
        )
        for key, value in pairs.items()
    )


def of(organisation: Organisation, request_ids: Collection[str]) -> dict[str, dict[str, str]]:
    """By request, its pairs in the order of their keys; one query."""
    found: dict[str, dict[str, str]] = {}
    rows = _readable(organisation).filter(request_id__in=request_ids).order_by("key")
    for row in rows:
        found.setdefault(row.request_id, {})[row.key] = row.value
    return found


def requests_with(organisation: Organisation, pair: str) -> QuerySet[RequestMetadata, str]:
    """Ids of the requests that carry `key=value`; a key ends at the first equals sign.

    Raises ValueError when there is none.
    """
    key, equals, value = pair.partition("=")
    if not equals:
        raise ValueError("write a pair as key=value")
    matches = _readable(organisation).filter(key=key, value=value)
    return matches.values_list("request_id", flat=True)


def _readable(organisation: Organisation) -> QuerySet[RequestMetadata]:
    since = timezone.now() - timedelta(days=organisation.metadata_retention_days)
    return RequestMetadata.objects.filter(organisation=organisation, created_at__gte=since)
