"""Every page with axe, in both themes: on a desktop, and on a phone in Chinese."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.every_page import Filled, filled_site, look_at_every_page
from tests.portal.test_in_browser import DESKTOP, PHONE

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def filled() -> Iterator[Filled]:
    with filled_site() as made:
        yield made


def test_on_a_desktop(browser: Browser, filled: Filled) -> None:
    look_at_every_page(browser, filled, ["light", "dark"], viewport=DESKTOP, locale="en-US")


def test_on_a_phone_in_chinese(browser: Browser, filled: Filled) -> None:
    look_at_every_page(browser, filled, ["light", "dark"], viewport=PHONE, locale="zh-CN")
