"""Validates answers against OpenAI's published description of its API."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

DESCRIPTION = "openai/openapi.json"  # among the reference data
# Where OpenAI's own servers, and every client, differ from the description: what has not ended has
# no finish reason, the first token of a prompt has no probability, usage is null until it is known.
# And an embedding that was asked for in base64 is text. `*` is any place in a list.
KNOWN_NULLS = {
    "CreateCompletionResponse": {
        ("choices", "*", "finish_reason"),
        ("choices", "*", "logprobs", "token_logprobs", 0),
        ("choices", "*", "logprobs", "top_logprobs", 0),
        ("usage",),
    }
}


class OpenAISchema:
    """Loads only the components that are asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.components = _components(path)

    def check(self, name: str, value: object) -> None:
        """AssertionError with everything that does not fit."""
        problems = [
            f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
            for error in _validator(self.path, name).iter_errors(value)
            if not _is_known(name, error)
        ]
        assert problems == [], f"{name}: {problems} in {value}"

    def check_event(self, event: dict[str, Any]) -> None:
        """An event of `/v1/responses`, by its type: the union of all would only say no."""
        for option in self.components["ResponseStreamEvent"]["anyOf"]:
            name = option["$ref"].rpartition("/")[2]
            if self.components[name]["properties"]["type"]["enum"] == [event["type"]]:
                return self.check(name, event)
        raise AssertionError(f"there is no event of type {event['type']}")


@cache
def _validator(path: Path, name: str) -> Draft202012Validator:
    """Of one component, with those that it needs."""
    components = _components(path)
    needed = {part: _modern(components[part]) for part in _closure(components, name)}
    schema = {
        "$ref": f"#/components/schemas/{name}",
        "components": {"schemas": needed},
    }
    return Draft202012Validator(schema)


def _closure(components: dict[str, Any], name: str) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        part = waiting.pop()
        if part not in found:
            found.add(part)
            waiting += list(_references(components[part]))
    return found


@cache
def _components(path: Path) -> dict[str, Any]:
    components: dict[str, Any] = json.loads(path.read_text())["components"]["schemas"]
    return components


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        target = node.get("$ref")
        if isinstance(target, str):
            yield target.rpartition("/")[2]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _modern(node: Any) -> Any:
    """`nullable: true`, which JSON Schema does not know, as a union with null."""
    if isinstance(node, list):
        return [_modern(value) for value in node]
    if not isinstance(node, dict):
        return node
    made = {key: _modern(value) for key, value in node.items() if key != "nullable"}
    return {"anyOf": [made, {"type": "null"}]} if node.get("nullable") is True else made


def _is_known(name: str, error: ValidationError) -> bool:
    """Whether it is one of the differences, or a union of which one option has no others."""
    if error.context:
        options: dict[Any, list[ValidationError]] = {}
        for inner in error.context:
            options.setdefault(inner.relative_schema_path[0], []).append(inner)
        return any(all(_is_known(name, inner) for inner in each) for each in options.values())
    path = list(error.absolute_path)
    if name == "CreateEmbeddingResponse" and path[-1:] == ["embedding"]:
        return isinstance(error.instance, str)
    return error.instance is None and any(
        len(path) == len(known)
        and all(k in ("*", part) for k, part in zip(known, path, strict=True))
        for known in KNOWN_NULLS.get(name, ())
    )
