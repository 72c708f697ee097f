"""Whose request it is: behind our own proxy, the client that the proxy saw."""

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
    last = found[-1].decode("latin-1").rpartition(",")[2].strip() if found else ""
    return {**scope, "client": (last, 0)} if last else scope
