"""Outside clients, unmodified and each in its own environment, against a live site.

Every client's program does the same things in its library's own words and tells what it saw as
JSON (`clients/NAME/program.py`); what it told is compared with what the site's ledger recorded.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.conformance import environments
from tests.conformance.conftest import ENCODER, REQUESTS_PER_MINUTE
from tests.conformance.environments import Report
from tests.inference.api.openai_schema import DESCRIPTION, OpenAISchema
from tests.portal.pages.recorder import Recorder, recorder
from tests.story.site import Site


@dataclass(frozen=True)
class Client:
    """What is peculiar to a library."""

    name: str  # the folder of its program
    # What it raises for a bad key, an unknown model, a bad value, too long a prompt, no credit and
    # too many requests.
    exceptions: tuple[str, str, str, str, str, str]
    # What these keep of the refusal.
    keeps: frozenset[str] = frozenset({"code", "param", "request_id"})
    # What it knows nothing of.
    lacks: frozenset[str] = frozenset()
    # What it calls the limit of an answer, on the wire.
    limit: str = "max_tokens"


# What the programs tell of.
SUBJECTS = {
    "models", "answers", "calls", "form", "logprobs", "embeddings", "errors", "waited_s", "left",
}  # fmt: skip
# The first two mean the same, the third something else.
TEXTS = (
    "A man is eating food.",
    "Someone is having a meal.",
    "The stock market fell sharply on Monday.",
)
CLIENTS = (
    Client(
        "openai",
        ("AuthenticationError", "NotFoundError", "BadRequestError", "BadRequestError",
         "APIStatusError", "RateLimitError"),
    ),
    Client(
        "openai_0_28",
        ("AuthenticationError", "InvalidRequestError", "InvalidRequestError",
         "InvalidRequestError", "APIError", "RateLimitError"),
        lacks=frozenset({"waited_s"}),
    ),
    Client(
        "openai_node",
        ("AuthenticationError", "NotFoundError", "BadRequestError", "BadRequestError",
         "APIError", "RateLimitError"),
    ),
    Client(
        "vercel",
        ("AI_APICallError",) * 6,
        lacks=frozenset({"models"}),
    ),
    Client(
        "langchain",
        ("OpenAIAuthenticationError", "OpenAIModelNotFoundError", "OpenAIInvalidRequestError",
         "OpenAIContextOverflowError", "APIStatusError", "OpenAIRateLimitError"),
        lacks=frozenset({"models", "usage of streamed completion"}),
        limit="max_completion_tokens",
    ),
    Client(
        "llama_index",
        ("AuthenticationError", "NotFoundError", "BadRequestError", "BadRequestError",
         "APIStatusError", "RateLimitError"),
        lacks=frozenset({"models"}),
    ),
    Client(
        "litellm",
        ("AuthenticationError", "NotFoundError", "BadRequestError", "ContextWindowExceededError",
         "APIError", "RateLimitError"),
        keeps=frozenset(),
    ),
    Client(
        "anthropic",
        ("AuthenticationError", "NotFoundError", "BadRequestError", "BadRequestError",
         "PaymentRequiredError", "RateLimitError"),
        keeps=frozenset({"code", "request_id"}),
        lacks=frozenset({"logprobs", "embeddings"}),
    ),
)  # fmt: skip


@pytest.fixture(scope="module", params=CLIENTS, ids=[client.name for client in CLIENTS])
def client(request: pytest.FixtureRequest) -> Client:
    made: Client = request.param
    return made


@pytest.fixture(scope="module")
def ears(client: Client, site: Site, limited_site: Site) -> Iterator[tuple[Recorder, Recorder]]:
    """What stands between the client and each of the sites."""
    with recorder(site.url) as first, recorder(limited_site.url) as second:
        yield first, second


@pytest.fixture(scope="module")
def report(
    client: Client, site: Site, limited_site: Site, ears: tuple[Recorder, Recorder]
) -> Report:
    """What the client's program told."""
    owner = f"{client.name}@example.com"
    told = environments.run(
        client.name,
        ADDRESS=ears[0].url,
        KEY=site.issue_key(owner, "10"),
        POOR_KEY=site.issue_key(f"poor.{owner}", "0.000001"),
        LIMITED_ADDRESS=ears[1].url,
        LIMITED_KEY=limited_site.issue_key(owner, "10"),
        TEXTS="|".join(TEXTS),
    )
    assert told.keys() >= SUBJECTS - client.lacks
    return told


def of(report: Report, subject: str) -> Any:
    """What was told of a subject; skips where the library knows no such thing."""
    if subject not in report:
        pytest.skip(f"the library has nothing for {subject}")
    return report[subject]


def test_it_lists_the_models(report: Report) -> None:
    assert of(report, "models") == ["starter", ENCODER]


def test_streamed_answers_say_what_whole_ones_say(report: Report) -> None:
    answers = report["answers"]
    kinds = [kind.removeprefix("streamed ") for kind in answers if kind.startswith("streamed ")]
    assert kinds
    for kind in kinds:
        whole, streamed = answers[kind], answers[f"streamed {kind}"]
        assert len(whole["text"].split()) > 5
        assert streamed["text"] == whole["text"]
        assert streamed["finish_reason"] == whole["finish_reason"]
        assert whole["finish_reason"] in {"length", "max_output_tokens", "max_tokens"}
        assert streamed["id"] != whole["id"]


def test_usage_is_what_the_ledger_recorded(client: Client, report: Report, site: Site) -> None:
    for kind, answer in report["answers"].items():
        recorded = wait_for_record(site, answer["id"])
        if f"usage of {kind}" not in client.lacks:
            assert answer["usage"] == [recorded["prompt"], recorded["output"]], kind
        assert recorded["outcome"] == "finished"
        assert recorded["stream"] == kind.startswith("streamed")


def wait_for_record(site: Site, answer_id: str) -> dict[str, Any]:
    """The usage record of an answer; it is written a moment after the answer's last byte."""
    request_id = re.sub(r"^(chatcmpl-|cmpl-|resp_|msg_)", "req_", answer_id)
    condition = f"FROM billing_usagerecord WHERE request_id = '{request_id}'"
    deadline = time.monotonic() + 10
    while not site.query(f"SELECT COUNT(*) {condition}"):
        assert time.monotonic() < deadline, f"no record of {request_id}"
        time.sleep(0.05)
    fields = {
        "prompt": "uncached_tokens + cached_tokens",
        "output": "output_tokens",
        "outcome": "outcome",
        "stream": "stream",
    }
    pairs = ", ".join(f"'{name}', {column}" for name, column in fields.items())
    found: dict[str, Any] = json.loads(site.query_text(f"SELECT json_object({pairs}) {condition}"))
    return found


def test_a_call_has_the_arguments_that_its_tool_takes(report: Report) -> None:
    for call in of(report, "calls").values():
        assert call["name"] == "get_weather"
        assert list(call["arguments"]) == ["city"]
        assert isinstance(call["arguments"]["city"], str)
        assert call["finish_reason"] in {"tool_calls", "tool_use"}
        assert call.get("then", "assistant") == "assistant"


def test_a_text_with_a_form_has_that_form(report: Report) -> None:
    form = of(report, "form")
    assert set(form) == {"ready", "colour"}
    assert isinstance(form["ready"], bool)
    assert form["colour"] in {"red", "green"}


def test_log_probabilities_are_of_the_texts_tokens(report: Report) -> None:
    for told in of(report, "logprobs").values():
        assert "".join(told["tokens"]) == told["text"]
        assert len(told["logprobs"]) == 40
        assert all(value <= 0 for value in told["logprobs"])
        assert told["logprobs"] == told["best"]  # the likeliest was taken


@pytest.fixture(scope="module")
def embedded(site: Site) -> dict[str, Any]:
    """What the site answers to a program without a library."""
    with httpx.Client(base_url=site.url, timeout=60) as program:
        key = site.issue_key("plain@example.com", "1")
        program.headers["authorization"] = f"Bearer {key}"
        answer = program.post("/v1/embeddings", json={"model": ENCODER, "input": TEXTS})
        counts = [
            program.post("/tokenize", json={"model": ENCODER, "prompt": text}).json()["count"]
            for text in TEXTS
        ]
    vectors = [each["embedding"] for each in answer.raise_for_status().json()["data"]]
    return {"vectors": np.array(vectors), "tokens": sum(counts)}


def test_embeddings_are_the_models(report: Report, embedded: dict[str, Any]) -> None:
    told = of(report, "embeddings")
    vectors = np.array(told["vectors"])  # (texts, dimensions)
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(vectors, embedded["vectors"], atol=1e-3)
    alike, apart, _ = (vectors @ vectors.T)[np.triu_indices(3, 1)]
    assert alike > 0.4 > 0.15 > apart
    assert told.get("tokens", embedded["tokens"]) == embedded["tokens"]
    if "short" in told:
        cut = vectors[:, :8]
        expected = cut / np.linalg.norm(cut, axis=1, keepdims=True)
        np.testing.assert_allclose(told["short"], expected, atol=1e-3)


REFUSALS = {
    "401": (401, "invalid_api_key", None),
    "404": (404, "model_not_found", "model"),
    "400": (400, "invalid_value", "temperature"),
    "too long": (400, "context_length_exceeded", "messages"),
    "402": (402, "insufficient_quota", "limit"),
    "429": (429, "rate_limit_exceeded", None),
}


def test_refusals_are_the_librarys_own_exceptions(client: Client, report: Report) -> None:
    for name, (kind, (status, code, param)) in zip(
        client.exceptions, REFUSALS.items(), strict=True
    ):
        error = report["errors"][kind]
        assert (error["class"], error["status"]) == (name, status)
        named = client.limit if param == "limit" else param  # as it was sent
        for kept, value in (("code", code), ("param", named)):
            if kept in client.keeps:
                assert error[kept] == value
        if "request_id" in client.keeps:
            assert error["request_id"].startswith("req_")


def test_it_waits_as_long_as_retry_after_says(report: Report) -> None:
    between_s = 60 / REQUESTS_PER_MINUTE
    assert between_s / 2 < of(report, "waited_s") < between_s + 2


def test_leaving_in_the_middle_of_a_stream_ends_the_generation(report: Report, site: Site) -> None:
    recorded = wait_for_record(site, report["left"])
    assert recorded["outcome"] == "aborted"
    assert 0 < recorded["output"] < 1500


def test_every_answer_fits_openais_description(
    client: Client,
    report: Report,
    ears: tuple[Recorder, Recorder],
    reference_data: Callable[[str], Path],
) -> None:
    """Also what the library would not have noticed: whole answers, events of streams, errors."""
    schema = OpenAISchema(reference_data(DESCRIPTION))
    checked = sum(each.witness.check(schema) for each in ears)
    asked = sum(heard.is_openais for each in ears for heard in each.witness.heard)
    assert checked == asked
    assert (checked > 20) == (client.name != "anthropic")


def test_the_books_are_clean_afterwards(report: Report, site: Site) -> None:
    assert site.open_holds() == 0
    site.audit()
