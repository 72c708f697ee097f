"""The whole site in a real Chromium: how heavy its pages are, the keyboard alone, the console.

Served as its users get it, compressed and with hashed names, unlike the live server of other tests.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import visitor
from tests.every_page import filled_site
from tests.portal.test_in_browser import DESKTOP
from tests.shown_site import EMAIL, PASSWORD
from tests.story.site import Site
from tests.story.test_story import confirmation_path

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PORTAL = ["/portal/", "/portal/usage/", "/portal/requests/", "/portal/keys/", "/portal/members/",
          "/portal/billing/", "/portal/limits/", "/portal/settings/", "/", "/models/"]  # fmt: skip
PORTAL_BYTES = 150_000
PLAYGROUND_BYTES = 250_000


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with filled_site() as made:
        yield made.site


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


def test_the_keyboard_alone_goes_from_signing_up_to_the_bill(browser: Browser, site: Site) -> None:
    options: dict[str, Any] = {"permissions": ["clipboard-read", "clipboard-write"]}
    with visitor(browser, site.url, viewport=DESKTOP, **options) as (page, watch):
        sign_up_by_keyboard(page, site)
        make_a_key_by_keyboard(page)
        cost = stop_an_answer_by_keyboard(page)
        follow(page, "Requests", "/portal/requests/")
        page.locator("tbody a[data-drawer]").first.wait_for()
        tab_to(page, page.locator("tbody a[data-drawer]").first.inner_text())
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog").get_by_text(cost).first).to_be_visible()
        page.keyboard.press("Escape")
        follow(page, "Billing", "/portal/billing/")
        expect(page.get_by_role("cell", name=cost).first).to_be_visible()
        assert watch.complaints == []


def sign_up_by_keyboard(page: Page, site: Site) -> None:
    page.goto("/")
    follow(page, "Sign up", "/accounts/signup/")
    tab_to(page, "Email")
    page.keyboard.type("keys@example.com")
    tab_to(page, "Password")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/accounts/confirm-email/")
    page.goto(confirmation_path(site))
    follow(page, "Yes, confirm it", "/welcome/")


def make_a_key_by_keyboard(page: Page) -> None:
    tab_to(page, "Make my first key")
    page.keyboard.press("Enter")
    secret = page.get_by_test_id("secret")
    expect(secret).to_be_visible()
    tab_to(page, "Copy")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Copied").first).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == secret.text_content()


def stop_an_answer_by_keyboard(page: Page) -> str:
    """What the stopped answer cost, as the playground says it."""
    follow(page, "Try the playground", "/playground/")
    expect(page.get_by_test_id("run")).to_be_enabled()
    expect(page.get_by_test_id("composer")).to_be_focused()
    page.keyboard.type("Tell me something long.")
    page.keyboard.press("Control+Enter")
    answer = page.get_by_test_id("answer")
    expect(answer).to_contain_text("You wrote")
    page.keyboard.press("Escape")
    expect(answer.get_by_test_id("answer-stats")).to_contain_text("stopped")
    return answer.locator("[data-stat=cost_nanos]").inner_text()


def follow(page: Page, name: str, path: str) -> None:
    tab_to(page, name)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{path}")


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
