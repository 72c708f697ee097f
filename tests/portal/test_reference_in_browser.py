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


def test_it_shows_every_address_in_both_themes_and_asks_nobody_else(
    browser: Browser, live_server: LiveServer
) -> None:
    with visitor(browser, live_server.url, color_scheme="dark") as (page, watch):
        page.goto("/docs/")
        page.get_by_role("link", name="reference").first.click()
        page.wait_for_url("**/api/reference/")
        operations = page.locator(".opblock")
        count = sum(len(item) for item in json.loads(openapi.document())["paths"].values())
        expect(operations).to_have_count(count)
        page.locator("#operations-Chat-create_chat_completion button").first.click()
        expect(page.get_by_text("Tell me a story about a robot.").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert watch.complaints == []
        expect(page.locator("html.dark-mode")).to_have_count(1)
        assert axe.findings(page, axe.OF_COLOURS) == []
        page.emulate_media(color_scheme="light")  # which it follows as it stands
        expect(page.locator("html.dark-mode")).to_have_count(0)
        assert axe.findings(page, axe.OF_COLOURS) == []


def test_a_request_can_be_tried(
    browser: Browser,
    live_server: LiveServer,
    transactional_db: None,
) -> None:
    with visitor(browser, live_server.url) as (page, watch):
        document = json.loads(openapi.document())
        document["servers"] = [{"url": live_server.url}]
        # Of the whole of it, a click may take seconds.
        document["paths"] = {"/api/balance/": document["paths"]["/api/balance/"]}
        page.route("**/api/schema/", lambda route: route.fulfill(json=document))
        page.goto("/api/reference/")
        operation = page.locator("#operations-balance-balance_retrieve")
        operation.locator("button.opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
        operation.get_by_role("button", name="Execute").click()
        expect(operation.get_by_text("invalid_api_key").first).to_be_visible()
        refused = [line for line in watch.complaints if "401" not in line]
        assert refused == []
