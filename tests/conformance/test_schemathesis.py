"""Schemathesis, made from our own OpenAPI document, finds nothing: no 5xx, no other answer than
promised, nothing invalid taken, and no route that answers without its key.

The document that it reads names what this site has, as a customer would: models of each kind,
stored responses, requests. Else nearly everything would end at a 404, and the engines see nothing.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx

from tests.conformance import environments
from tests.portal.pages.docs_site import keep_bodies, offer_encoders
from tests.story.site import Site

EMAIL = "schema@example.com"
# Which models the bodies are about.
MODELS = {
    "ChatBody": ["starter"],
    "CompletionBody": ["starter"],
    "ResponsesBody": ["starter"],
    "MessagesBody": ["starter"],
    "PromptBody": ["starter"],
    "EmbeddingsBody": ["vectors"],
    "FillMaskBody": ["masks"],
    "TokenizeBody": ["starter", "vectors", "masks"],
    "DetokenizeBody": ["starter", "vectors", "masks"],
}
QUERIES = {"order": ["asc", "desc"], "limit": ["1", "100"]}
STORED = 20  # responses; trying deletes some
TEXT = {"type": "string", "minLength": 1, "maxLength": 40}
TEXTS = {"type": "array", "minItems": 1, "maxItems": 3, "items": TEXT}
FEW = {"type": "integer", "minimum": 1, "maximum": 32}
IDS = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}}
MESSAGE = {
    "type": "object",
    "properties": {"role": {"enum": ["user"]}, "content": TEXT},
    "required": ["role", "content"],
    "additionalProperties": False,
}
MASKED = {"type": "string", "pattern": r"^[a-z ]{1,20}\[MASK\][a-z ]{1,20}$"}
# Fields whose type allows what has no sense, with what does; all of them are then there.
SENSIBLE = {
    "messages": {"type": "array", "minItems": 1, "maxItems": 3, "items": MESSAGE},
    "prompt": TEXT,
    "input": {"anyOf": [TEXT, TEXTS]},
    "tokens": IDS,
    "max_tokens": FEW,
    "max_output_tokens": FEW,
    "dimensions": {"type": "integer", "minimum": 1, "maximum": 16},
}
# And those that contradict others, or have a language of their own.
LEFT_OUT = {
    "max_completion_tokens", "min_tokens", "n", "best_of", "stream_options", "tools", "tool_choice",
    "response_format", "structured_outputs", "text", "output_config", "include", "targets",
    "previous_response_id", "instructions", "system", "logit_bias", "stop_token_ids", "logprobs",
    "top_logprobs", "reasoning", "truncation", "parallel_tool_calls",
}  # fmt: skip
# Of the calls of an operation, how many are answered at least: of what makes sense, and of the
# rest, most of which is made to be refused.
ANSWERED = {"sensible": 0.3, "inference": 0.15}


def test_the_site_keeps_to_its_own_document(unhurried_site: Site, tmp_path: Path) -> None:
    site = unhurried_site
    management = [
        site.manage("issuekey", "--email", EMAIL, "--name", name, "--scope", "management").strip()
        for name in ("manages", "spare")
    ]
    key = site.issue_key(EMAIL, "1000")
    keep_bodies(site.url, management[0])
    offer_encoders(site, key)
    document = httpx.get(f"{site.url}/api/schema/").json()
    file, sensible = tmp_path / "document.json", tmp_path / "sensible.json"
    sensible.write_text(json.dumps(made_sensible(document)))
    name_what_is_there(document, *made_requests(site, key))
    file.write_text(json.dumps(document))
    report = environments.run(
        "schemathesis", 400, SITE=site.url, DOCUMENT=str(file), SENSIBLE=str(sensible),
        INFERENCE_KEY=key, MANAGEMENT_KEY=management[0], SPARE_KEY=management[1],
    )  # fmt: skip
    for part in report.values():
        assert part["complete"], part["said"]
        assert not part["failures"], json.dumps(part["failures"], indent=1)[:6000] + part["said"]
        assert not part["errors"], json.dumps(part["errors"], indent=1)[:6000]
    tested = report["inference"]["tested"] + report["management"]["tested"]
    described = sum(len(item) for item in document["paths"].values())
    assert tested + 2 == described  # of the third part, two are its own
    assert sum(part["cases"] for part in report.values()) > 2_000
    assert_answered(report)
    for each in management:  # what was tried was tried with rights, to the end
        headers = {"Authorization": f"Bearer {each}"}
        assert httpx.get(f"{site.url}/api/balance/", headers=headers).status_code == 200
    site.audit()


def made_requests(site: Site, key: str) -> tuple[list[str], list[str]]:
    """Ids of stored responses, and of requests."""
    responses, requests = [], []
    with httpx.Client(base_url=site.url, headers={"authorization": f"Bearer {key}"}) as program:
        for number in range(STORED):
            sent = {"model": "starter", "input": f"Say {number}.", "max_output_tokens": 8}
            answer = program.post("/v1/responses", json=sent).raise_for_status()
            responses.append(answer.json()["id"])
            requests.append(answer.headers["x-request-id"])
    return responses, requests


def made_sensible(document: dict[str, Any]) -> dict[str, Any]:
    """A copy for calls that generate: their models alone, and values that go together."""
    made: dict[str, Any] = json.loads(json.dumps(document))
    schemas = made["components"]["schemas"]
    for body, models in MODELS.items():
        schemas[body]["properties"]["model"] = {"enum": models}
    bodies = [schemas[body] for body in MODELS]
    for path, item in made["paths"].items():
        for method, operation in item.items():
            parameters = operation.get("parameters", [])
            parameters[:] = [each for each in parameters if each["in"] == "path"]
            for parameter in parameters:
                if values := ids_for(path, method, parameter["name"], [], []):
                    parameter["schema"] = {"enum": values}
            if path.startswith("/v1/engines/"):
                bodies.append(operation["requestBody"]["content"]["application/json"]["schema"])
    for body in bodies:
        make_sensible(body)
    schemas["FillMaskBody"]["properties"]["input"] = MASKED
    return made


def make_sensible(body: dict[str, Any]) -> None:
    kept = {name: each for name, each in body["properties"].items() if name not in LEFT_OUT}
    if "prompt" in kept:  # or messages
        kept.pop("messages", None)
    sensible = {name: schema for name, schema in SENSIBLE.items() if name in kept}
    body["properties"] = kept | sensible
    body["required"] = sorted({*body.get("required", ()), *sensible} - {"dimensions"})


def name_what_is_there(document: dict[str, Any], responses: list[str], requests: list[str]) -> None:
    """Every second value is one of these, the others are free as before."""
    for body, models in MODELS.items():
        prefer(document["components"]["schemas"][body]["properties"], "model", models)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for parameter in operation.get("parameters", ()):
                if values := ids_for(path, method, parameter["name"], responses, requests):
                    prefer(parameter, "schema", values)


def prefer(place: dict[str, Any], name: str, values: Iterable[str]) -> None:
    place[name] = {"anyOf": [{"enum": list(values)}, place[name]]}


def ids_for(
    path: str, method: str, parameter: str, responses: list[str], requests: list[str]
) -> list[str]:
    if parameter == "engine":
        return ["vectors"] if path.endswith("/embeddings") else ["starter"]
    if parameter == "model" and path == "/v1/models/{model}":
        return ["starter", "vectors", "masks", "gpt-4o-mini"]
    if path.startswith("/v1/responses/") and parameter in QUERIES:
        return QUERIES[parameter]
    if path.startswith("/v1/responses/") and parameter == "id":
        half = STORED // 2  # what is deleted is read by nobody else
        return responses[:half] if method == "delete" else responses[half:]
    if path.startswith("/v1/requests/"):
        return requests
    return []


def assert_answered(report: environments.Report) -> None:
    """A good part of the calls of each operation reached what they were about."""
    reads = shares_of_answered(report["inference"]["statuses"])
    sends = shares_of_answered(report["sensible"]["statuses"])
    print(json.dumps(reads | sends, indent=1))
    assert len(reads) == report["inference"]["tested"]
    assert len(sends) == report["sensible"]["tested"] > 12
    for name, share in (reads | sends).items():
        assert share >= ANSWERED["sensible" if name in sends else "inference"], name


def shares_of_answered(statuses: dict[str, dict[str, int]]) -> dict[str, float]:
    return {
        name: round(each.get("200", 0) / sum(each.values()), 2)
        for name, each in sorted(statuses.items())
    }
