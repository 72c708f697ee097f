"""The API reference in a real Chromium: from our own origin, under our policy, in both themes."""

import json

import pytest
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from portal import openapi
from tests import axe
from tests.browser import visitor

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.usefixtures("orm_beside_playwright"),
]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_shows_every_address_and_asks_nobody_else(
    browser: Browser,
    live_server: LiveServer,
    theme: str,
) -> None:
    with visitor(browser, live_server.url, color_scheme=theme) as (page, watch):  # type: ignore[arg-type]
        page.goto("/docs/")
        page.get_by_role("link", name="reference").first.click()
        page.wait_for_url("**/api/reference/")
        operations = page.locator(".opblock")
        count = sum(len(item) for item in json.loads(openapi.document())["paths"].values())
        expect(operations).to_have_count(count)
        dark = page.evaluate("document.documentElement.classList.contains('dark-mode')")
        assert dark == (theme == "dark")
        page.locator("#operations-Chat-create_chat_completion button").first.click()
        expect(page.get_by_text("Tell me a story about a robot.").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert watch.complaints == []
        assert axe.findings(page, axe.OF_COLOURS) == []


def test_a_request_can_be_tried(
    browser: Browser,
    live_server: LiveServer,
    transactional_db: None,
) -> None:
    with visitor(browser, live_server.url) as (page, watch):
        document = json.loads(openapi.document())
        document["servers"] = [{"url": live_server.url}]
        page.route("**/api/schema/", lambda route: route.fulfill(json=document))
        page.goto("/api/reference/")
        operation = page.locator("#operations-balance-balance_retrieve")
        operation.locator("button.opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
        operation.get_by_role("button", name="Execute").click()
        expect(operation.get_by_text("invalid_api_key").first).to_be_visible()
        refused = [line for line in watch.complaints if "401" not in line]
        assert refused == []
