"""One OpenAPI document for all of the REST API: drf-spectacular's of /api, with /v1 put into it.

It is made once a process: it depends on settings alone.
"""

from functools import cache
from threading import Lock
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.views.decorators.cache import cache_control
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer

from inference.api import openapi
from portal.failures import read_only

MINUTES_5_S = 300
# drf-spectacular loads its extensions when it is first used, and two threads at once break that.
_making = Lock()
METHODS = ("get", "post", "put", "patch", "delete")


def complete(
    result: dict[str, Any], generator: Any, request: HttpRequest | None, public: bool
) -> dict[str, Any]:
    """A hook of drf-spectacular: add the inference API, and every answer's error envelope."""
    for item in result["paths"].values():
        for method in METHODS:
            if method in item:
                _name_errors(item[method])
    for kind, found in openapi.components().items():
        known = result["components"].setdefault(kind, {})
        twice = known.keys() & found.keys()
        assert not twice, f"two of one name: {sorted(twice)}"
        known |= found
    result["paths"] = openapi.paths() | result["paths"]
    return result


def _name_errors(operation: dict[str, Any]) -> None:
    """What every operation of /api may answer beside its success."""
    in_path = any(each["in"] == "path" for each in operation.get("parameters", ()))
    takes = "requestBody" in operation or bool(operation.get("parameters"))
    statuses = [401, 403, 429, 503, *([400] if takes else []), *([404] if in_path else [])]
    for success in operation["responses"].values():
        success["headers"] = openapi.header_refs(["x-request-id"])
    operation["responses"] |= openapi.errors(statuses)


def document() -> bytes:
    """The document as JSON."""
    with _making:
        return _document()


@cache
def _document() -> bytes:
    with translation.override("en"):
        schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return bytes(OpenApiJsonRenderer().render(schema))


@read_only
@cache_control(public=True, max_age=MINUTES_5_S)
def schema(request: HttpRequest) -> HttpResponse:
    return HttpResponse(document(), content_type="application/json")


@read_only
def reference(request: HttpRequest) -> HttpResponse:
    """The document for people, in Swagger UI from our own origin."""
    return render(request, "pages/reference.html")
