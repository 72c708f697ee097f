"""Anthropic's error envelope: {"type": "error", "error": {type, message}, "request_id"}.

Its status of an overloaded server is 529, which its clients know; everything else keeps ours. Our
code stands where Anthropic has codes, in `details`, and the field at fault beside it.
"""

from typing import Any

from inference.errors import ServiceError

OVERLOADED = 529
_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def envelope(error: ServiceError, request_id: str) -> dict[str, Any]:
    fallback = "invalid_request_error" if error.status < 500 else "api_error"
    told: dict[str, Any] = {
        "type": _TYPES.get(error.status, fallback),
        "message": error.message,
    }
    facts = {"error_code": error.code, "param": error.param, **error.details}
    known = {name: fact for name, fact in facts.items() if fact is not None}
    if known:
        told["details"] = known
    return {"type": "error", "error": told, "request_id": request_id}


def status_of(error: ServiceError) -> int:
    return OVERLOADED if error.status == 503 else error.status
