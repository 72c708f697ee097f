"""Errors of the management API, in the envelope of the inference API.

`{"error": {"message", "type", "param", "code"}}`, whatever Django REST framework would have said.
"""

from collections.abc import Mapping
from typing import Any

from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

NOT_FOUND = "There is nothing with this id, or it belongs to another organisation."
NO_KEY = "No API key was sent. Send it in the header 'Authorization: Bearer KEY'."
_NOT_A_FIELD = {"detail", "non_field_errors"}


def envelope(
    status: int, message: str, code: str | None, param: str | None = None
) -> dict[str, dict[str, str | None]]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def answer(error: Exception, context: dict[str, Any]) -> Response | None:
    """What `EXCEPTION_HANDLER` names; None for what is a crash."""
    response = exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, exceptions.NotAuthenticated):
        response.data = envelope(response.status_code, NO_KEY, "invalid_api_key")
    elif isinstance(error, Http404):  # whose words are Django's, with names of classes
        response.data = envelope(response.status_code, NOT_FOUND, "not_found")
    else:
        param, problem = _first(response.data)
        message, code = _words(param, problem)
        response.data = envelope(response.status_code, message, code, param)
    for name, value in getattr(error, "headers", {}).items():
        response[name] = value
    return response


def _first(data: Any, path: str = "") -> tuple[str | None, exceptions.ErrorDetail]:
    """The first problem, and the field it is about: `ip_ranges[2]`, or None."""
    if isinstance(data, Mapping):
        name, inner = next(iter(data.items()))
        if isinstance(name, int):  # DRF names what is wrong in a list by its place
            return _first(inner, f"{path}[{name}]")
        if name in _NOT_A_FIELD:
            return _first(inner, path)
        return _first(inner, f"{path}.{name}" if path else name)
    if isinstance(data, list):
        return _first(data[0], path)
    return path or None, data


def _words(param: str | None, problem: exceptions.ErrorDetail) -> tuple[str, str | None]:
    text = str(problem)
    if param is None:
        return text, "invalid_request" if problem.code == "invalid" else problem.code
    if problem.code == "required":
        return f"Missing required parameter: '{param}'.", "missing_required_parameter"
    code = problem.code if problem.code == "invalid_json" else "invalid_value"
    first, *_ = text.split(" ")
    if first[1:].lower() == first[1:]:  # which is not so of "NaN"
        text = text[:1].lower() + text[1:]
    return f"Invalid value for '{param}': {text}", code
