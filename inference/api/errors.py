"""OpenAI's error envelope, {"error": {message, type, param, code}}, and what becomes an error."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails, to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from inference.api.versionless import explanation
from inference.errors import ServiceError, invalid
from portal.lib.strict_json import StrictJSONError, spell_path


def envelope(error: ServiceError) -> dict[str, Any]:
    body: dict[str, Any] = {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }
    if error.details:
        body["details"] = error.details
    return {"error": body}


def encode(value: object) -> bytes:
    """Compact JSON on one line; a number that JSON has no word for is null."""
    return to_json(value, inf_nan_mode="null")


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(encode(value), status, headers, media_type="application/json")


def from_http(error: HTTPException, method: str, path: str) -> ServiceError:
    """What Starlette's router raises: 404 and 405."""
    if error.status_code == 405:
        message = f"{method} is not allowed on {path}."
        code = "method_not_allowed"
    else:
        message = f"Unknown address: {method} {path}"
        if sentence := explanation(path):
            message += f". {sentence}"
        code = "unknown_url"
    headers = dict(error.headers or {})
    return ServiceError(error.status_code, "invalid_request_error", code, message, None, headers)


def from_json(error: StrictJSONError) -> ServiceError:
    return invalid(error.message, error.param, "invalid_json")


# Where pydantic speaks of Python: of dictionaries, of None, and of classes of ours.
_REASONS = {
    "dict_type": "it must be an object",
    "model_type": "it must be an object",
    "none_required": "it is not supported here",  # but by OpenAI
}


def from_validation(
    problems: Sequence[ErrorDetails], place: Sequence[str | int] = ()
) -> ServiceError:
    """The first thing pydantic found wrong, by the name of its field; the value is not repeated.

    `place` is the path of what was validated.
    """
    problem = problems[0]
    param = spell_path((*place, *problem["loc"]))
    if problem["type"] == "missing":
        return invalid(
            f"Missing required parameter: '{param}'.", param, "missing_required_parameter"
        )
    reason = _REASONS.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
    reason = reason.replace(" after validation", "")
    code = "unsupported_parameter" if problem["type"] == "none_required" else "invalid_value"
    if problem["type"].endswith("_type") or problem["type"] == "int_from_float":
        return invalid(f"Invalid type for '{param}': {_lower(reason)}.", param, "invalid_type")
    return invalid(f"Invalid value for '{param}': {_lower(reason)}.", param, code)


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].removesuffix(".")
