"""`response_format` and `structured_outputs`: the text is what was asked for, or it is a 400."""

import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import httpx
import pytest
from jsonschema import Draft202012Validator
from openai import AsyncOpenAI
from pydantic import BaseModel, Field

from inference import service
from inference.engine.wire import engine_pb2 as wire
from inference.engine.wire import methods
from tests.inference.api.events import stream
from tests.inference.api.openai_schema import OpenAISchema
from tests.inference.conftest import Books, chat

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def json_schema(schema: Any, **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **more}}


async def test_the_answer_fits_a_schema_and_every_token_is_billed(
    api: httpx.AsyncClient, books: Books, schema: OpenAISchema
) -> None:
    body = chat(response_format=json_schema(PERSON, strict=True), n=2, logprobs=True)
    response = await api.post(CHAT, json=body)
    assert response.status_code == 200, response.text
    answer = response.json()
    schema.check("CreateChatCompletionResponse", answer)
    for choice in answer["choices"]:
        Draft202012Validator(PERSON).validate(json.loads(choice["message"]["content"]))
        assert choice["finish_reason"] == "stop"
    tokens = sum(len(choice["logprobs"]["content"]) + 1 for choice in answer["choices"])
    assert (await books.record()).output_tokens == tokens == answer["usage"]["completion_tokens"]
    await books.audit()


async def test_it_streams(api: httpx.AsyncClient, schema: OpenAISchema) -> None:
    events = await stream(api, CHAT, chat(response_format=json_schema(PERSON)))
    for chunk in events.chunks:
        schema.check("CreateChatCompletionStreamResponse", chunk)
    Draft202012Validator(PERSON).validate(json.loads(events.text))
    assert events.finish_reasons == ["stop"]


@pytest.mark.parametrize(
    ("asked", "texts"),
    [
        ({"response_format": {"type": "json_object"}}, {'{"":""}'}),
        ({"response_format": {"type": "text"}}, None),
        ({"structured_outputs": {"json_object": True}}, {'{"":""}'}),
        ({"structured_outputs": {"json": {"const": [1, None]}}}, {"[1,null]"}),
        ({"structured_outputs": {"json": '{"const": 5}'}}, {"5"}),
        ({"structured_outputs": {"json": {"enum": [2**53]}}}, {"9007199254740992"}),
        ({"structured_outputs": {"json": {"const": 5, "default": 2**60}}}, {"5"}),
        ({"structured_outputs": {"json": {"const": True, "title": "const"}}}, {"true"}),
        ({"structured_outputs": {"regex": "[xyz]{3}-[0-9]"}}, {"xxx-0"}),
        ({"structured_outputs": {"choice": ["maybe", "perhaps"]}}, {"maybe", "perhaps"}),
        (
            {"structured_outputs": {"choice": ["You"], "regex": None, "json": None}},
            {"You"},
        ),
    ],
)
async def test_both_endpoints_know_every_kind(
    api: httpx.AsyncClient, asked: dict[str, Any], texts: set[str] | None
) -> None:
    chatted = await api.post(CHAT, json=chat(max_tokens=20, **asked))
    assert chatted.status_code == 200, chatted.text
    completed = await api.post(
        COMPLETIONS, json={"model": "starter", "prompt": "a", "max_tokens": 20, **asked}
    )
    assert completed.status_code == 200, completed.text
    for text in (
        chatted.json()["choices"][0]["message"]["content"],
        completed.json()["choices"][0]["text"],
    ):
        assert text in texts if texts else text.startswith("You wrote"), text


async def test_a_text_that_was_cut_is_said_to_be_cut(api: httpx.AsyncClient) -> None:
    body = chat(max_tokens=3, response_format=json_schema(PERSON))
    [choice] = (await api.post(CHAT, json=body)).json()["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"].startswith("{")


async def test_without_strict_what_cannot_be_enforced_is_let_pass(api: httpx.AsyncClient) -> None:
    loose = {**PERSON, "not": {"required": ["x"]}, "oneOf": [{}, {"type": "object"}]}
    for strict in ({}, {"strict": False}, {"strict": None}):
        body = chat(response_format=json_schema(loose, **strict))
        assert (await api.post(CHAT, json=body)).status_code == 200


NOT_ENFORCEABLE = {"type": "object", "properties": {"a b": {"items": [{"not": {}}]}}}
SCHEMA = "response_format.json_schema.schema"
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"response_format": "json"}, "response_format"),
    ({"response_format": {}}, "response_format.type"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}, SCHEMA),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        "response_format.json_schema.name",
    ),
    ({"response_format": json_schema({}, name="a b")}, "response_format.json_schema.name"),
    ({"response_format": json_schema([])}, SCHEMA),
    ({"response_format": json_schema({}, strict="yes")}, "response_format.json_schema.strict"),
    ({"response_format": json_schema({"type": "strin"})}, SCHEMA),
    ({"response_format": json_schema({"$ref": "https://example.com/s"})}, SCHEMA),
    ({"response_format": json_schema({"$ref": "#"})}, SCHEMA),
    ({"response_format": json_schema({"type": "integer", "multipleOf": 999_983})}, SCHEMA),
    (
        {"response_format": json_schema({"enum": ["x" * 1000 + str(n) for n in range(200)]})},
        SCHEMA,
    ),
    (
        {"response_format": json_schema(NOT_ENFORCEABLE, strict=True)},
        f"{SCHEMA}.properties.a b.items[0].not",
    ),
    (
        {"response_format": json_schema({"properties": {"a": {"not": {}}}}, strict=True)},
        f"{SCHEMA}.properties.a.not",
    ),
    (
        {"response_format": json_schema({"properties": {"not": {"not": {}}}}, strict=True)},
        f"{SCHEMA}.properties.not.not",
    ),
    (
        {"response_format": json_schema({"enum": [{"not": 1}], "items": {"not": {}}}, strict=True)},
        f"{SCHEMA}.items.not",
    ),
    # Beyond 2 ** 53 the grammar library would take another number, and crashes at one of them.
    ({"response_format": json_schema({"const": 2**53 + 1})}, f"{SCHEMA}.const"),
    ({"response_format": json_schema({"const": -(2**63)}, strict=True)}, f"{SCHEMA}.const"),
    (
        {"response_format": json_schema({"properties": {"const": {"enum": [1, 2**63]}}})},
        f"{SCHEMA}.properties.const.enum[1]",
    ),
    (
        {"structured_outputs": {"json": {"const": {"a": [10**20]}}}},
        "structured_outputs.json.const.a[0]",
    ),
    (
        {
            "structured_outputs": {
                "json": '{"anyOf": [{"const": 1e2}, {"const": 9007199254740993}]}'
            }
        },
        "structured_outputs.json.anyOf[1].const",
    ),
    ({"structured_outputs": {}}, "structured_outputs"),
    ({"structured_outputs": {"json_object": False}}, "structured_outputs"),
    ({"structured_outputs": {"regex": "a", "choice": ["b"]}}, "structured_outputs"),
    ({"structured_outputs": {"grammar": "root ::= x"}}, "structured_outputs.grammar"),
    ({"structured_outputs": {"json": 5}}, "structured_outputs.json"),
    ({"structured_outputs": {"json": "{"}}, "structured_outputs.json"),
    ({"structured_outputs": {"json": {"not": {}}}}, "structured_outputs.json.not"),
    ({"structured_outputs": {"regex": "(a"}}, "structured_outputs.regex"),
    ({"structured_outputs": {"regex": "a" * 200_000}}, "structured_outputs.regex"),
    ({"structured_outputs": {"choice": []}}, "structured_outputs.choice"),
    ({"structured_outputs": {"choice": ["a", 5]}}, "structured_outputs.choice[1]"),
    (
        {
            "structured_outputs": {"regex": "a"},
            "response_format": {"type": "json_object"},
        },
        "structured_outputs",
    ),
    ({"guided_json": {}}, "guided_json"),
    ({"guided_regex": "a"}, "guided_regex"),
    ({"guided_choice": ["a"]}, "guided_choice"),
]


@pytest.fixture
async def unheld(running: service.Service, books: Books) -> AsyncIterator[None]:
    """Nothing is held, generated or billed."""
    yield
    assert await books.records() == []
    assert await books.open_holds() == 0


@pytest.mark.usefixtures("unheld")
async def test_what_cannot_be_followed_is_a_400_that_names_the_place(
    api: httpx.AsyncClient, schema: OpenAISchema
) -> None:
    for asked, param in REFUSED:
        for path, body in (
            (CHAT, chat(**asked)),
            (CHAT, chat(stream=True, **asked)),
            (COMPLETIONS, {"model": "starter", "prompt": "a", **asked}),
        ):
            response = await api.post(path, json=body)
            assert response.status_code == 400, (asked, response.text)
            schema.check("ErrorResponse", response.json())
            error = response.json()["error"]
            assert error["param"] == param, error
            assert error["message"].endswith("."), error
            assert error["message"].count("'") >= 2, "names no field"


async def test_a_grammar_the_engine_lost_meanwhile_is_compiled_again(
    running: service.Service, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `Submit` carries its grammar: nothing depends on what was checked before."""
    link = running.pool.pick("starter")
    assert link is not None

    async def nothing(_request: object) -> None:
        return None

    monkeypatch.setattr(link, "check_grammar", nothing)
    body = chat(structured_outputs={"choice": ["never seen before"]})
    answer = (await api.post(CHAT, json=body)).json()
    assert answer["choices"][0]["message"]["content"] == "never seen before"
    failed = await api.post(CHAT, json=chat(structured_outputs={"regex": "(never"}))
    assert (failed.status_code, failed.json()["error"]["code"]) == (500, "engine_error")


async def test_a_grammar_that_finds_no_room_is_to_come_again(
    running: service.Service, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = running.pool.pick("starter")
    assert link is not None

    call = link._call

    async def full(method: Any, *rest: Any) -> Any:
        checks = method is methods.CHECK_GRAMMAR
        return wire.CheckGrammarReply(full=True) if checks else await call(method, *rest)

    monkeypatch.setattr(link, "_call", full)
    refused = await api.post(CHAT, json=chat(structured_outputs={"regex": "yes|no"}))
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert refused.headers["retry-after"] == "2"


class Step(BaseModel):
    explanation: str
    output: str


class Solution(BaseModel):
    kind: Literal["sum", "product"]
    steps: list[Step] = Field(min_length=1, max_length=2)
    final: int | None


async def test_the_official_library_parses_into_a_model(base_url: str, secret: str) -> None:
    async with AsyncOpenAI(
        base_url=f"{base_url}/v1", api_key=secret, _strict_response_validation=True, timeout=30
    ) as client:
        question: Any = [{"role": "user", "content": "2 + 3"}]
        answer = await client.chat.completions.parse(
            model="starter", messages=question, response_format=Solution
        )
        parsed = answer.choices[0].message.parsed
        assert isinstance(parsed, Solution)
        assert len(parsed.steps) in {1, 2}
        async with client.chat.completions.stream(
            model="starter", messages=question, response_format=Solution
        ) as events:
            final = await events.get_final_completion()
        assert isinstance(final.choices[0].message.parsed, Solution)
