"""Encryption at rest: what is stored of a customer's texts is sealed before it reaches a row.

AES-256-GCM with a key of its own for every context, derived from SECRET_KEY by HKDF-SHA-256
(RFC 5869). The context says what is sealed and whose it is, and is authenticated: a sealed text
that is moved to another row does not open there. After a rotation the keys in SECRET_KEY_FALLBACKS
still open what they sealed; nothing is sealed with them any more, and what is kept for good is
sealed anew by hourly jobs.
"""

import os
import zlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

_FORMAT = b"\x01"
_NONCE_BYTES = 12


class CannotUnsealError(ValueError):
    """It was sealed with a key that is gone, for another context, or is damaged."""


def seal(plain: bytes, context: str) -> bytes:
    """Compressed and encrypted; `context` must be given again to open it."""
    nonce = os.urandom(_NONCE_BYTES)
    cipher = AESGCM(_key(settings.SECRET_KEY, context))
    # Level 1: the events of a stream repeat themselves so much that more effort gains little.
    return _FORMAT + nonce + cipher.encrypt(nonce, zlib.compress(plain, 1), context.encode())


def unseal(sealed: bytes | memoryview, context: str) -> bytes:
    """What `seal` was given. Raises CannotUnsealError."""
    return _open(sealed, context)[0]


def sealed_anew(sealed: bytes | memoryview, context: str) -> bytes | None:
    """The same, sealed with SECRET_KEY; None where it is already. Raises CannotUnsealError."""
    plain, secret = _open(sealed, context)
    return None if secret == settings.SECRET_KEY else seal(plain, context)


def _open(sealed: bytes | memoryview, context: str) -> tuple[bytes, str]:
    """What was sealed, and the secret that opened it."""
    sealed = bytes(sealed)
    head, body = sealed[: 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    if head[:1] != _FORMAT:
        raise CannotUnsealError("this was not sealed here")
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            packed = AESGCM(_key(secret, context)).decrypt(head[1:], body, context.encode())
        except (InvalidTag, ValueError):  # ValueError: it is too short to hold anything
            continue
        return zlib.decompress(packed), secret
    raise CannotUnsealError("no key opens this")


def _key(secret: str, context: str) -> bytes:
    # 32 bytes; each context has its own key, so that nonces of different rows never meet.
    kdf = HKDF(algorithm=SHA256(), length=32, salt=b"parlance.sealing", info=context.encode())
    return kdf.derive(secret.encode())
