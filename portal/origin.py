"""Who may open a websocket: pages of our own origin with their session, programs with a key.

A browser always sends `Origin`, and a page elsewhere could otherwise use the visitor's session
cookie. A program sends none; it is let through without its cookies, so that only a key counts.
"""

from urllib.parse import urlparse

from django.conf import settings
from django.http.request import validate_host
from starlette.types import ASGIApp, Receive, Scope, Send


class BrowserOriginOnly:
    def __init__(self, application: ASGIApp) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
        if origin is None:
            headers = [(name, value) for name, value in scope["headers"] if name != b"cookie"]
            await self.application({**scope, "headers": headers}, receive, send)
        elif is_ours(origin.decode("latin-1"), scope):
            await self.application(scope, receive, send)
        else:
            await receive()  # the handshake; closing before accepting answers it with 403
            await send({"type": "websocket.close", "code": 4403})


def is_ours(origin: str, scope: Scope) -> bool:
    """Whether `origin` is this very host, and one that ALLOWED_HOSTS names."""
    try:
        parts = urlparse(origin)
        hostname = parts.hostname or ""
    except ValueError:  # half an IPv6 address, say
        return False
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    same = parts.netloc.lower() == host.decode("latin-1").lower()
    trusted = origin.lower() in {trusted.lower() for trusted in settings.CSRF_TRUSTED_ORIGINS}
    return (same or trusted) and validate_host(hostname, settings.ALLOWED_HOSTS)
