"""The product's story on PostgreSQL with Redis, two web processes, an engine, a worker and beat."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.story.site import production_site
from tests.story.test_story import become_a_developer

pytestmark = [pytest.mark.browser, pytest.mark.services, pytest.mark.slow]


def test_from_stranger_to_developer(browser: Browser, tmp_path: Path) -> None:
    with production_site(tmp_path, fresh=True) as site:
        become_a_developer(browser, site)
