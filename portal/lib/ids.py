"""Makes identifiers: random, sortable where it matters, with a prefix that says what they name."""

import secrets
import time

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS = [first + second for first in BASE62 for second in BASE62]


def base62(value: int, width: int) -> str:
    """`value` in base62, padded with zeros to `width` characters."""
    pairs = []
    while value:  # two digits at a time: every request makes an id
        value, remainder = divmod(value, len(_PAIRS))
        pairs.append(_PAIRS[remainder])
    return "".join(reversed(pairs)).lstrip(BASE62[0]).rjust(width, BASE62[0])


def new_id(prefix: str) -> str:
    """`req_01k…`: milliseconds since 1970 then 96 random bits, so ids sort by time of creation."""
    stamp = base62(time.time_ns() // 1_000_000, 8)
    return f"{prefix}_{stamp}{base62(secrets.randbits(96), 17)}"


def new_organisation_id() -> str:
    return new_id("org")
