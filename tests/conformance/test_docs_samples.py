"""The documentation's samples that need another library than ours: they run as they stand."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portal.pages.docs import PAGES
from tests.conformance import environments
from tests.portal.pages.docs_site import STRIPE_DATA, DocsSite, docs_site
from tests.portal.pages.documented import addresses, addresses_of
from tests.portal.pages.recorder import Call


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocsSite]:
    with docs_site(tmp_path_factory.mktemp("docs")) as running:
        yield running


def test_every_javascript_sample_prints_an_answer_and_no_endpoint_is_left_out(
    site: DocsSite, tmp_path: Path, reference_data: Callable[[str], Path]
) -> None:
    reference_data(STRIPE_DATA)
    node, program = environments.command("openai_node")
    # Modules are looked for in the folders above the program.
    (tmp_path / "node_modules").symlink_to(Path(program).parent / "node_modules")
    calls: list[Call] = []
    for slug in PAGES:
        for number, sample in enumerate(site.samples(slug, "javascript")):
            file = tmp_path / f"{slug}-{number}.mjs"
            file.write_text(sample)
            printed, made = site.run([node, str(file)], sample)
            assert printed.strip(), sample
            assert any(call.status >= 400 for call in made) == (slug == "errors"), sample
            calls += made
    assert addresses() - addresses_of(calls) == set()


def test_samples_for_the_library_of_2023_print_an_answer(site: DocsSite) -> None:
    python, _program = environments.command("openai_0_28")
    [sample] = site.samples("moving-from-openai", "python 0.28")
    printed, made = site.run([python, "-"], sample)
    assert printed.strip()
    assert [call.path for call in made] == [
        "/v1/engines/starter/completions",
        "/v1/chat/completions",
    ]
