"""What answers where no view does: pages for people, JSON for programs of the management API."""

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.views import defaults

from portal.lib.rest_errors import envelope

API = "/api/"


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if request.path.startswith(API):
        message = f"Unknown address: {request.method} {request.path}"
        return JsonResponse(envelope(404, message, "unknown_url"), status=404)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    if request.path.startswith(API):
        request_id = getattr(request, "request_id", "")
        message = f"Something went wrong on our side. Its id is {request_id}."
        return JsonResponse(envelope(500, message, "internal_error"), status=500)
    return defaults.server_error(request)
