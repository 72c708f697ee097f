"""A live site for outside clients: `manage.py serve` with the starter model, and a funded key."""

from collections.abc import Iterator

import pytest

from tests.conformance.machine import Machine
from tests.minilm import folder
from tests.portal.pages.docs_site import until_it_answers
from tests.story.site import Site, embedded_site

ENCODER = "all-minilm-l6-v2"

# A limit that a client meets at its 13th request, and that lets one more through after 5 s: longer
# than its requests take on a slow machine.
REQUESTS_PER_MINUTE = 12


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """With a real encoder, added as an operator would."""
    with embedded_site(tmp_path_factory.mktemp("site")) as site:
        site.manage("addmodel", ENCODER, str(folder()), "--input", "0.02")
        key = site.issue_key("operator@example.com", "1")
        until_it_answers(f"{site.url}/v1/embeddings", key, {"model": ENCODER, "input": "a"})
        yield site


@pytest.fixture(scope="session")
def limited_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with the fake engine on which a limit is soon met."""
    tiers = f"only:0:{REQUESTS_PER_MINUTE}:0"
    folder = tmp_path_factory.mktemp("limited")
    with embedded_site(folder, ENGINE_FAKE="true", RATE_LIMIT_TIERS=tiers) as site:
        yield site


@pytest.fixture(scope="session")
def unhurried_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with the fake engine and no limit of the rate."""
    folder = tmp_path_factory.mktemp("unhurried")
    unlimited = {"RATE_LIMIT_TIERS": "only:0:0:0", "MANAGEMENT_REQUESTS_PER_MINUTE": "0"}
    with embedded_site(folder, ENGINE_FAKE="true", **unlimited) as site:
        yield site


@pytest.fixture(scope="session")
def exact_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose engine computes in float32."""
    folder = tmp_path_factory.mktemp("exact")
    with embedded_site(folder, ENGINE_ARGS="--dtype float32") as site:
        yield site


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """For a site whose disk or clocks a file's tests turn."""
    return Machine(tmp_path_factory.mktemp("machine") / "processes")
