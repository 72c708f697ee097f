"""Every sample of the documentation, taken from the running site and run as it stands."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portal.pages.docs import PAGES
from tests.conformance import environments
from tests.inference.api.openai_schema import DESCRIPTION, OpenAISchema
from tests.portal.pages.docs_site import STRIPE_DATA, DocsSite, docs_site
from tests.portal.pages.documented import addresses, addresses_of
from tests.portal.pages.recorder import Call

pytestmark = pytest.mark.slow
# A line below each answer, and an exit status for a refusal.
CURL = "curl() { command curl -sS --fail-with-body -w '\\n' \"$@\"; }\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocsSite]:
    with docs_site(tmp_path_factory.mktemp("docs")) as running:
        yield running


@pytest.fixture(scope="module")
def calls() -> dict[str, list[Call]]:
    """What the samples of each language called, one test after the other."""
    return {"bash": [], "python": [], "javascript": []}


def may_run(slug: str, reference_data: Callable[[str], Path]) -> None:
    """Skips the page that needs a Stripe when there are no data for its double."""
    if slug == "management-api":
        reference_data(STRIPE_DATA)


@pytest.mark.parametrize("slug", list(PAGES))
def test_shell_samples_answer(
    site: DocsSite,
    calls: dict[str, list[Call]],
    reference_data: Callable[[str], Path],
    slug: str,
) -> None:
    may_run(slug, reference_data)
    for sample in site.samples(slug, "bash"):
        if sample.startswith("export"):
            continue
        answer, made = site.run(["bash", "-e"], CURL + sample)
        calls["bash"] += made
        if '"stream": true' in sample:
            assert answer.rstrip().endswith("data: [DONE]")
        else:
            answers = [json.loads(line) for line in answer.splitlines() if line]
            assert answers
        assert_answered(slug, made)


@pytest.mark.parametrize("slug", list(PAGES))
def test_python_samples_print_an_answer(
    site: DocsSite,
    calls: dict[str, list[Call]],
    reference_data: Callable[[str], Path],
    slug: str,
) -> None:
    may_run(slug, reference_data)
    for sample in site.samples(slug, "python"):
        printed, made = site.run_python(sample)
        assert printed.strip()
        assert_answered(slug, made)
        calls["python"] += made


@pytest.mark.parametrize("slug", list(PAGES))
def test_javascript_samples_print_an_answer(
    site: DocsSite,
    calls: dict[str, list[Call]],
    tmp_path: Path,
    reference_data: Callable[[str], Path],
    slug: str,
) -> None:
    may_run(slug, reference_data)
    node, program = environments.command("openai_node")
    # Modules are looked for in the folders above the program.
    (tmp_path / "node_modules").symlink_to(Path(program).parent / "node_modules")
    file = tmp_path / "sample.mjs"
    for sample in site.samples(slug, "javascript"):
        file.write_text(sample)
        printed, made = site.run([node, str(file)], sample)
        assert printed.strip(), sample
        assert_answered(slug, made)
        calls["javascript"] += made


def test_samples_for_the_library_of_2023_print_an_answer(site: DocsSite) -> None:
    python, _program = environments.command("openai_0_28")
    [sample] = site.samples("moving-from-openai", "python 0.28")
    printed, made = site.run([python, "-"], sample)
    assert printed.strip()
    assert [call.path for call in made] == [
        "/v1/engines/starter/completions",
        "/v1/chat/completions",
    ]


def test_the_sample_for_langchain_prints_an_answer(site: DocsSite) -> None:
    python, _program = environments.command("langchain")
    [sample] = site.samples("embeddings", "python langchain")
    printed, made = site.run([python, "-"], sample)
    assert int(printed) > 0
    assert [(call.path, call.status) for call in made] == [("/v1/embeddings", 200)]


def assert_answered(slug: str, made: list[Call]) -> None:
    """The page about errors shows how one is told; all others show what works."""
    refused = [call for call in made if call.status >= 400]
    assert bool(refused) == (slug == "errors"), refused


@pytest.mark.parametrize("language", ["bash", "python", "javascript"])
def test_every_endpoint_is_called_by_a_sample(
    calls: dict[str, list[Call]], reference_data: Callable[[str], Path], language: str
) -> None:
    """After the tests above: what they saw, against the published table of addresses."""
    may_run("management-api", reference_data)
    assert addresses() - addresses_of(calls[language]) == set()


def test_every_answer_fits_openais_description(
    site: DocsSite, reference_data: Callable[[str], Path]
) -> None:
    """After the tests above, too."""
    assert site.recorder.witness.check(OpenAISchema(reference_data(DESCRIPTION))) > 40


def test_the_request_made_by_a_sample_is_listed_with_its_cost(site: DocsSite) -> None:
    """The quickstart's promise: a moment later the call is on record."""
    site.run(["bash", "-e"], CURL + site.samples("quickstart", "bash")[1])
    count = site.site.manage(
        "shell", "-v0", "-c",
        "from billing.models import UsageRecord as U;"
        "print(U.objects.filter(cost_nanos__gt=0, face='api').count())",
    )  # fmt: skip
    assert int(count.strip().splitlines()[-1]) > 0
