"""What a name may hold: text that reads as it is written, on pages and in mails alike."""

import re
import unicodedata

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

# Joiners make letters of some scripts and many emoji; they turn nothing round.
_JOINERS = "\u200c\u200d"
_HIDDEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
# Within an address: what follows them makes a link of it.
_WITHIN_ADDRESSES = re.compile(r"(?<=[.:/@。．｡])(?=\S)")


def check_plain_name(name: str) -> None:
    """Refuse control and direction characters, which make a name look like another text."""
    if any(unicodedata.category(each) in _HIDDEN and each not in _JOINERS for each in name):
        raise ValidationError(_("A name cannot contain control or direction characters."))


def unlinked(name: str) -> str:
    """The name as it reads, in which no mail client finds an address to make a link of."""
    return _WITHIN_ADDRESSES.sub("\u200b", name)
