"""One-time operator links: how the first operator gets in without a password.

The link's token is stored as a hash only; using it is a conditional UPDATE, so it works once.
"""

import secrets
from datetime import timedelta

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from accounts import flows
from accounts.models import OperatorLink, User
from portal.lib import env

LASTS = timedelta(minutes=15)
FIRST_OPERATOR = "operator@localhost"


def make_link() -> str:
    """A link that signs in as the first operator; makes that account when there is none."""
    token = secrets.token_urlsafe(32)
    OperatorLink.objects.create(
        user=_operator(),
        token_hash=flows.hash_token(token),
        expires_at=timezone.now() + LASTS,
    )
    return f"{site_address()}{reverse('operator_link', args=[token])}"


def site_address() -> str:
    """Where the site is; a command in another terminal knows no PORT, but `serve` left a note."""
    if env.text("BASE_URL") or env.text("PORT"):
        return str(settings.BASE_URL)
    try:
        return str(settings.ADDRESS_FILE.read_text())
    except FileNotFoundError:
        return str(settings.BASE_URL)


def use_link(token: str) -> User | None:
    """The operator behind an unused, unexpired link, which is used up by this; or None."""
    links = OperatorLink.objects.filter(token_hash=flows.hash_token(token))
    now = timezone.now()
    if not links.filter(used_at=None, expires_at__gt=now).update(used_at=now):
        return None
    return links.select_related("user").get().user


def _operator() -> User:
    existing = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if existing is not None:
        return existing
    operator = User.objects.create_superuser(FIRST_OPERATOR, name="Operator")
    operator.set_unusable_password()
    operator.save(update_fields=["password"])
    return operator
