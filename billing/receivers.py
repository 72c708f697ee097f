"""What billing does when something happens elsewhere: a new organisation gets its account."""

from typing import Any

from django.conf import settings
from django.dispatch import receiver
from django.utils.translation import gettext_noop

from accounts.models import Organisation
from accounts.signals import organisation_created
from billing import ledger


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
