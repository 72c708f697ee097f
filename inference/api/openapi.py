"""The OpenAPI 3.1 description of the inference API, from its table of operations.

Bodies are pydantic's own schemas of what is validated; a top-level null means absent, so it is
allowed where a field may be left out.
"""

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from inference.api import shapes
from inference.api.keyed_wait import HEADER as IDEMPOTENCY_HEADER
from inference.api.reference import OPERATIONS, Operation

SECURITY = "inferenceKey"
Schema = dict[str, Any]
_REF = "#/components/schemas/{model}"
_IDEMPOTENCY_KEY = {
    "name": IDEMPOTENCY_HEADER,
    "in": "header",
    "description": "The same key and body have the same answer for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}
STATUSES = {
    400: "The request makes no sense; `param` names the field.",
    401: "No key, or one that is wrong, expired or revoked.",
    402: "The credit or the key's cap does not cover what this may cost.",
    403: "This key may not do this.",
    404: "There is no such thing here.",
    409: "It does not fit what is there, or the Idempotency-Key's answer was not kept.",
    413: "The body is too large.",
    422: "The Idempotency-Key came with another body before.",
    429: "Too fast; wait for Retry-After.",
    503: "Something is away or full; wait for Retry-After.",
    529: "Something is away or full; wait for Retry-After.",
}
HEADERS: dict[str, Schema] = {
    "x-request-id": {"type": "string"},
    **{
        f"x-ratelimit-{what}-{unit}": {"type": kind}
        for unit in ("requests", "tokens")
        for what, kind in (("limit", "integer"), ("remaining", "integer"), ("reset", "string"))
    },
    "x-credit-remaining": {"type": "string"},
    "x-request-cost": {"type": "string"},
    "x-ignored-fields": {"type": "string"},
    "retry-after": {"type": "integer"},
    "retry-after-ms": {"type": "integer"},
}
_WAITING = ("retry-after", "retry-after-ms")
_COUNTED = tuple(name for name in HEADERS if name.startswith("x-ratelimit-"))
# The headers of refusals that say more than their body.
_NAMED = {429: (*_WAITING, *_COUNTED), 503: _WAITING, 529: _WAITING}
_BILLED = ("x-credit-remaining", "x-request-cost")


class _Plain(GenerateJsonSchema):
    """Without the titles that repeat the names of fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def paths() -> dict[str, dict[str, Schema]]:
    """By address and method, in OpenAPI's spelling of both."""
    found: dict[str, dict[str, Schema]] = {}
    for (method, route), operation in OPERATIONS.items():
        address = re.sub(r"\{(\w+):\w+\}", r"{\1}", route)
        found.setdefault(address, {})[method.lower()] = _described(address, operation)
    return found


def _described(address: str, operation: Operation) -> Schema:
    made: Schema = {
        "operationId": operation.operation_id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "security": [{SECURITY: []}],
        "responses": {
            "200": _answer(operation),
            **errors((401, *operation.errors), operation.error),
        },
    }
    if parameters := _parameters(address, operation):
        made["parameters"] = parameters
    if operation.body is not None:
        content: Schema = {"schema": _body_schema(operation)}
        if operation.example is not None:
            content["examples"] = {"example": {"value": operation.example}}
        made["requestBody"] = {"required": True, "content": {"application/json": content}}
    return made


def _parameters(address: str, operation: Operation) -> list[Schema]:
    names = re.findall(r"\{(\w+)\}", address)
    text = {"type": "string"}
    found: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": text} for name in names
    ]
    for place, optional in (("query", operation.query), ("header", operation.headers)):
        found += [{"name": name, "in": place, "schema": text} for name in optional]
    if 402 in operation.errors:
        found.append(_IDEMPOTENCY_KEY)
    return found


def _answer(operation: Operation) -> Schema:
    content: Schema = {"application/json": {"schema": _ref(operation.answer)}}
    if operation.chunk is not None:
        end = "" if "type" in operation.chunk.model_fields else "; then [DONE]"
        events = f"With `stream`: events whose data is a {operation.chunk.__name__}{end}."
        # Without a type: some tools look at each event, others at the text of all.
        content["text/event-stream"] = {"schema": {"description": events}}
    names = [
        "x-request-id",
        *(_COUNTED if 429 in operation.errors else ()),
        *(_BILLED if 402 in operation.errors else ()),
        *(("x-ignored-fields",) if operation.body is not None else ()),
    ]
    return {
        "description": operation.summary,
        "headers": header_refs(names),
        "content": content,
    }


def errors(statuses: Iterable[int], shape: type[BaseModel] = shapes.Error) -> dict[str, Schema]:
    """The answers of these statuses, and of any other that is an error."""
    made = {}
    for status in sorted(statuses):
        made[str(status)] = _error(STATUSES[status], _NAMED.get(status, ()), shape)
    return {**made, "default": _error("Any other error.", (), shape)}


def _error(description: str, names: Iterable[str], shape: type[BaseModel]) -> Schema:
    return {
        "description": description,
        "headers": header_refs(("x-request-id", *names)),
        "content": {"application/json": {"schema": _ref(shape)}},
    }


def header_refs(names: Iterable[str]) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def components() -> dict[str, Schema]:
    bodies = {op.body for op in OPERATIONS.values() if op.body is not None}
    answers = {op.answer for op in OPERATIONS.values()}
    answers |= {op.error for op in OPERATIONS.values()}
    chunks = {op.chunk for op in OPERATIONS.values() if op.chunk is not None}
    found = _schemas(bodies, "validation") | _schemas(answers | chunks, "serialization")
    for body in bodies:
        found[body.__name__] = _null_is_absent(found[body.__name__])
    return {
        "schemas": found,
        "headers": {name: {"schema": schema} for name, schema in HEADERS.items()},
        "securitySchemes": {
            SECURITY: {
                "type": "http",
                "scheme": "bearer",
                "description": "A key that may call models: `Authorization: Bearer sk-prl-…`.",
            }
        },
    }


def _schemas(models: Iterable[type[BaseModel]], mode: Any) -> dict[str, Schema]:
    ordered = sorted(models, key=lambda model: model.__name__)
    _, found = models_json_schema(
        [(model, mode) for model in ordered], ref_template=_REF, schema_generator=_Plain
    )
    return dict(found["$defs"])


def _null_is_absent(schema: Schema) -> Schema:
    required = schema.get("required", [])
    properties = {
        name: field if name in required else _or_null(field)
        for name, field in schema["properties"].items()
    }
    return {**schema, "properties": properties}


def _or_null(field: Schema) -> Schema:
    if {"type": "null"} in field.get("anyOf", ()):
        return field
    kept: Schema = {name: field[name] for name in ("default", "description") if name in field}
    rest = {name: value for name, value in field.items() if name not in kept}
    return {"anyOf": [rest, {"type": "null"}], **kept}


def _body_schema(operation: Operation) -> Schema:
    assert operation.body is not None
    if not operation.without:
        return _ref(operation.body)
    schema = _null_is_absent(_schemas([operation.body], "validation")[operation.body.__name__])
    kept = {n: field for n, field in schema["properties"].items() if n not in operation.without}
    required = [name for name in schema.get("required", []) if name not in operation.without]
    return {**schema, "properties": kept, "required": required}


def _ref(model: type[BaseModel]) -> Schema:
    return {"$ref": _REF.format(model=model.__name__)}
