"""The language switch in a real browser, with scripts and without, and what scripts write."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import Organisation, User
from billing import ledger
from tests.browser import visitor
from tests.conftest import signed_in
from tests.portal.records import make_record

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.usefixtures("orm_beside_playwright"),
]


@pytest.fixture
def member(transactional_db: None, organisation: Organisation, alice: User) -> User:
    make_record(organisation)
    return alice


def language_of(page: Page) -> str | None:
    return page.locator("html").get_attribute("lang")


def switch_to(page: Page, name: str) -> None:
    with page.expect_navigation():
        page.get_by_role("button", name=name, exact=True).click()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_visitor_changes_the_language_and_stays_on_the_page(
    browser: Browser, live_server: LiveServer, transactional_db: None, scripts: bool
) -> None:
    address = f"{live_server.url}/docs/quickstart/?from=here"
    options = {"locale": "en-US", "java_script_enabled": scripts}
    with visitor(browser, live_server.url, **options) as (page, watch):
        page.goto(address)
        assert language_of(page) == "en"
        switch_to(page, "简体中文")
        assert (page.url, language_of(page)) == (address, "zh-hans")
        expect(page.get_by_role("heading", level=1)).to_have_text("快速入门")
        page.goto("/models/")
        assert language_of(page) == "zh-hans", "it is kept for the pages after"
        switch_to(page, "English")
        assert (page.url, language_of(page)) == (f"{live_server.url}/models/", "en")
        assert watch.complaints == []


def test_a_browser_that_asks_for_chinese_gets_it_and_scripts_write_it(
    browser: Browser, live_server: LiveServer, member: User, organisation: Organisation
) -> None:
    ledger.grant(organisation.id, 10**9, reference="grant:more", description="Welcome credit")
    session = signed_in(member).cookies["sessionid"].value
    with visitor(browser, live_server.url, locale="zh-CN") as (page, watch):
        page.context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        page.goto("/portal/")
        assert language_of(page) == "zh-hans"
        expect(page.locator("usage-chart .u-legend")).to_contain_text("时间")
        [balance, *_] = page.locator("[data-balance]").all_inner_texts()
        assert re.fullmatch(r"US\$\d+\.\d\d", balance)
        page.goto("/portal/billing/")
        expect(page.locator("local-time").first).to_contain_text("前")
        expect(page.get_by_text("新用户赠送额度")).to_be_visible()
        assert watch.complaints == []


def test_the_switch_follows_an_address_that_a_script_changed(
    browser: Browser, live_server: LiveServer, transactional_db: None
) -> None:
    with visitor(browser, live_server.url, locale="en-US") as (page, _watch):
        page.goto("/status/")
        page.evaluate("history.replaceState(null, '', '/models/?conversation=1')")
        switch_to(page, "简体中文")
        assert page.url == f"{live_server.url}/models/?conversation=1"


def test_scripts_write_dollars_as_the_server_does(
    browser: Browser, live_server: LiveServer, transactional_db: None
) -> None:
    for locale, amount in (("en-US", "$1,234.50"), ("zh-CN", "US$1,234.50")):
        with visitor(browser, live_server.url, locale=locale) as (page, _watch):
            page.goto("/status/")
            module = "import('/static/js/playground/format.js')"
            written = page.evaluate(f"{module}.then(({{ dollars }}) => dollars(1234500000000))")
            assert written == amount
