"""How far a key reaches: from which addresses it works, and until when.

A management key that is limited so makes, changes and rotates no key that reaches further. Who got
hold of it for a moment would keep what the limits were there to take away.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from accounts.models import ApiKey

LIMITS = ("ip_ranges", "expires_at")


class BeyondReach(ValueError):  # noqa: N818  as `KeyRefused`
    """A key would reach further than the one that asks for it, by the field of that name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def of(key: ApiKey) -> dict[str, Any]:
    """The limits that a key has."""
    return {name: limit for name in LIMITS if (limit := getattr(key, name))}


def check(maker: ApiKey, wanted: Mapping[str, Any]) -> None:
    """Raise BeyondReach where a limit in `wanted` is wider than the maker's.

    What it does not name stays as it is.
    """
    ranges, ends_at = maker.ip_ranges, maker.expires_at
    if ranges and "ip_ranges" in wanted and not _within(wanted["ip_ranges"], ranges):
        raise BeyondReach(
            "ip_ranges",
            f"Your key works from {', '.join(ranges)} alone, and so do the keys it manages.",
        )
    if ends_at is not None and "expires_at" in wanted:
        wanted_end = wanted["expires_at"]
        if wanted_end is None or wanted_end > ends_at:
            raise BeyondReach(
                "expires_at",
                f"Your key ends at {ends_at:%Y-%m-%dT%H:%M:%SZ}, and the keys it manages no later.",
            )


def _within(wanted: Sequence[str], allowed: Sequence[str]) -> bool:
    """Whether all of them lie in one of those that are allowed; none is everywhere."""
    outers = [ipaddress.ip_network(each, strict=False) for each in allowed]
    return bool(wanted) and all(
        any(_is_part(ipaddress.ip_network(each, strict=False), outer) for outer in outers)
        for each in wanted
    )


def _is_part(inner: Any, outer: Any) -> bool:
    """Two versions are never part of each other, and the library refuses to compare them."""
    return bool(inner.version == outer.version and inner.subnet_of(outer))
