"""Whatever is wrong with a request: a 4xx naming the field, quick, free, the engine untouched."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from inference import service
from portal.lib import bodies
from tests.inference.api.openai_schema import OpenAISchema
from tests.inference.conftest import Books, chat

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"

RAW: list[tuple[bytes, str | None]] = [
    (b'{"model": "starter", "model": "x"}', "model"),
    (b'{"model": "starter", "temperature": NaN}', "temperature"),
    (b'{"model": "starter", "temperature": -Infinity}', "temperature"),
    (b'{"model": "starter", "temperature": 1e400}', "temperature"),
    (b'{"model": "star\\u0000ter"}', "model"),
    (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "messages[0].content"),
    ('{"max_tokens": ５}'.encode(), "max_tokens"),
    (b'{"x": ' + b"[" * 70 + b"]" * 70 + b"}", None),
    (json.dumps({str(n): n for n in range(10_001)}).encode(), None),
    (b'{"model": "\xff"}', None),
    (b"[]", None),
    (b"", None),
    (b"not json", None),
]

PARAMETERS: list[tuple[str, Any, str]] = [
    ("model", 5, "model"),
    ("model", "", "model"),
    ("temperature", "5", "temperature"),
    ("temperature", True, "temperature"),
    ("temperature", 2.1, "temperature"),
    ("temperature", -0.1, "temperature"),
    ("top_p", 1.5, "top_p"),
    ("top_k", 1.0, "top_k"),
    ("top_k", -2, "top_k"),
    ("min_p", 2, "min_p"),
    ("repetition_penalty", 0, "repetition_penalty"),
    ("repetition_penalty", 1e-38, "repetition_penalty"),  # logits would leave float32's range
    ("presence_penalty", 3, "presence_penalty"),
    ("frequency_penalty", -3, "frequency_penalty"),
    ("max_tokens", 0, "max_tokens"),
    ("max_tokens", -1, "max_tokens"),
    ("max_tokens", 1.0, "max_tokens"),
    ("max_tokens", "5", "max_tokens"),
    ("max_tokens", 10**30, "max_tokens"),
    ("max_completion_tokens", True, "max_completion_tokens"),
    ("n", 0, "n"),
    ("n", 129, "n"),
    ("n", "２", "n"),
    ("seed", 2**63, "seed"),
    ("seed", 1.5, "seed"),
    ("stop", 5, "stop"),
    ("stop", ["a", 5], "stop"),
    ("stop", "", "stop"),
    ("stop", "x" * 257, "stop"),
    ("stop", ["a"] * 5, "stop"),
    ("stop", ["a"] * 10_000, "stop"),
    ("stop_token_ids", [-1], "stop_token_ids[0]"),
    ("stop_token_ids", [10**6], "stop_token_ids"),
    ("logit_bias", {"1": 101}, "logit_bias"),
    ("logit_bias", {"x": 1}, "logit_bias"),
    ("logit_bias", {"１": 1}, "logit_bias"),
    ("logit_bias", {"1": 60, "01": 60}, "logit_bias"),
    ("logit_bias", {"999999": 1}, "logit_bias"),
    ("logit_bias", {str(n): 1 for n in range(1025)}, "logit_bias"),
    ("logit_bias", [1], "logit_bias"),
    ("logprobs", 1, "logprobs"),
    ("top_logprobs", 2, "top_logprobs"),
    ("top_logprobs", 21, "top_logprobs"),
    ("min_tokens", -1, "min_tokens"),
    ("min_tokens", 30, "min_tokens"),
    ("ignore_eos", 1, "ignore_eos"),
    ("stream", "true", "stream"),
    ("stream_options", {"include_usage": True}, "stream_options"),
    ("metadata", {str(n): "x" for n in range(17)}, "metadata"),
    ("metadata", {"k": 1}, "metadata.k"),
    ("user", 5, "user"),
    ("messages", [], "messages"),
    ("messages", "hi", "messages"),
    ("messages", [{"role": "king", "content": "x"}], "messages[0].role"),
    ("messages", [{"role": "user"}], "messages[0].content"),
    ("messages", [{"role": "user", "content": 5}], "messages[0].content"),
    ("messages", [{"role": "user", "content": []}], "messages[0].content"),
    (
        "messages",
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
        "messages[0].content[0].type",
    ),
    (
        "messages",
        [{"role": "user", "content": [{"type": "text", "text": 5}]}],
        "messages[0].content[0].text",
    ),
    ("tools", [{"type": "function", "function": {}}], "tools[0].function.name"),
    ("tool_choice", "required", "tool_choice"),
    ("functions", [{"name": "f"}], "functions"),
    ("messages", [5], "messages[0]"),
    ("messages", [{"role": "function", "content": "x"}], "messages[0].name"),
    ("logit_bias", 5, "logit_bias"),
    ("response_format", "json", "response_format"),
    ("response_format", {"type": "json"}, "response_format.type"),
    (
        "response_format",
        {"type": "json_schema", "json_schema": {}},
        "response_format.json_schema.name",
    ),
    ("modalities", ["audio"], "modalities"),
    ("audio", {"voice": "x", "format": "wav"}, "audio"),
    ("prediction", {"type": "content", "content": "x"}, "prediction"),
    ("web_search_options", {}, "web_search_options"),
    ("reasoning_effort", "high", "reasoning_effort"),
]

PYTHONS_WORDS = {"dictionary", "instance", "validation"}

COMPLETION_PARAMETERS: list[tuple[str, Any, str]] = [
    ("prompt", 5, "prompt"),
    ("prompt", [], "prompt"),
    ("prompt", [1, "a"], "prompt[1]"),
    ("prompt", ["a", 1], "prompt[1]"),
    ("prompt", [[1], []], "prompt[1]"),
    ("prompt", [True], "prompt[0]"),
    ("prompt", [-1], "prompt[0]"),
    ("prompt", [1.0], "prompt[0]"),
    ("prompt", [10**6], "prompt"),
    ("prompt", [[1], [10**6]], "prompt[1]"),
    ("prompt", ["a", "b" * 3000], "prompt[1]"),
    ("prompt", ["a"] * 129, "prompt"),
    ("prompt", {"a": 1}, "prompt"),
    ("suffix", "x", "suffix"),
    ("logprobs", 6, "logprobs"),
    ("logprobs", True, "logprobs"),
    ("best_of", 21, "best_of"),
    ("best_of", 0, "best_of"),
    ("echo", 1, "echo"),
    ("stop", ["a"] * 17, "stop"),
    ("n", 129, "n"),
]


@pytest.fixture
async def untouched(running: service.Service, books: Books) -> AsyncIterator[None]:
    """Whatever happens: no request reaches the engine or the books."""

    def refuse(*_: object) -> None:
        raise AssertionError("the engine was asked to generate")

    links = [running.pool.pick(name) for name in ("starter", "slow")]
    for link in links:
        assert link is not None
        link.submit = refuse  # type: ignore[method-assign,assignment]
    yield
    assert await books.records() == []
    assert await books.open_holds() == 0


def assert_refused(response: httpx.Response, status: int, param: str | None) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"].startswith("req_")
    error: dict[str, Any] = response.json()["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    assert error["message"]
    assert error["param"] == param, error
    return error


@pytest.mark.usefixtures("untouched")
async def test_json_that_is_not_what_it_should_be(
    api: httpx.AsyncClient, schema: OpenAISchema
) -> None:
    for raw, param in RAW:
        response = await api.post(CHAT, content=raw, headers={"content-type": "application/json"})
        assert_refused(response, 400, param)
        schema.check("ErrorResponse", response.json())


@pytest.mark.usefixtures("untouched")
async def test_parameters_that_are_out_of_range_or_of_the_wrong_type(
    api: httpx.AsyncClient,
) -> None:
    for name, value, param in PARAMETERS:
        sent = chat(max_tokens=20) | {name: value}
        error = assert_refused(await api.post(CHAT, json=sent), 400, param)
        assert not PYTHONS_WORDS & set(error["message"].split()), error


@pytest.mark.usefixtures("untouched")
async def test_parameters_of_completions(api: httpx.AsyncClient) -> None:
    for name, value, param in COMPLETION_PARAMETERS:
        sent = {"model": "starter", "prompt": "a", name: value}
        assert_refused(await api.post(COMPLETIONS, json=sent), 400, param)
    many = {"model": "starter", "prompt": ["a"] * 13, "n": 10}
    assert_refused(await api.post(COMPLETIONS, json=many), 400, "n")
    streamed = {"model": "starter", "prompt": "a", "best_of": 2, "stream": True}
    assert_refused(await api.post(COMPLETIONS, json=streamed), 400, "best_of")
    fewer = {"model": "starter", "prompt": "a", "best_of": 2, "n": 3}
    assert_refused(await api.post(COMPLETIONS, json=fewer), 400, "best_of")


@pytest.mark.usefixtures("untouched")
async def test_what_is_missing_is_named(api: httpx.AsyncClient) -> None:
    assert_refused(await api.post(CHAT, json={"messages": []}), 400, "model")
    assert_refused(await api.post(CHAT, json={"model": "starter"}), 400, "messages")
    assert_refused(
        await api.post(CHAT, json={"model": "starter", "messages": None}), 400, "messages"
    )
    assert_refused(await api.post("/tokenize", json={}), 400, "prompt")
    assert_refused(await api.post("/detokenize", json={}), 400, "tokens")
    assert_refused(await api.post("/detokenize", json={"tokens": [10**6]}), 400, "tokens")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("path", "field", "part"),
    [
        ("/v1/chat/completions", "messages", {"type": "image_url", "image_url": {"url": "x"}}),
        ("/v1/messages", "messages", {"type": "image", "source": {}}),
        ("/v1/responses", "input", {"type": "input_image", "image_url": "x"}),
    ],
)
async def test_a_picture_has_the_code_that_the_page_about_errors_names(
    api: httpx.AsyncClient, path: str, field: str, part: dict[str, Any]
) -> None:
    limit = "max_output_tokens" if field == "input" else "max_tokens"
    body = {"model": "starter", limit: 1, field: [{"role": "user", "content": [part]}]}
    answer = await api.post(path, json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    error = error.get("details", {}) | error  # Anthropic's form has our words below `details`
    assert error.get("error_code", error.get("code")) == "unsupported_value"
    assert error["param"] == f"{field}[0].content[0].type"


@pytest.mark.usefixtures("untouched")
async def test_a_context_that_is_too_long_is_never_cut(api: httpx.AsyncClient) -> None:
    error = assert_refused(await api.post(CHAT, json=chat("z" * 3000)), 400, "messages")
    assert error["code"] == "context_length_exceeded"
    error = assert_refused(await api.post(CHAT, json=chat(max_tokens=2048)), 400, "max_tokens")
    assert error["code"] == "context_length_exceeded"
    limit = "max_completion_tokens"
    error = assert_refused(await api.post(CHAT, json=chat(**{limit: 2048})), 400, limit)
    assert f"{limit} of 2048" in error["message"]
    exact = {"model": "starter", "prompt": "a" * 2048, "max_tokens": 1}
    assert_refused(await api.post(COMPLETIONS, json=exact), 400, "prompt")


@pytest.mark.usefixtures("untouched")
async def test_a_long_context_is_refused_in_the_words_that_libraries_look_for(
    api: httpx.AsyncClient,
) -> None:
    """LiteLLM and LangChain tell it from other mistakes by these words, others read the number."""
    known = "This model's maximum context length is 2048 tokens"
    lower = assert_refused(await api.post(CHAT, json=chat(max_tokens=2048)), 400, "max_tokens")
    assert known in lower["message"]
    assert "max_tokens of 2048" in lower["message"]
    shorter = assert_refused(await api.post(CHAT, json=chat("z" * 3000)), 400, "messages")
    assert known in shorter["message"]
    assert "Input tokens exceed the configured limit" in shorter["message"]


@pytest.mark.usefixtures("untouched")
async def test_the_content_must_be_json(api: httpx.AsyncClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        response = await api.post(CHAT, content=b"{}", headers={"content-type": kind})
        assert_refused(response, 400, "content-type")
    zipped = {"content-type": "application/json", "content-encoding": "gzip"}
    response = await api.post(CHAT, content=b"\x1f\x8b", headers=zipped)
    assert_refused(response, 415, "content-encoding")


@pytest.mark.usefixtures("untouched")
async def test_a_body_is_limited_whatever_it_says_of_itself(web: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(80):
            yield b" " * 65_536

    headers = {"content-type": "application/json"}
    response = await web.post(CHAT, content=chunks(), headers=headers)
    assert_refused(response, 413, None)
    response = await web.post(CHAT, content=b" " * (5 * 1024 * 1024), headers=headers)
    assert_refused(response, 413, None)


@pytest.mark.usefixtures("untouched")
async def test_a_body_that_does_not_arrive_is_not_waited_for(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "TIMEOUT_S", 0.05)

    async def stalls() -> AsyncIterator[bytes]:
        yield b'{"model": '
        await asyncio.sleep(60)

    headers = {"content-type": "application/json"}
    refused = await api.post(CHAT, content=stalls(), headers=headers)
    assert refused.status_code == 408
    assert refused.json()["error"]["code"] == "request_timeout"


@pytest.mark.usefixtures("untouched")
async def test_unknown_addresses_and_methods_get_the_envelope(
    api: httpx.AsyncClient, schema: OpenAISchema
) -> None:
    for method, path, status in (
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1", 404),
        ("POST", "/v1/models", 405),
        ("GET", CHAT, 405),
        ("DELETE", COMPLETIONS, 405),
        ("GET", "/tokenize", 405),
    ):
        response = await api.request(method, path)
        assert_refused(response, status, None)
        schema.check("ErrorResponse", response.json())
    for path in ("files", "files/f_1", "batches",
                 "fine_tuning/jobs"):  # fmt: skip
        for method in ("GET", "POST"):
            error = assert_refused(await api.request(method, f"/v1/{path}"), 404, None)
            assert "not available yet" in error["message"]


@pytest.mark.usefixtures("untouched")
async def test_every_route_wants_a_key(api: httpx.AsyncClient, secret: str) -> None:
    """From the table of routes, so that a new one is not forgotten."""
    from inference.api.app import _routes

    wrong = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    for route in _routes():
        path = route.path.replace("{model:path}", "m").replace("{engine:path}", "e")
        path = path.replace("{rest:path}", "r")
        for method in (route.methods or {"GET", "POST"}) - {"HEAD"}:
            for sent in (
                "",
                "Bearer",
                "Bearer ",
                "Basic abc",
                "Bearer sk-nonsense",
                f"Bearer {wrong}",
            ):
                response = await api.request(method, path, headers={"authorization": sent})
                if path.startswith("/v1/messages"):  # Anthropic's envelope
                    assert response.status_code == 401
                    error = response.json()["error"]
                    assert error["type"] == "authentication_error"
                    assert error["details"] == {"error_code": "invalid_api_key"}
                    continue
                error = assert_refused(response, 401, None)
                assert error["code"] == "invalid_api_key"


@pytest.mark.usefixtures("untouched")
async def test_an_unknown_host_is_refused(api: httpx.AsyncClient) -> None:
    for host in ("evil.example", "", "localhost:x", "[::1", "evil.example@localhost"):
        response = await api.get("/v1/models", headers={"host": host})
        assert_refused(response, 400, "host")


async def test_a_crash_of_ours_is_a_500_with_the_request_id(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, books: Books
) -> None:
    from inference import prompts

    async def crash(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(prompts, "prepare_all", crash)
    response = await api.post(CHAT, json=chat())
    error = assert_refused(response, 500, None)
    assert response.headers["x-request-id"] in error["message"]
    assert "ZeroDivision" not in response.text
    assert await books.records() == []


async def test_special_tokens_in_text_are_plain_text(api: httpx.AsyncClient) -> None:
    tokens = (await api.post("/tokenize", json={"prompt": "<|endoftext|>"})).json()["tokens"]
    assert 256 not in tokens
    back = await api.post("/detokenize", json={"tokens": tokens})
    assert back.json() == {"prompt": "<|endoftext|>"}
