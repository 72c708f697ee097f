"""What answers where no view does: pages for people, JSON for programs of the management API."""

import sys
from collections.abc import Callable
from functools import wraps

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from redis.exceptions import RedisError

from accounts.permissions import Refused
from portal.lib.db import is_away
from portal.lib.rest_errors import envelope

API = "/api/"
READING = ("GET", "HEAD")
AWAY_S = "5"
View = Callable[[HttpRequest], HttpResponseBase]


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """What Django finds suspicious; its own words are for the log."""
    if not request.path.startswith(API):
        return defaults.bad_request(request, exception)
    if isinstance(exception, DisallowedHost):
        message = "This host name is not served here (see ALLOWED_HOSTS)."
        told = envelope(400, message, "invalid_host", "host")
    else:
        told = envelope(400, "The request is malformed.", "invalid_request")
    return JsonResponse(told, status=400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    context = {"refusal": str(exception)} if isinstance(exception, Refused) else {}
    return render(request, "403.html", context, status=403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if request.path.startswith(API):
        message = f"Unknown address: {request.method} {request.path}"
        return JsonResponse(envelope(404, message, "unknown_url"), status=404)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Of whatever no view has caught, which Django handles while this is called."""
    error = sys.exc_info()[1]
    if isinstance(error, RedisError) or is_away(error):
        return _away(request)
    if request.path.startswith(API):
        request_id = getattr(request, "request_id", "")
        message = f"Something went wrong on our side. Its id is {request_id}."
        return JsonResponse(envelope(500, message, "internal_error"), status=500)
    return defaults.server_error(request)


def _away(request: HttpRequest) -> HttpResponseBase:
    """Worth another try, as programs and proxies see by its status."""
    if request.path.startswith(API):
        message = "A service that is needed for this is away. Please try again in a moment."
        told: HttpResponseBase = JsonResponse(envelope(503, message, "overloaded"))
    else:
        told = defaults.server_error(request, "503.html")
    told.status_code = 503
    told["Retry-After"] = AWAY_S
    return told


def read_only(view: View) -> View:
    """A view below /api/ that is no endpoint of its own; a 405 as those give it otherwise."""

    @csrf_exempt  # or a page would say that a token is missing
    @wraps(view)
    def answer(request: HttpRequest) -> HttpResponseBase:
        if request.method in READING:
            return view(request)
        told = envelope(405, f'Method "{request.method}" not allowed.', "method_not_allowed")
        return JsonResponse(told, status=405, headers={"Allow": ", ".join(READING)})

    return answer
