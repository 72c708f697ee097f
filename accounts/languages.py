"""The language of somebody's mails, which are written when no browser of theirs asks."""

from django.conf import settings
from django.utils.translation import get_language

from accounts.models import User


def of_visitor() -> str:
    """The language of the page that is being answered."""
    return get_language() or settings.LANGUAGE_CODE


def of_address(address: str) -> str:
    """What its owner chose; of somebody without an account, that of whoever causes the mail."""
    known = User.objects.filter(email__iexact=address).values_list("language", flat=True).first()
    return known or of_visitor()
