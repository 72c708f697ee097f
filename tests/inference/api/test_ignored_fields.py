"""`x-ignored-fields`: what changes nothing is accepted, counted and named, wherever it stands."""

from typing import Any

import httpx
import pytest

from accounts.models import Organisation
from inference import metrics
from tests.inference.api.test_stored_responses import keep_bodies
from tests.inference.conftest import chat

CHAT = "/v1/chat/completions"
ANTHROPIC: dict[str, Any] = {"model": "starter", "messages": [{"role": "user", "content": "hi"}]}
BODIES = [
    (CHAT, chat(max_tokens=1)),
    (CHAT, chat(max_tokens=1, stream=True)),
    ("/v1/completions", {"model": "starter", "prompt": "hi", "max_tokens": 1}),
    ("/v1/completions", {"model": "starter", "prompt": "hi", "max_tokens": 1, "stream": True}),
    ("/v1/engines/starter/completions", {"prompt": "hi", "max_tokens": 1}),
    ("/tokenize", {"prompt": "hi"}),
    ("/v1/detokenize", {"tokens": [65]}),
    ("/v1/responses", {"model": "starter", "input": "hi", "max_output_tokens": 1}),
    ("/v1/responses/input_tokens", {"model": "starter", "input": "hi"}),
    ("/v1/messages", {**ANTHROPIC, "max_tokens": 1}),
    ("/v1/messages/count_tokens", ANTHROPIC),
]
# Of messages that are taken with all their parts.
IN_PARTS = {
    "role": "assistant",
    "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b", "contnt": 1}],
    "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}", "argumnts": 1}}
    ],
    "contnt": "c",
}
TOOL = {"type": "function", "function": {"name": "f", "strct": True}}
FLAT_CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}
INSIDE: list[tuple[str, dict[str, Any], str]] = [
    (CHAT, chat(stream=True, stream_options={"include_usge": True}), "stream_options.include_usge"),
    (
        CHAT,
        {"model": "starter", "messages": [chat()["messages"][0], IN_PARTS]},
        (
            "messages[1].contnt,messages[1].tool_calls[0].function.argumnts,"
            "messages[1].content[1].contnt"
        ),
    ),
    (CHAT, chat(tools=[TOOL], tool_choice="none", zz=1), "zz,tools[0].function.strct"),
    (
        CHAT,
        chat(response_format={"type": "text", "json_schma": {}}),
        "response_format.json_schma",
    ),
    (
        CHAT,
        chat(response_format={"type": "text", "json_schema": {"name": "x", "schema": {}}}),
        "response_format.json_schema",
    ),
    (
        "/tokenize",
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "contnt": "b"}]},
        "messages[1].contnt",
    ),
    (
        "/v1/responses",
        {
            "model": "starter",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "a", "txt": "b"}]},
                FLAT_CALL | {"argumnts": 1},
                {"type": "function_call_output", "call_id": "c", "output": "x", "id": "fco_1"},
            ],
            "text": {"verbsity": "low", "format": {"type": "text", "strict": True}},
        },
        "text.verbsity,text.format.strict,input[0].content[0].txt,input[1].argumnts",
    ),
    (
        "/v1/responses",
        {
            "model": "starter",
            "input": "hi",
            "text": {
                "format": {
                    "type": "json_schema", "name": "x", "description": "", "strict": False,
                    "schema": {}, "shema": {},
                }
            },
        },
        "text.format.shema",
    ),
    (
        "/v1/messages/count_tokens",
        {
            "model": "starter",
            "system": [{"type": "text", "text": "a", "cache_control": {}, "x": 1}],
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "a", "citations": None, "txt": "b"},
                        {
                            "type": "tool_result", "tool_use_id": "t",
                            "content": [{"type": "text", "text": "c", "txt": "d"}],
                        },
                    ],
                }
            ],
        },
        "messages[0].content[0].txt,messages[0].content[1].content[0].txt,system[0].x",
    ),
]  # fmt: skip


def counted() -> float:
    [family] = metrics.IGNORED_FIELDS.collect()
    return next(sample.value for sample in family.samples if sample.name.endswith("_total"))


@pytest.mark.parametrize(("path", "body"), BODIES)
async def test_unknown_fields_are_named_and_counted(
    api: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    before = counted()
    answer = await api.post(path, json={**body, "use_beam_search": False, "best_off": 2})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-ignored-fields"] == "best_off,use_beam_search"
    assert counted() == before + 2


@pytest.mark.parametrize(("path", "body"), BODIES)
async def test_without_any_there_is_no_header(
    api: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    before = counted()
    answer = await api.post(path, json={**body, "made_up": None})
    assert answer.status_code == 200, answer.text
    assert "x-ignored-fields" not in answer.headers
    assert counted() == before


@pytest.mark.parametrize(("path", "body", "header"), INSIDE)
async def test_unknown_fields_inside_are_named_by_their_paths(
    api: httpx.AsyncClient, path: str, body: dict[str, Any], header: str
) -> None:
    before = counted()
    answer = await api.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-ignored-fields"] == header
    assert counted() == before + len(header.split(","))


HINTS: list[tuple[dict[str, Any], str | None]] = [
    ({"store": True}, "store"),
    ({"store": False}, None),
    ({"store": None}, None),
    ({"service_tier": "priority"}, "service_tier"),
    ({"service_tier": "auto"}, None),
    ({"service_tier": "flex"}, None),
    ({"prompt_cache_retention": "banana"}, "prompt_cache_retention"),
    ({"prompt_cache_retention": "24h"}, "prompt_cache_retention"),
    ({"prompt_cache_retention": "in_memory"}, None),
    ({"prompt_cache_options": {"mode": "explicit"}}, "prompt_cache_options"),
    ({"prompt_cache_options": {}}, None),
    ({"prompt_cache_key": "k", "user": "u", "safety_identifier": "s"}, None),
]


@pytest.mark.parametrize(("fields", "header"), HINTS)
async def test_hints_that_change_nothing_are_named(
    api: httpx.AsyncClient, fields: dict[str, Any], header: str | None
) -> None:
    for path, body in ((CHAT, chat(max_tokens=1)), BODIES[7]):
        answer = await api.post(path, json={**body, **fields})
        assert answer.status_code == 200, answer.text
        assert answer.headers.get("x-ignored-fields") == header


async def test_obfuscation_that_is_not_there_is_named(api: httpx.AsyncClient) -> None:
    for wanted, header in ((True, "stream_options.include_obfuscation"), (False, None)):
        options = {"include_obfuscation": wanted}
        answer = await api.post(CHAT, json=chat(stream=True, stream_options=options, max_tokens=1))
        assert answer.headers.get("x-ignored-fields") == header


async def test_a_response_that_is_stored_names_no_wish_to_store_it(
    api: httpx.AsyncClient, organisation: Organisation
) -> None:
    await keep_bodies(organisation)
    answer = await api.post("/v1/responses", json={**BODIES[7][1], "store": True})
    assert answer.json()["store"] is True
    assert "x-ignored-fields" not in answer.headers


@pytest.mark.parametrize(
    ("names", "header"),
    [
        (["a\r\nset-cookie: x"], None),
        (["颜色"], None),
        (["", "b"], "b"),
        (["颜色", "b", "tab\t"], "b"),
        (["a,b"], "ab"),
        (["x" * 200], "x" * 64),
    ],
)
async def test_no_name_breaks_the_header(
    api: httpx.AsyncClient, names: list[str], header: str | None
) -> None:
    answer = await api.post(CHAT, json=chat(max_tokens=1, **dict.fromkeys(names, 1)))
    assert answer.status_code == 200
    assert answer.headers.get("x-ignored-fields") == header
    assert "set-cookie" not in answer.headers


async def test_many_names_stay_one_short_header(api: httpx.AsyncClient) -> None:
    fields = {f"{number:04}{'x' * 100}": 1 for number in range(2000)}
    answer = await api.post(CHAT, json=chat(max_tokens=1, **fields))
    named = answer.headers["x-ignored-fields"]
    assert answer.status_code == 200
    assert named.startswith("0000xxx")
    assert len(named) <= 50 * 65


async def test_many_names_inside_stay_one_short_header(api: httpx.AsyncClient) -> None:
    said = {"role": "user", "content": "a", **{f"{n}{'x' * 100}": 1 for n in range(20)}}
    answer = await api.post(CHAT, json={"model": "starter", "messages": [said] * 100})
    assert answer.status_code == 200
    named = answer.headers["x-ignored-fields"].split(",")
    assert len(named) == 50
    assert {len(name) for name in named} == {64}
    assert named[20].startswith("messages[1].0xxx")


async def test_a_refusal_names_its_own_field_alone(api: httpx.AsyncClient) -> None:
    answer = await api.post(CHAT, json=chat(temperature=9, made_up=1))
    assert answer.json()["error"]["param"] == "temperature"
