"""What every request of the Django side passes.

An id, a slash that lacks, the right host, a word to caches, and what makes pages small.
"""

from collections.abc import Awaitable, Callable

import structlog
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.decorators import sync_and_async_middleware

from portal.failures import API, bad_request
from portal.lib.ids import new_id

logger = structlog.get_logger(__name__)

Next = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


class RequestIdMiddleware:
    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._acall(request)
        request_id = self._begin(request)
        response = self.get_response(request)
        assert isinstance(response, HttpResponseBase)
        response["x-request-id"] = request_id
        return response

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        request_id = self._begin(request)
        answer = self.get_response(request)
        assert isinstance(answer, Awaitable)
        response = await answer
        response["x-request-id"] = request_id
        return response

    def _begin(self, request: HttpRequest) -> str:
        request_id = new_id("req")
        request.request_id = request_id  # type: ignore[attr-defined]
        structlog.contextvars.bind_contextvars(request_id=request_id)
        return request_id


@sync_and_async_middleware
def slash_is_optional(get_response: Next) -> Next:
    """Programs may leave out the slash at the end: a redirect would make a GET of their POST."""

    def complete(request: HttpRequest) -> HttpRequest:
        if f"{request.path_info}/".startswith(API) and not request.path_info.endswith("/"):
            request.path_info += "/"
            request.path += "/"
        return request

    if not iscoroutinefunction(get_response):
        return lambda request: get_response(complete(request))

    async def answer(request: HttpRequest) -> HttpResponseBase:
        awaitable = get_response(complete(request))
        assert isinstance(awaitable, Awaitable)
        response: HttpResponseBase = await awaitable
        return response

    return answer


@sync_and_async_middleware
def foreign_host_is_refused(get_response: Next) -> Next:
    """Here: with DEBUG Django would answer with a page of its own. It also logs a
    traceback each time, and the log of a site that scanners have found is full of them.
    """

    def refusal(request: HttpRequest) -> HttpResponseBase | None:
        try:
            request.get_host()
        except DisallowedHost as error:
            logger.warning("foreign host", why=str(error)[:300])
            return bad_request(request, error)
        return None

    if not iscoroutinefunction(get_response):
        return lambda request: refusal(request) or get_response(request)

    async def answer(request: HttpRequest) -> HttpResponseBase:
        refused = refusal(request)
        if refused is not None:
            return refused
        awaitable = get_response(request)
        assert isinstance(awaitable, Awaitable)
        response: HttpResponseBase = await awaitable
        return response

    return answer


@sync_and_async_middleware
def nobody_keeps_what_is_private(get_response: Next) -> Next:
    """No cache on the way, some of which go by the name of a file and not by its `Vary`, and no
    browser after its owner has signed out: what is said to a session is that session's.
    """

    def complete(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        name = settings.SESSION_COOKIE_NAME
        if name in request.COOKIES or name in response.cookies:
            response.headers.setdefault("Cache-Control", "private, no-store")
        return response

    if not iscoroutinefunction(get_response):

        def answer_now(request: HttpRequest) -> HttpResponseBase:
            response = get_response(request)
            assert isinstance(response, HttpResponseBase)
            return complete(request, response)

        return answer_now

    async def answer(request: HttpRequest) -> HttpResponseBase:
        awaitable = get_response(request)
        assert isinstance(awaitable, Awaitable)
        return complete(request, await awaitable)

    return answer


class CompressPages(GZipMiddleware):
    """Makes pages small on their way, and leaves alone what is told while it is made.

    Django's puts a random number of bytes into each, so that no length tells of a secret in it.
    """

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        if response.streaming:
            return response
        return super().process_response(request, response)
