"""What an organisation allows itself to spend in a month, and where it stands.

The cap is a column of its account: `billing.ledger` checks it in the statement that makes a hold.
"""

from dataclasses import dataclass
from datetime import date

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.models import Organisation
from billing import ledger
from billing.models import Account, AlertSettings


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one calendar month (UTC), in nanos; a cap of None is none."""

    month: date
    spent_nanos: int
    held_nanos: int
    monthly_cap_nanos: int | None


def standing(organisation_id: str) -> Standing:
    month = ledger.month_of(timezone.now())
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
