"""Outside clients, unmodified and each in its own environment, against a live site.

Every client's program does the same things in its library's own words and tells what it saw as
JSON (`clients/NAME/program.py`); what it told is compared with what the site's ledger recorded.
"""

import json
import os
import subprocess
import time
from typing import Any

import pytest

from tests.conformance import environments
from tests.conformance.conftest import REQUESTS_PER_MINUTE
from tests.environment import CI
from tests.story.site import Site

Report = dict[str, Any]
CLIENTS = ["openai"]


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in CLIENTS],
)
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def report(client: str, site: Site, limited_site: Site) -> Report:
    """What the client's program told."""
    owner = f"{client}@example.com"
    return run(
        client,
        ADDRESS=site.url,
        KEY=site.issue_key(owner, "10"),
        POOR_KEY=site.issue_key(f"poor.{owner}", "0.000001"),
        LIMITED_ADDRESS=limited_site.url,
        LIMITED_KEY=limited_site.issue_key(owner, "10"),
    )


def run(client: str, **variables: str) -> Report:
    """Run a client's program with nothing of this environment but the path."""
    try:
        command = environments.command(client)
    except environments.CannotInstallError as error:
        pytest.fail(str(error)) if CI else pytest.skip(str(error))
    env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **variables}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    told: Report = json.loads(done.stdout.splitlines()[-1])
    return told


def of(report: Report, subject: str) -> Any:
    """What was told of a subject; skips where the library knows no such thing."""
    if subject not in report:
        pytest.skip(f"the library has nothing for {subject}")
    return report[subject]


def test_it_lists_the_models(report: Report) -> None:
    assert of(report, "models") == ["starter"]
    assert of(report, "model") == "starter"


def test_streamed_answers_say_what_whole_ones_say(report: Report) -> None:
    answers = report["answers"]
    for kind in ("chat", "completion"):
        whole, streamed = answers[kind], answers[f"streamed {kind}"]
        assert len(whole["text"].split()) > 5
        assert streamed["text"] == whole["text"]
        assert streamed["finish_reason"] == whole["finish_reason"] == "length"
        assert streamed["usage"] == whole["usage"]
        assert streamed["id"] != whole["id"]


def test_usage_is_what_the_ledger_recorded(report: Report, site: Site) -> None:
    for kind, answer in report["answers"].items():
        recorded = wait_for_record(site, answer["id"])
        assert answer["usage"] == [recorded["prompt"], recorded["output"]], kind
        assert recorded["outcome"] == "finished"
        assert recorded["stream"] == kind.startswith("streamed")


def wait_for_record(site: Site, answer_id: str) -> dict[str, Any]:
    """The usage record of an answer; it is written a moment after the answer's last byte."""
    request_id = "req_" + answer_id.partition("-")[2]
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
        assert call["finish_reason"] in {"stop", "tool_calls"}
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


def test_refusals_are_the_librarys_own_exceptions(report: Report) -> None:
    expected = {
        "401": ("AuthenticationError", "invalid_api_key", None),
        "404": ("NotFoundError", "model_not_found", "model"),
        "400": ("BadRequestError", "invalid_value", "temperature"),
        "402": ("APIStatusError", "insufficient_quota", "max_tokens"),
        "429": ("RateLimitError", "rate_limit_exceeded", None),
    }
    for status, (name, code, param) in expected.items():
        error = report["errors"][status]
        assert error["class"] == name
        assert error["status"] == int(status)
        assert (error["code"], error["param"]) == (code, param)
        assert error["request_id"].startswith("req_")


def test_it_waits_as_long_as_retry_after_says(report: Report) -> None:
    between_s = 60 / REQUESTS_PER_MINUTE
    assert between_s / 2 < of(report, "waited_s") < between_s + 2


def test_leaving_in_the_middle_of_a_stream_ends_the_generation(report: Report, site: Site) -> None:
    recorded = wait_for_record(site, report["left"])
    assert recorded["outcome"] == "aborted"
    assert 0 < recorded["output"] < 1500


def test_the_books_are_clean_afterwards(report: Report, site: Site) -> None:
    assert site.open_holds() == 0
    site.audit()
