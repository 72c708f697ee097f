"""What billing does when something happens elsewhere: a new organisation gets its account,
a key's successor what it has spent."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.dispatch import receiver
from django.utils.translation import gettext_noop

from accounts.models import Organisation
from accounts.signals import key_rotated, organisation_created
from billing import ledger, spending


@receiver(organisation_created)
def open_account(organisation: Organisation, *, welcome: bool, **_kwargs: Any) -> None:
    """In the transaction that makes the organisation: its account, and the welcome credit."""
    ledger.open_account(organisation.id)
    if welcome and settings.WELCOME_CREDIT_NANOS:
        ledger.grant(
            organisation.id,
            settings.WELCOME_CREDIT_NANOS,
            reference=f"grant:welcome:{organisation.id}",
            description=gettext_noop("Welcome credit"),
        )


@receiver(key_rotated)
def count_together(key_id: UUID, successor_id: UUID, **_kwargs: Any) -> None:
    """In the transaction that makes the successor: both have one cap."""
    spending.count_together(key_id, successor_id)
