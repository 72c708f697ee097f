"""What an organisation wants to be told: read and changed here, by the page and by programs."""

import hashlib
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import audit
from accounts.models import Organisation
from billing import alert_posts
from billing.models import AlertSettings
from portal.lib import callbacks

MOST_PERCENTAGES = 10
REPLACED = gettext_lazy(
    "This form has already replaced the secret, and the new one is shown only once. "
    "If you did not copy it, make another."
)


def read(organisation: Organisation, *, locked: bool = False) -> AlertSettings:
    """The organisation's choice, or what holds until it makes one.

    `locked`, until the transaction ends, by who writes it whole: two may change different things.
    """
    rows = AlertSettings.objects.select_for_update() if locked else AlertSettings.objects.all()
    found = rows.filter(organisation=organisation).first()
    return found or AlertSettings(organisation=organisation)


def percentages(wanted: list[int]) -> list[int]:
    """Each once, ascending. Raises ValueError with a sentence."""
    if len(wanted) > MOST_PERCENTAGES:
        raise ValueError(_("Choose at most %(most)d.") % {"most": MOST_PERCENTAGES})
    if not all(1 <= each <= 100 for each in wanted):
        raise ValueError(_("Each must be from 1 to 100."))
    return sorted(set(wanted))


def webhook_url(wanted: str) -> str:
    """Raises ValueError with a sentence; an empty address is none."""
    if wanted:
        callbacks.check_url(wanted, private=settings.WEBHOOKS_TO_PRIVATE_ADDRESSES)
    return wanted


@transaction.atomic
def change(organisation: Organisation, **fields: Any) -> str | None:
    """Change what is named; the secret, this once, when the first address made one."""
    row = read(organisation, locked=True)
    before = {name: getattr(row, name) for name in fields}
    for name, value in fields.items():
        setattr(row, name, value)
    secret = None
    if row.webhook_url and row.webhook_secret is None:
        secret = alert_posts.new_secret()
        row.webhook_secret = alert_posts.sealed(secret, organisation.pk)
    row.save()
    changed = {
        name: (before[name], fields[name]) for name in fields if before[name] != fields[name]
    }
    if changed:
        audit.note(organisation, {f"alerts.{name}": both for name, both in changed.items()})
    return secret


def mark_of(row: AlertSettings) -> str:
    """Which secret it has, to name it by."""
    return hashlib.sha256(row.webhook_secret or b"").hexdigest()


@transaction.atomic
def new_secret(organisation: Organisation, *, replaces: str = "") -> str:
    """Replace the webhook's secret; posts from now on are signed with it.

    `replaces`: the mark of the one that is meant. Raises ValueError when it is gone already.
    """
    row = read(organisation, locked=True)
    if replaces and replaces != mark_of(row):
        raise ValueError(REPLACED)
    secret = alert_posts.new_secret()
    row.webhook_secret = alert_posts.sealed(secret, organisation.pk)
    row.save()
    audit.note(organisation, {"alerts.webhook_secret": ("an old one", "a new one")})
    return secret
