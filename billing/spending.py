"""What an organisation and its keys allow themselves to spend in a month, and where they stand.

The organisation's cap is a column of its account, a key's one of the key: `billing.ledger` checks
both in the statements that make a hold.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.models import Organisation
from billing import ledger
from billing.models import Account, AlertSettings, KeySpend
from billing.months import month_of


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one calendar month (UTC), in nanos; a cap of None is none."""

    month: date
    spent_nanos: int
    held_nanos: int
    monthly_cap_nanos: int | None


def standing(organisation_id: str) -> Standing:
    month = month_of(timezone.now())
    account = Account.objects.get(organisation_id=organisation_id)
    return Standing(
        month, account.spent_in(month), account.debits_pending, account.monthly_cap_nanos
    )


@transaction.atomic
def set_monthly_cap(organisation: Organisation, cap_nanos: int | None) -> None:
    """Holds from now on obey it; what runs goes on with what it holds. Stands in the audit log."""
    before = standing(organisation.pk).monthly_cap_nanos
    if before != cap_nanos:
        ledger.set_monthly_cap(organisation.pk, cap_nanos)
        # From the first cap on there is something to be told about, unless they choose otherwise.
        AlertSettings.objects.get_or_create(organisation=organisation)
        audit.note(organisation, {"monthly_cap_nanos": (before, cap_nanos)})


@transaction.atomic
def count_together(key_id: UUID, successor_id: UUID) -> None:
    """What a key's successor spends counts in the row of the first key that was rotated."""
    KeySpend.objects.bulk_create([KeySpend(api_key_id=key_id)], ignore_conflicts=True)
    first = KeySpend.objects.select_related("counts_in").get(api_key_id=key_id).counted
    KeySpend.objects.create(api_key_id=successor_id, counts_in=first)


def spent_by_keys(key_ids: Iterable[UUID]) -> dict[UUID, int]:
    """Nanos that count towards each key's cap this month (UTC); keys that were never used lack."""
    month = month_of(timezone.now())
    rows = KeySpend.objects.filter(api_key_id__in=key_ids).select_related("counts_in")
    return {row.api_key_id: row.counted.spent_in(month) for row in rows}
