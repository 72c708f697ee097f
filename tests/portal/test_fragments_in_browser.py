"""What keeps itself fresh on a page in a real browser, and rests while somebody reads."""

from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from playwright.sync_api import Browser, Route, expect
from pytest_django.live_server_helper import LiveServer

from accounts import flows
from accounts.middleware import SESSION_KEY
from accounts.models import Organisation, User
from billing import ledger
from tests import axe
from tests.browser import visitor
from tests.portal.records import make_record
from tests.portal.test_in_browser import DESKTOP, member, sign_in

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.usefixtures("orm_beside_playwright"),
]


def test_a_page_takes_over_no_other_organisations_numbers(
    browser: Browser, live_server: LiveServer, member: User, organisation: Organisation
) -> None:
    """Of which another tab made the session's choice."""
    second = flows.create_organisation(member, "Second", welcome=False)
    with visitor(browser, live_server.url) as (page, _watch):
        sign_in(page)
        page.goto("/portal/billing/")
        balance = page.locator("#live-balance")
        ledger.grant(organisation.pk, 3 * 10**9, reference="grant:3", description="More")
        for chosen in (organisation, second):
            [cookie] = [c for c in page.context.cookies() if c.get("name") == "sessionid"]
            session = SessionStore(cookie.get("value"))
            session[SESSION_KEY] = chosen.pk
            session.save()
            told = page.expect_response(lambda said: said.headers.get("x-page-of") == chosen.pk)  # noqa: B023
            with told:
                pass
            page.wait_for_timeout(300)  # for what must not happen
            expect(balance).to_contain_text("$38.00")


def test_new_requests_appear_by_themselves(
    browser: Browser, live_server: LiveServer, member: User, organisation: Organisation
) -> None:
    with visitor(browser, live_server.url) as (page, watch):
        sign_in(page)
        page.goto("/portal/requests/")
        expect(page.locator("tbody tr")).to_have_count(3)
        make_record(organisation)
        expect(page.locator("tbody tr")).to_have_count(4)
        assert watch.complaints == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_request_opens_beside_the_table_which_rests_meanwhile(
    browser: Browser,
    live_server: LiveServer,
    member: User,
    organisation: Organisation,
    theme: Any,
) -> None:
    with visitor(browser, live_server.url, color_scheme=theme, viewport=DESKTOP) as (page, watch):
        sign_in(page)
        page.goto("/portal/requests/")
        row = page.locator("tr", has=page.locator('a[href$="/req_kept/"]'))
        row.locator("a").focus()
        page.keyboard.press("Enter")
        drawer = page.get_by_role("dialog")
        expect(drawer.get_by_role("heading", name="req_kept")).to_be_visible()
        expect(drawer.get_by_text("nightly")).to_be_visible()
        assert page.url.endswith("/portal/requests/")
        complaints = len(watch.complaints)
        assert axe.findings(page) == []
        del watch.complaints[complaints:]
        make_record(organisation)
        page.keyboard.press("Escape")
        expect(drawer).to_be_hidden()
        expect(row.locator("a")).to_be_focused()
        expect(page.locator("live-fragment tbody tr")).to_have_count(3)
        row.locator("a").evaluate("link => link.blur()")
        expect(page.locator("live-fragment tbody tr")).to_have_count(4)
        assert watch.complaints == []


def test_who_begins_to_read_while_it_is_asked_keeps_the_place(
    browser: Browser, live_server: LiveServer, member: User, organisation: Organisation
) -> None:
    asked: list[Route] = []
    with visitor(browser, live_server.url) as (page, watch):
        sign_in(page)
        page.goto("/portal/requests/")
        fragment = page.locator("live-fragment")
        page.route("**/portal/requests/", lambda route: asked.append(route), times=1)
        make_record(organisation)
        while not asked:
            page.wait_for_timeout(50)
        link = fragment.locator("tbody a").first
        link.focus()
        asked[0].continue_()
        expect(fragment).to_have_attribute("resting", "")  # when it would ask again
        expect(link).to_be_focused()
        expect(fragment.locator("tbody tr")).to_have_count(3)
        link.evaluate("link => link.blur()")
        expect(fragment.locator("tbody tr")).to_have_count(4)
        assert watch.complaints == []
