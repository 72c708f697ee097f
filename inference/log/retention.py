"""How long the request log keeps: what is over is not read, and deleted.

How long is read from the organisation every time, so that a shorter time also holds for what is
there already. Every batch is a statement of its own, and what is gone is not there to be deleted
again: it may be stopped anywhere and run twice, also at the same time.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, TypeVar

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import Organisation
from billing import pulse
from inference.log.models import KeptBodies, KeyedRequest, RequestMetadata, StoredResponse

BATCH = 500
Text = TypeVar("Text", KeptBodies, StoredResponse)


def find_text(rows: QuerySet[Text], organisation_id: str, key: str) -> Text | None:
    """The row of this key that this organisation still keeps; None when there is none (any more).

    What is over is not found, even before it is deleted.
    """
    mine = rows.filter(pk=key, organisation_id=organisation_id, organisation__keeps_bodies=True)
    row = mine.select_related("organisation").first()
    if row is None:
        return None
    kept_for = timedelta(days=row.organisation.body_retention_days)
    return row if row.created_at + kept_for >= timezone.now() else None


def delete_what_is_over() -> int:
    """How many rows are gone."""
    over: list[QuerySet[Any]] = []
    for texts in (KeptBodies.objects.all(), StoredResponse.objects.all()):
        over.append(texts.filter(organisation__keeps_bodies=False))
        over += _older(texts, "body_retention_days")
    over += _older(RequestMetadata.objects.all(), "metadata_retention_days")
    now = timezone.now()
    # A day is shorter than a request may run when it has no deadline: its lease counts, too.
    over.append(KeyedRequest.objects.filter(expires_at__lt=now, lease__lte=pulse.number()))
    return sum(_delete(rows) for rows in over)


def _older(rows: QuerySet[Any], setting: str) -> Iterable[QuerySet[Any]]:
    """Rows past their time, by each time that some organisation has chosen."""
    now = timezone.now()
    for days in Organisation.objects.order_by().values_list(setting, flat=True).distinct():
        yield rows.filter(
            created_at__lt=now - timedelta(days=days), **{f"organisation__{setting}": days}
        )


def _delete(rows: QuerySet[Any]) -> int:
    deleted = 0
    while batch := list(rows.values_list("pk", flat=True)[:BATCH]):
        deleted += rows.model.objects.filter(pk__in=batch).delete()[0]
    return deleted
