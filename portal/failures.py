"""What answers where no view does: pages for people, JSON for programs of the management API."""

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.views import defaults

API = "/api/"


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if request.path.startswith(API):
        return JsonResponse({"detail": "Not found."}, status=404)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    if request.path.startswith(API):
        request_id = getattr(request, "request_id", "")
        detail = f"Something went wrong on our side. Its id is {request_id}."
        return JsonResponse({"detail": detail}, status=500)
    return defaults.server_error(request)
