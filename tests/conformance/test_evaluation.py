"""The evaluation harness finds over `/v1/completions` what it finds on the weights themselves.

It scores choices by the log-probabilities of prompts (`echo`, `logprobs`, prompts as token ids),
texts by their perplexity, and continues texts greedily.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import environments
from tests.environment import REPOSITORY
from tests.inference.api.openai_schema import DESCRIPTION, OpenAISchema
from tests.portal.pages.recorder import Recorder, recorder
from tests.story.site import Site


@pytest.fixture(scope="module")
def ear(exact_site: Site) -> Iterator[Recorder]:
    """What stands between the harness and the site."""
    with recorder(exact_site.url) as made:
        yield made


@pytest.fixture(scope="module")
def results(exact_site: Site, ear: Recorder) -> dict[str, Any]:
    return environments.run(
        "lm_eval",
        ADDRESS=ear.url,
        KEY=exact_site.issue_key("alice@example.com", "10"),
        STARTER=str(REPOSITORY / "inference" / "starter"),
    )


@pytest.fixture(params=["served", "served, tokenizer and all"])
def served(request: pytest.FixtureRequest, results: dict[str, Any]) -> Any:
    """With the model's tokenizer at hand, and with `/tokenize` instead."""
    return results[request.param]


@pytest.fixture
def computed(results: dict[str, Any]) -> Any:
    return results["in this process"]


def test_choices_are_scored_alike(served: Any, computed: Any) -> None:
    assert served["choices"]["metrics"] == computed["choices"]["metrics"]
    assert 0 < served["choices"]["metrics"]["acc,none"] < 1
    answers = zip(served["choices"]["answers"], computed["choices"]["answers"], strict=True)
    for choices, expected in answers:
        for (logprob, greedy), (expected_logprob, expected_greedy) in zip(
            choices, expected, strict=True
        ):
            assert logprob == pytest.approx(expected_logprob, abs=1e-4)
            assert greedy == expected_greedy


def test_perplexities_are_alike(served: Any, computed: Any) -> None:
    for name, value in computed["texts"]["metrics"].items():
        assert served["texts"]["metrics"][name] == pytest.approx(value, rel=1e-4)
    for [logprob], [expected] in zip(
        served["texts"]["answers"], computed["texts"]["answers"], strict=True
    ):
        assert logprob == pytest.approx(expected, abs=1e-3)


def test_texts_are_continued_alike(served: Any, computed: Any) -> None:
    assert served["beginnings"]["answers"] == computed["beginnings"]["answers"]
    assert any(len(text.split()) > 10 for [text] in served["beginnings"]["answers"])


def test_the_books_are_clean_afterwards(results: dict[str, Any], exact_site: Site) -> None:
    assert exact_site.query("SELECT COUNT(*) FROM billing_usagerecord") > len(results)
    assert exact_site.open_holds() == 0
    exact_site.audit()


def test_every_answer_fits_openais_description(
    results: dict[str, Any], ear: Recorder, reference_data: Callable[[str], Path]
) -> None:
    assert results
    assert ear.witness.check(OpenAISchema(reference_data(DESCRIPTION))) > 20
