"""The ASGI application: who answers which address.

`/v1/…` and its neighbours go to a thin ASGI application, since Django's handler and middleware
would cost many times the request itself; so does what a program asks for that forgot the `/v1`, to
be told. Websockets go to Channels; everything else to Django.
The lifespan starts and drains the inference service, which lives in this event loop.
"""

import gc
import os
from typing import cast

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django_application = get_asgi_application()

# Models may be imported only after Django is set up.
from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import URLRouter  # noqa: E402
from django.urls import re_path  # noqa: E402
from starlette.routing import Router  # noqa: E402
from starlette.types import ASGIApp, Receive, Scope, Send  # noqa: E402

from inference import service  # noqa: E402
from inference.api import keyed_run  # noqa: E402
from inference.api.app import build_app  # noqa: E402
from inference.api.versionless import asked_by_program  # noqa: E402
from playground.routing import websocket_urlpatterns  # noqa: E402
from portal import operations  # noqa: E402
from portal.body_limit import BodyLimit  # noqa: E402
from portal.forwarded import seen_by_proxy  # noqa: E402
from portal.languages import SocketLanguage  # noqa: E402
from portal.origin import BrowserOriginOnly  # noqa: E402
from portal.sockets import unknown_address  # noqa: E402

API_PREFIXES = ("/v1/", "//v1/", "/tokenize", "/detokenize", "/tokenizer_info")
OPERATIONS_PATHS = ("/healthz", "/readyz", "/metrics")
STORE_S = 5.0  # for answers that have just ended


class Application:
    """Routes by protocol and path; see the module's docstring."""

    def __init__(self) -> None:
        self.api: ASGIApp = build_app()
        self.pages: ASGIApp = BodyLimit(cast("ASGIApp", django_application))
        self.operations: ASGIApp = Router(routes=operations.routes)
        unknown = re_path("", unknown_address)  # type: ignore[arg-type]  # no view, but Channels'
        self.sockets: ASGIApp = BrowserOriginOnly(
            AuthMiddlewareStack(SocketLanguage(URLRouter([*websocket_urlpatterns, unknown])))
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.lifespan(receive, send)
            return
        await self.application_for(scope)(seen_by_proxy(scope), receive, send)

    def application_for(self, scope: Scope) -> ASGIApp:
        if scope["type"] == "websocket":
            return self.sockets
        path = scope["path"]
        if path == "/v1" or path.startswith(API_PREFIXES):
            return self.api
        if path in OPERATIONS_PATHS:
            return self.operations
        return self.api if asked_by_program(scope) else self.pages

    async def lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await service.start()
        # What was loaded stays: looking at it took a full collection 90 ms, and all streams waited.
        gc.collect()
        gc.freeze()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await service.stop()
        await keyed_run.drain(STORE_S)
        await send({"type": "lifespan.shutdown.complete"})


application = Application()
