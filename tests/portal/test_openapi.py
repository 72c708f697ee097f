"""The OpenAPI document: valid, of every route and no other, and each of them wants a key."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.validation import validate_schema

from inference.api import app
from portal import openapi

DOCUMENT: dict[str, Any] = json.loads(openapi.document())
PLACEHOLDERS = {
    "member_id": "1", "invitation_id": "1", "key_id": "00000000-0000-0000-0000-000000000000",
    "top_up_id": "tup_1", "request_id": "req_1",
}  # fmt: skip
FREE = {("GET", "/api/schema/"), ("GET", "/api/reference/")}  # what explains, to everybody


def described() -> set[tuple[str, str]]:
    return {
        (method.upper(), path)
        for path, item in DOCUMENT["paths"].items()
        for method in item
    }  # fmt: skip


def inference_routes() -> set[tuple[str, str]]:
    found = set()
    for route in app._routes():
        path = route.path.replace(":path", "")
        if route.endpoint not in {app.not_yet, app.nothing_to_cancel}:
            found |= {(method, path) for method in (route.methods or set()) - {"HEAD"}}
    return found


def management_routes() -> set[tuple[str, str]]:
    found = set()
    for path, view in patterns(get_resolver(), "/"):
        if path.startswith("/api/"):
            view_class = getattr(view, "view_class", None)
            names = view_class.http_method_names if view_class else ["get"]
            methods = [name for name in names if not view_class or hasattr(view_class, name)]
            found |= {(m.upper(), path) for m in methods if m not in ("head", "options")}
    return found - FREE


def patterns(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, Any]]:
    for each in resolver.url_patterns:
        path = prefix + str(each.pattern)
        if isinstance(each, URLPattern):
            yield re.sub(r"<\w+:(\w+)>", r"{\1}", path), each.callback
        else:
            yield from patterns(each, path)


def test_it_is_valid_and_made_without_a_warning(tmp_path: Any) -> None:
    validate_schema(DOCUMENT)
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema"))
    assert DOCUMENT["openapi"].startswith("3.1")


def test_every_route_is_described_and_no_other() -> None:
    routes = inference_routes() | management_routes()
    assert len(routes) > 25
    assert described() == routes


def test_every_reference_in_it_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        found = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_operations_have_names_of_their_own_and_one_kind_of_key() -> None:
    names = []
    for method, path in described():
        operation = DOCUMENT["paths"][path][method.lower()]
        names.append(operation["operationId"])
        scheme = "managementKey" if path.startswith("/api/") else "inferenceKey"
        assert operation["security"] == [{scheme: []}], path
        assert {"401", "default"} <= operation["responses"].keys()
    assert len(names) == len(set(names))
    assert DOCUMENT["components"]["securitySchemes"].keys() == {"managementKey", "inferenceKey"}


def test_a_refusal_for_haste_says_when_and_what_is_left() -> None:
    answers = DOCUMENT["paths"]["/v1/chat/completions"]["post"]["responses"]
    assert {"retry-after", "retry-after-ms", "x-ratelimit-reset-tokens"} <= answers["429"][
        "headers"
    ].keys()
    assert "x-request-cost" in answers["200"]["headers"]


def test_what_takes_a_body_says_what_of_it_was_ignored() -> None:
    for method, path in inference_routes():
        operation = DOCUMENT["paths"][path][method.lower()]
        headers = operation["responses"]["200"]["headers"]
        assert ("x-ignored-fields" in headers) == ("requestBody" in operation), path


def test_what_can_be_streamed_says_so_and_nothing_else() -> None:
    streamed = {
        path
        for method, path in described()
        if "text/event-stream"
        in DOCUMENT["paths"][path][method.lower()]["responses"].get("200", {}).get("content", {})
    }
    assert streamed == {
        "/v1/chat/completions", "/v1/completions", "/v1/engines/{engine}/completions",
        "/v1/responses", "/v1/messages",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["EmbeddingsBody", "FillMaskBody"])
@pytest.mark.parametrize("value", [5, [], None, [5.5], {"text": "a"}])
def test_inputs_of_encoders_are_described(name: str, value: object) -> None:
    body = DOCUMENT["components"]["schemas"][name]
    check({"model": "m", "input": ["a", "b"]}, body)
    with pytest.raises(jsonschema.ValidationError):
        check({"model": "m", "input": value}, body)


def test_every_example_fits_its_own_schema() -> None:
    seen = 0
    for method, path in described():
        body = DOCUMENT["paths"][path][method.lower()].get("requestBody", {}).get("content", {})
        for content in body.values():
            for example in content.get("examples", {}).values():
                check(example["value"], content["schema"])
                seen += 1
    assert seen >= 12


def check(value: Any, schema: dict[str, Any]) -> None:
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(whole).validate(value)


@pytest.mark.parametrize(("method", "path"), sorted(management_routes()))
def test_management_wants_a_key(method: str, path: str, db: None) -> None:
    answer = Client().generic(method, path.format(**PLACEHOLDERS))
    assert answer.status_code == 401, path
    check(answer.json(), DOCUMENT["components"]["schemas"]["Error"])


async def test_inference_wants_a_key(db: None) -> None:
    every = {(m, r.path) for r in app._routes() for m in r.methods or ()}
    transport = httpx.ASGITransport(app.build_app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for method, path in every:
            answer = await client.request(method, path.replace("{", "").replace(":path}", ""))
            assert answer.status_code == 401, (method, path)
            if method != "HEAD":
                name = "AnthropicError" if path.startswith("/v1/messages") else "Error"
                check(answer.json(), DOCUMENT["components"]["schemas"][name])


def test_it_is_served_to_everybody() -> None:
    answer = Client().get("/api/schema/")
    assert answer["Content-Type"] == "application/json"
    assert answer.json() == DOCUMENT
    assert Client().post("/api/schema/").status_code == 405
