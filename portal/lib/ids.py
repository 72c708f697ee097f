"""Makes identifiers: random, sortable where it matters, with a prefix that says what they name."""

import secrets
import time

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def base62(value: int, width: int) -> str:
    """`value` in base62, padded with zeros to `width` characters."""
    digits = []
    while value:
        value, remainder = divmod(value, 62)
        digits.append(BASE62[remainder])
    return "".join(reversed(digits)).rjust(width, BASE62[0])


def new_id(prefix: str) -> str:
    """`req_01k…`: milliseconds since 1970 then 96 random bits, so ids sort by time of creation."""
    stamp = base62(time.time_ns() // 1_000_000, 8)
    return f"{prefix}_{stamp}{base62(secrets.randbits(96), 17)}"


def new_organisation_id() -> str:
    return new_id("org")
