"""Lighthouse in CI: accessibility, best practices and search. Speed is `benchmarks/pages.py`'s."""

import pytest

from tests.conformance.lighthouse import INSIDE, PUBLIC, look_at
from tests.shown_site import EMAIL, make_history
from tests.story.site import Site

pytestmark = pytest.mark.browser

CATEGORIES = ["accessibility", "best-practices", "seo"]
LEAST = 95


def test_public_pages_score_well(unhurried_site: Site) -> None:
    pages = look_at(unhurried_site, PUBLIC, CATEGORIES)
    assert [page for page in pages if min(page.scores.values()) < LEAST] == []


def test_pages_of_members_score_well(unhurried_site: Site) -> None:
    make_history(unhurried_site)
    pages = look_at(unhurried_site, INSIDE, CATEGORIES, EMAIL)
    assert [page for page in pages if min(page.scores.values()) < LEAST] == []
