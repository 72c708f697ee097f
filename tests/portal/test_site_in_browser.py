"""The whole site in a real Chromium: how heavy its pages are, the keyboard alone, the console.

Served as its users get it, compressed and with hashed names, unlike the live server of other tests.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import visitor
from tests.portal.test_in_browser import DESKTOP, PHONE, look_at
from tests.screenshots import sign_in_as_operator
from tests.shown_pages import CONSOLE
from tests.shown_site import EMAIL, PASSWORD, make_history
from tests.story.site import Site, embedded_site

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PORTAL = ["/portal/", "/portal/usage/", "/portal/requests/", "/portal/keys/", "/portal/members/",
          "/portal/billing/", "/portal/limits/", "/portal/settings/", "/", "/models/"]  # fmt: skip
PORTAL_BYTES = 150_000
PLAYGROUND_BYTES = 250_000


@pytest.fixture(scope="module")
def filled() -> Iterator[tuple[Site, dict[str, str]]]:
    """The site, and the ids of what is there."""
    with (
        tempfile.TemporaryDirectory(prefix="parlance-browser-") as folder,
        embedded_site(Path(folder), ENGINE_FAKE="true") as started,
    ):
        yield started, make_history(started)


@pytest.fixture
def site(filled: tuple[Site, dict[str, str]]) -> Site:
    return filled[0]


def sign_in_by_keyboard(page: Page) -> None:
    page.goto("/accounts/login/")
    tab_to(page, "Email")
    page.keyboard.type(EMAIL)
    tab_to(page, "Password")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/portal/")


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what is called `name` has focus: nothing else leads there."""
    for _press in range(80):
        page.keyboard.press("Tab")
        if focused(page) == name:
            outline = "getComputedStyle(document.activeElement)"
            seen = page.evaluate(f"{outline}.outlineStyle !== 'none' || {outline}.boxShadow")
            assert seen not in {False, "none"}, f"no focus is seen on {name}"
            return
    raise AssertionError(f"Tab does not lead to {name!r} on {page.url}")


def focused(page: Page) -> str:
    """How a person would call what has focus."""
    name: str = page.evaluate(
        """() => {
          const it = document.activeElement;
          const text = it.ariaLabel ?? it.labels?.[0]?.textContent ?? it.textContent ?? "";
          return text.trim().replace(/\\s+/g, " ");
        }"""
    )
    return name


def test_the_keyboard_alone_signs_in_makes_a_key_and_copies_it(
    browser: Browser, site: Site
) -> None:
    options: dict[str, Any] = {"permissions": ["clipboard-read", "clipboard-write"]}
    with visitor(browser, site.url, viewport=DESKTOP, **options) as (page, watch):
        sign_in_by_keyboard(page)
        tab_to(page, "Skip to content")
        tab_to(page, "API keys")
        page.keyboard.press("Enter")
        page.wait_for_url("**/portal/keys/")
        tab_to(page, "New key")
        page.keyboard.press("Enter")
        page.wait_for_url("**/portal/keys/new/")
        tab_to(page, "Name")
        page.keyboard.type("By keyboard")
        page.keyboard.press("Enter")
        secret = page.get_by_test_id("secret")
        expect(secret).to_be_visible()
        tab_to(page, "Copy")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Copied").first).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == secret.text_content()
        assert watch.complaints == []


def transferred(page: Page, path: str) -> int:
    """Bytes that come over the wire for a first visit of `path`, headers included."""
    sizes: dict[str, int] = {}
    wire = page.context.new_cdp_session(page)
    wire.on("Network.loadingFinished", lambda e: sizes.update({e["requestId"]: e["encodedDataLength"]}))  # fmt: skip  # noqa: E501
    wire.send("Network.enable")
    wire.send("Network.clearBrowserCache")
    page.goto(path, wait_until="load")
    page.wait_for_timeout(500)  # what modules load when they run
    wire.detach()
    return int(sum(sizes.values()))


def test_pages_are_light(browser: Browser, site: Site) -> None:
    with visitor(browser, site.url) as (page, watch):
        sign_in_by_keyboard(page)
        weights = {path: transferred(page, path) for path in PORTAL}
        assert all(20_000 < weight <= PORTAL_BYTES for weight in weights.values()), weights
        playground = transferred(page, "/playground/")
        assert 20_000 < playground <= PLAYGROUND_BYTES
        assert watch.complaints == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_the_operators_console(
    browser: Browser, filled: tuple[Site, dict[str, str]], theme: Any
) -> None:
    site, ids = filled
    paths = [path.format(**ids) for path in CONSOLE.values()]
    for size in (DESKTOP, PHONE):
        with visitor(browser, site.url, color_scheme=theme, viewport=size) as (page, watch):
            sign_in_as_operator(page, site)
            look_at(page, watch, paths)
