"""The ASGI application for `/v1` and its neighbours.

Django's middleware does not run here, so what it did is done here: host check, request ids,
security headers, CORS, and one error envelope for everything that goes wrong (Anthropic's below
`/v1/messages`, OpenAI's everywhere else).
"""

import time
from collections.abc import Awaitable
from functools import lru_cache
from http import HTTPStatus

import structlog
from django.conf import settings
from django.http.request import split_domain_port, validate_host
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inference import errors, metrics
from inference.api import (
    chat,
    completions,
    embeddings,
    engines,
    fill_mask,
    models,
    requests,
    tokenize,
)
from inference.api.anthropic import endpoints as anthropic
from inference.api.anthropic.models import HEADER as VERSION_HEADER
from inference.api.errors import from_http
from inference.api.exchange import Exchange, admit, authenticate
from inference.api.idempotency import idempotent
from inference.api.recording import Endpoint, recorded
from inference.api.responses import endpoints as responses
from inference.errors import ServiceError

logger = structlog.get_logger(__name__)

OPENAI_VERSION = "2020-10-01"
# What pages of other sites may read of an answer; each limit of the rate has three more.
EXPOSED_HEADERS = ", ".join(
    [
        "x-request-id, request-id, retry-after, retry-after-ms, x-should-retry",
        "x-credit-remaining, x-request-cost, x-ignored-fields, idempotent-replayed",
        "openai-processing-ms, openai-version",
        *(
            f"x-ratelimit-{what}-{unit}"
            for what in ("limit", "remaining", "reset")
            for unit in ("requests", "tokens")
        ),
    ]
)
NOT_YET = (
    "/v1/messages/batches",
    "/v1/responses/compact",
    "/v1/files",
    "/v1/batches",
    "/v1/fine_tuning/jobs",
)


def build_app() -> ASGIApp:
    """The application; `inference.service` runs in the event loop that serves it."""
    return Application(Router(routes=_routes(), redirect_slashes=False))


def _routes() -> list[Route]:
    routes = [  # they are tried in turn: first what is asked most
        Route("/v1/chat/completions", generating(chat.create), methods=["POST"]),
        Route("/v1/completions", generating(completions.create), methods=["POST"]),
        Route(f"{engines.PREFIX}/completions", generating(completions.create), methods=["POST"]),
        Route(f"{engines.PREFIX}/embeddings", generating(embeddings.create), methods=["POST"]),
        Route("/v1/responses", generating(responses.create), methods=["POST"]),
        Route("/v1/responses/input_tokens", responses.count_input, methods=["POST"]),
        Route("/v1/responses/{id}", responses.one, methods=["GET", "DELETE"]),
        Route("/v1/responses/{id}/input_items", responses.list_input, methods=["GET"]),
        Route("/v1/responses/{id}/cancel", nothing_to_cancel, methods=["POST"]),
        Route("/v1/messages", generating(anthropic.create), methods=["POST"]),
        Route("/v1/messages/count_tokens", anthropic.count_tokens, methods=["POST"]),
        Route("/v1/embeddings", generating(embeddings.create), methods=["POST"]),
        Route("/v1/fill-mask", generating(fill_mask.create), methods=["POST"]),
        Route("/v1/models", models.list_models, methods=["GET"]),
        Route("/v1/models/{model:path}", models.retrieve, methods=["GET"]),
        Route("/v1/requests/{id}", requests.retrieve, methods=["GET"]),
    ]
    for prefix in ("", "/v1"):
        routes += [
            Route(f"{prefix}/tokenize", tokenize.tokenize, methods=["POST"]),
            Route(f"{prefix}/detokenize", tokenize.detokenize, methods=["POST"]),
            Route(f"{prefix}/tokenizer_info", tokenize.tokenizer_info, methods=["GET"]),
        ]
    for path in NOT_YET:
        for pattern in (path, f"{path}/{{rest:path}}"):
            routes.append(Route(pattern, not_yet, methods=["GET", "POST", "DELETE"]))
    return routes


def generating(endpoint: Endpoint) -> Endpoint:
    """What every endpoint that generates has around it: keys for retries, and kept bodies."""
    return idempotent(recorded(endpoint))


async def not_yet(request: Request) -> Response:
    await authenticate(request)
    message = f"{request.url.path} is not available yet."
    raise ServiceError(404, "invalid_request_error", "not_available_yet", message)


async def nothing_to_cancel(request: Request) -> Response:
    """As OpenAI answers of any response that has a connection of its own, as all have here."""
    await admit(request)
    message = (
        "Only a response that was made with 'background: true' can be cancelled, and there are "
        "none here. To stop one, close its connection: what was made until then is billed."
    )
    raise errors.invalid(message, None, "response_not_cancellable")


class Application:
    """Everything around the endpoints; see the module."""

    def __init__(self, router: ASGIApp) -> None:
        self.router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        headers = Headers(scope=scope)
        exchange = Exchange(speaks_anthropic=_is_anthropics(scope["path"], headers))
        # "app" makes the router raise what it cannot route, instead of answering in plain text.
        scope = dict(scope) | {"exchange": exchange, "app": self}
        structlog.contextvars.bind_contextvars(request_id=exchange.request_id)
        exchange.headers = _answer_headers(exchange, scope, headers)

        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                _complete(exchange, message)
            return send(message)

        try:
            _check_host(headers)
            if _is_preflight(scope, headers):
                await Response(status_code=204)(scope, receive, send_with_headers)
            else:
                await self.router(scope, receive, send_with_headers)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except ServiceError as error:
            await self._refuse(error, scope, receive, send_with_headers)
        except HTTPException as error:
            refusal = from_http(error, scope["method"], scope["path"])
            await self._refuse(refusal, scope, receive, send_with_headers)
        except Exception:
            logger.exception("request crashed", path=scope["path"])
            if exchange.started:
                raise  # the server breaks the connection off: never a false end
            crash = errors.crashed(exchange.request_id)
            await self._refuse(crash, scope, receive, send_with_headers)

    async def _refuse(
        self, error: ServiceError, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.warning("request refused", status=error.status, code=error.code)
        await scope["exchange"].refusal(error)(scope, receive, send)


def _is_anthropics(path: str, headers: Headers) -> bool:
    """Also with no /v1, or two, which is then explained in the form that its library reads.

    Models have one address in both APIs.
    """
    path = f"{path}/"
    if path.startswith("/v1/models/"):
        return VERSION_HEADER in headers
    return path.startswith(("/v1/messages/", "/messages/", "/v1/v1/messages/", "//v1/messages/"))


def _check_host(headers: Headers) -> None:
    """What Django's SecurityMiddleware would do; DEBUG's lenience is not repeated."""
    if not _is_served(headers.get("host", ""), tuple(settings.ALLOWED_HOSTS)):
        message = "This host name is not served here (see ALLOWED_HOSTS)."
        raise ServiceError(400, "invalid_request_error", "invalid_host", message, "host")


@lru_cache(maxsize=1_000)
def _is_served(host: str, allowed: tuple[str, ...]) -> bool:
    domain, _port = split_domain_port(host)
    return bool(domain) and validate_host(domain, allowed)


def _answer_headers(exchange: Exchange, scope: Scope, headers: Headers) -> dict[str, str]:
    """What every answer carries."""
    made = {
        "x-request-id": exchange.request_id,
        "openai-version": OPENAI_VERSION,
        "x-content-type-options": "nosniff",
        "referrer-policy": settings.SECURE_REFERRER_POLICY,
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    }
    if exchange.speaks_anthropic:
        made["request-id"] = exchange.request_id
    if settings.SECURE_HSTS_SECONDS:
        made["strict-transport-security"] = f"max-age={settings.SECURE_HSTS_SECONDS}"
    origin = headers.get("origin", "")
    if settings.API_CORS_ORIGINS:
        made["vary"] = "Origin"
        if origin and {origin, "*"} & set(settings.API_CORS_ORIGINS):
            made["access-control-allow-origin"] = origin
            made["access-control-expose-headers"] = EXPOSED_HEADERS
            if scope["method"] == "OPTIONS":
                made["access-control-allow-methods"] = "DELETE, GET, POST"
                asked = headers.get("access-control-request-headers", "")
                made["access-control-allow-headers"] = asked or "authorization, content-type"
                made["access-control-max-age"] = "600"
    return made


def _is_preflight(scope: Scope, headers: Headers) -> bool:
    return (
        bool(settings.API_CORS_ORIGINS)
        and scope["method"] == "OPTIONS"
        and "access-control-request-method" in headers
    )


def _complete(exchange: Exchange, message: Message) -> None:
    """Add the common headers to a status line, and count the answer."""
    exchange.started = True
    exchange.status = message["status"]
    elapsed_ms = round((time.monotonic() - exchange.arrived) * 1000)
    added = exchange.headers | {"openai-processing-ms": str(elapsed_ms)}
    ours = {name.encode("latin-1"): value.encode("latin-1") for name, value in added.items()}
    theirs = [pair for pair in message.get("headers", ()) if pair[0] not in ours]
    if b"cache-control" not in {name for name, _ in theirs}:
        ours.setdefault(b"cache-control", b"no-store")
    message["headers"] = [*theirs, *ours.items()]
    metrics.responses(exchange.endpoint, str(exchange.status)).inc()
