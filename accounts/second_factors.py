"""What second factors are made from (the secret of an app, the seed of recovery codes), sealed.

allauth keeps them in a row's JSON and passes each through its adapter. One that was written before
they were sealed is known by the mark that it lacks; it works, and is sealed within the hour, as is
one that a former SECRET_KEY sealed. Passkeys are public keys, and lie as they are.
"""

import base64
import binascii
from contextlib import suppress

import structlog
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.permissions import Refused
from portal.lib import sealing

logger = structlog.get_logger(__name__)

MARK = "sealed:"  # in no secret of allauth's, which are base32 and hexadecimal
# allauth says nothing of whose it is. Who may move it to another row may write a password there.
CONTEXT = "second-factor"
SECRETS = ("secret", "seed")  # within the JSON of an app, and of recovery codes


class CannotOpenError(ValidationError, Refused):
    """A form says so, a page is a 403, and a template writes nothing."""

    silent_variable_failure = True

    def __str__(self) -> str:
        return str(self.message)


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth has no types
    def encrypt(self, text: str) -> str:
        return MARK + _written(sealing.seal(text.encode(), CONTEXT))

    def decrypt(self, encrypted_text: str) -> str:
        """Raises CannotOpenError when the key is gone, by which nobody is let in."""
        if not encrypted_text.startswith(MARK):
            return encrypted_text
        try:
            return sealing.unseal(_read(encrypted_text), CONTEXT).decode()
        except sealing.CannotUnsealError:
            logger.error("a second factor cannot be opened: is a key of SECRET_KEY_FALLBACKS gone?")
            said = _("Your second factor cannot be read any more. Use a passkey, or ask for help.")
            raise CannotOpenError(said) from None


def seal_anew() -> None:
    """Seal with SECRET_KEY what is not sealed, or with a former one."""
    kept = Authenticator.objects.exclude(type=Authenticator.Type.WEBAUTHN)
    for pk in [each.pk for each in kept.iterator() if _renewed(each)]:
        with transaction.atomic():
            # Recovery codes that are used meanwhile stay used.
            factor = kept.select_for_update().filter(pk=pk).first()
            if factor is not None and (renewed := _renewed(factor)):
                factor.data |= renewed
                factor.save(update_fields=["data"])


def _renewed(factor: Authenticator) -> dict[str, str]:
    """Those of its secrets that have to be written anew, as they have to be written."""
    renewed = {}
    for name in SECRETS:
        text = factor.data.get(name)
        if text is None:
            continue
        if not text.startswith(MARK):
            renewed[name] = MFAAdapter().encrypt(text)
            continue
        with suppress(sealing.CannotUnsealError):  # whoever wants to use it is told
            sealed = sealing.sealed_anew(_read(text), CONTEXT)
            if sealed is not None:
                renewed[name] = MARK + _written(sealed)
    return renewed


def _written(sealed: bytes) -> str:
    return base64.b64encode(sealed).decode()


def _read(text: str) -> bytes:
    try:
        return base64.b64decode(text.removeprefix(MARK))
    except binascii.Error:
        raise sealing.CannotUnsealError("this was not sealed here") from None
