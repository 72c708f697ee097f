"""What a name may hold: text that reads as it is written, on pages and in mails alike."""

import unicodedata

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

# Joiners make letters of some scripts and many emoji; they turn nothing round.
_JOINERS = "\u200c\u200d"
_HIDDEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}


def check_plain_name(name: str) -> None:
    """Refuse control and direction characters, which make a name look like another text."""
    if any(unicodedata.category(each) in _HIDDEN and each not in _JOINERS for each in name):
        raise ValidationError(_("A name holds no control or direction characters."))
