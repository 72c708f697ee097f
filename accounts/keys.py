"""The text form of API keys: mint, check offline, digest. No database here.

A key is `sk-prl-`, 256 random bits in base62, and a six-character checksum, so that a typo or a
leaked string can be judged without asking anyone. Only its SHA-256 is stored: with 256 bits of
randomness a slow password hash would add nothing but latency.
"""

import hashlib
import secrets
import zlib
from dataclasses import dataclass

from portal.lib.ids import base62

PREFIX = "sk-prl-"
SECRET_CHARS = 43  # 256 bits in base62
CHECKSUM_CHARS = 6
LENGTH = len(PREFIX) + SECRET_CHARS + CHECKSUM_CHARS
SHOWN_CHARS = len(PREFIX) + 4  # what lists show of a key's beginning


@dataclass(frozen=True, slots=True)
class MintedKey:
    """A new key. `secret` is shown to its owner once; the rest is what is stored."""

    secret: str
    key_hash: bytes
    prefix: str
    last_four: str


def mint() -> MintedKey:
    body = base62(secrets.randbits(256), SECRET_CHARS)
    secret = f"{PREFIX}{body}{_checksum(body)}"
    return MintedKey(
        secret=secret,
        key_hash=hashlib.sha256(secret.encode()).digest(),
        prefix=secret[:SHOWN_CHARS],
        last_four=secret[-4:],
    )


def digest(secret: str) -> bytes | None:
    """The hash a key is looked up by, or None when it cannot be one of ours."""
    if len(secret) != LENGTH or not secret.startswith(PREFIX) or not secret.isascii():
        return None
    body, checksum = secret[len(PREFIX) : -CHECKSUM_CHARS], secret[-CHECKSUM_CHARS:]
    if _checksum(body) != checksum:
        return None
    return hashlib.sha256(secret.encode()).digest()


def _checksum(body: str) -> str:
    return base62(zlib.crc32(body.encode()), CHECKSUM_CHARS)
