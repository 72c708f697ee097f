"""Around the endpoints: CORS, security headers, proxies, keep-alive, what reaches the engine."""

import asyncio
import threading
from types import ModuleType

import httpx
import pytest
from django.conf import settings

from inference import service
from inference.api import chat as chat_endpoint
from inference.api import completions
from inference.engine.wire import engine_pb2 as wire
from portal.lib import sse
from tests.inference.api.events import stream
from tests.inference.conftest import Books, chat

PATH = "/v1/chat/completions"
ORIGIN = "https://app.example"


async def test_cors_is_off_by_default(api: httpx.AsyncClient) -> None:
    preflight = {"origin": ORIGIN, "access-control-request-method": "POST"}
    for response in (
        await api.get("/v1/models", headers={"origin": ORIGIN}),
        await api.options(PATH, headers=preflight),
    ):
        assert not [name for name in response.headers if name.startswith("access-control")]


async def test_cors_is_for_the_origins_that_are_set(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "API_CORS_ORIGINS", [ORIGIN])
    preflight = {
        "origin": ORIGIN, "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, x-stainless-os",
    }  # fmt: skip
    response = await api.options(PATH, headers=preflight)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert "x-stainless-os" in response.headers["access-control-allow-headers"]
    answer = await api.get("/v1/models", headers={"origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["vary"] == "Origin"
    answer = await api.post(PATH, json=chat(max_tokens=1, odd=1), headers={"origin": ORIGIN})
    exposed = set(answer.headers["access-control-expose-headers"].split(", "))
    ours = {name for name in answer.headers if name.startswith(("x-", "openai-"))}
    assert ours - {"x-content-type-options"} <= exposed
    assert {"x-request-cost", "x-ignored-fields", "x-ratelimit-reset-tokens"} <= ours
    other = await api.get("/v1/models", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (None, "No API key was sent."),
        ("sk-prl-x", "does not hold 'Bearer' and a key."),
        ("Token sk-prl-x", "does not hold 'Bearer' and a key."),
        ("Bearer", "does not hold 'Bearer' and a key."),
        ("Bearer sk-prl-x", "malformed"),
        ("Bearer sk-proj-x", "not a key of this site: they begin with 'sk-prl-'"),
    ],
)
async def test_a_key_that_is_not_where_it_should_be_is_told_so(
    api: httpx.AsyncClient, sent: str | None, told: str
) -> None:
    del api.headers["authorization"]
    answer = await api.get("/v1/models", headers={"authorization": sent} if sent else {})
    assert answer.status_code == 401
    assert told in answer.json()["error"]["message"]
    is_where_it_should_be = bool(sent) and str(sent).startswith("Bearer sk-")
    assert ("Authorization: Bearer KEY" in answer.text) != is_where_it_should_be


async def test_https_is_remembered_where_the_site_has_it(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "strict-transport-security" not in (await api.get("/v1/models")).headers
    monkeypatch.setattr(settings, "SECURE_HSTS_SECONDS", 60)
    response = await api.get("/v1/models")
    assert response.headers["strict-transport-security"] == "max-age=60"


async def test_streams_are_not_buffered_and_have_no_length(web: httpx.AsyncClient) -> None:
    async with web.stream("POST", PATH, json=chat(stream=True, max_tokens=2)) as response:
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["x-accel-buffering"] == "no"
        assert "content-length" not in response.headers
        assert "content-encoding" not in response.headers
        assert "x-request-cost" not in response.headers
        assert float(response.headers["x-credit-remaining"]) < 10
        text = "".join([part async for part in response.aiter_text()])
    assert not [line for line in text.split("\n") if line.startswith(("id:", "retry:", "event:"))]


async def test_a_quiet_stream_is_kept_alive(
    web: httpx.AsyncClient, running: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sse.KEEP_ALIVE_S == 15  # as the documentation says: what stands between may be told
    monkeypatch.setattr(sse, "KEEP_ALIVE_S", 0.1)
    link = running.pool.pick("slow")
    assert link is not None
    deliver, quiet = link._deliver, asyncio.Event()

    def hold_back(delta: wire.SequenceDelta) -> None:
        if quiet.is_set():
            deliver(delta)
        else:
            asyncio.get_running_loop().call_later(1.5, deliver, wire.SequenceDelta.FromString(
                delta.SerializeToString()))  # fmt: skip

    monkeypatch.setattr(link, "_deliver", hold_back)
    monkeypatch.setattr("inference.api.streams.FIRST_TOKEN_WAIT_S", 0.05)
    response = await web.post(PATH, json=chat(model="slow", stream=True, max_tokens=2))
    assert response.text.count(": keep-alive\n\n") >= 2
    assert response.text.endswith("data: [DONE]\n\n")


async def test_a_crash_in_the_middle_of_a_stream_is_an_event_no_false_end_and_free(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, books: Books
) -> None:
    def crash(*_: object) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(chat_endpoint.ChatChunks, "take", crash)
    events = await stream(api, PATH, chat(model="slow"))
    assert events.error is not None
    assert events.error["type"] == "server_error"
    assert "req_" in events.error["message"]
    assert not events.done
    [record] = await books.settled(1)
    assert (record.outcome, record.cost_nanos) == ("failed", 0)


@pytest.mark.parametrize(
    ("path", "module", "fields"),
    [
        (PATH, chat_endpoint, chat(logprobs=True)),
        ("/v1/completions", completions, {"model": "starter", "prompt": "a", "logprobs": 0}),
    ],
)
async def test_others_are_served_while_log_probabilities_are_written(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, path: str, module: ModuleType,
    fields: dict[str, object],
) -> None:  # fmt: skip
    whole, begun, gate = module.whole, threading.Event(), threading.Event()

    def slow(*arguments: object) -> object:
        begun.set()
        assert gate.wait(60)
        return whole(*arguments)

    monkeypatch.setattr(module, "whole", slow)
    asked = asyncio.create_task(api.post(path, json=fields | {"max_tokens": 2}))
    while not begun.is_set():
        await asyncio.sleep(0.01)
    assert (await api.get("/v1/models")).status_code == 200
    gate.set()
    answer = await asked
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["choices"][0]["logprobs"]


async def test_every_parameter_reaches_the_engine(
    api: httpx.AsyncClient, running: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = running.pool.pick("starter")
    assert link is not None
    submit, seen = link.submit, []

    def watch(message: wire.Submit, sink: object) -> int:
        seen.append(message)
        return submit(message, sink)  # type: ignore[arg-type]

    monkeypatch.setattr(link, "submit", watch)
    body = chat(
        max_tokens=9, min_tokens=2, temperature=0.5, top_p=0.9, top_k=7, min_p=0.125,
        repetition_penalty=1.25, presence_penalty=0.5, frequency_penalty=-0.5, seed=41, n=2,
        stop=["x", "y"], stop_token_ids=[5], ignore_eos=True, logprobs=True, top_logprobs=3,
        logit_bias={"7": -100, "8": 5.5},
    )  # fmt: skip
    assert (await api.post(PATH, json=body)).status_code == 200
    first, second = (message.sampling for message in seen)
    assert (first.max_tokens, first.min_tokens, first.top_k) == (9, 2, 7)
    assert (first.temperature, first.top_p, first.min_p) == (0.5, 0.9, 0.125)
    assert (first.repetition_penalty, first.presence_penalty) == (1.25, 0.5)
    assert first.frequency_penalty == -0.5
    assert (first.seed, second.seed) == (41, 42)  # two samples, each repeatable
    assert list(first.stop) == ["x", "y"]
    assert list(first.stop_token_ids) == [5]
    assert first.ignore_eos
    assert first.logprobs == 3
    assert not first.HasField("prompt_logprobs")
    assert dict(first.logit_bias) == {7: -100, 8: 5.5}
    plain = (await api.post(PATH, json=chat(max_tokens=1))).status_code
    assert plain == 200
    assert not seen[-1].sampling.HasField("seed")
    assert seen[-1].tenant.startswith("org_")
