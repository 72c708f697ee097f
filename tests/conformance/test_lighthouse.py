"""Lighthouse in CI: accessibility, best practices and search. Speed is `benchmarks/pages.py`'s."""

from collections.abc import Iterator

import pytest

from tests.conformance.lighthouse import INSIDE, PUBLIC, look_at
from tests.shown_site import EMAIL, make_history
from tests.story.site import Site, embedded_site

pytestmark = pytest.mark.browser

CATEGORIES = ["accessibility", "best-practices", "seo"]
LEAST = 95


@pytest.fixture(scope="module")
def shown_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """With a history that went past the ledger: no site of others, whose books are looked at."""
    with embedded_site(tmp_path_factory.mktemp("shown"), ENGINE_FAKE="true") as site:
        make_history(site)
        yield site


def test_public_pages_score_well(shown_site: Site) -> None:
    pages = look_at(shown_site, PUBLIC, CATEGORIES)
    assert [page for page in pages if min(page.scores.values()) < LEAST] == []


def test_pages_of_members_score_well(shown_site: Site) -> None:
    pages = look_at(shown_site, INSIDE, CATEGORIES, EMAIL)
    assert [page for page in pages if min(page.scores.values()) < LEAST] == []
