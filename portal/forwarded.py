"""Whose request it is: behind our own proxy, the client that the proxy saw."""

import ipaddress
from contextlib import suppress

from django.conf import settings
from starlette.types import Scope


def seen_by_proxy(scope: Scope) -> Scope:
    """The scope with the client's own address.

    A proxy appends the address that it saw to X-Forwarded-For; what stands before it is what the
    client claims, and counts for nothing.
    """
    if not settings.TRUST_FORWARDED_FOR:
        return scope
    found = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    last = _address(found[-1].decode("latin-1").rpartition(",")[2].strip()) if found else ""
    return {**scope, "client": (last, 0)} if last else scope


def _address(written: str) -> str:
    """What some proxies write with its port; nothing for a word that is no address."""
    for candidate in (written, written.rpartition(":")[0]):
        with suppress(ValueError):
            return str(ipaddress.ip_address(candidate.strip("[]")))
    return ""
