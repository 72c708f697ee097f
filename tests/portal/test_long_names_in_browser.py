"""Names as long as they may be, and amounts of millions: pages keep their form."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from accounts import flows
from accounts.models import Organisation, User
from billing import ledger
from tests.browser import visitor
from tests.conftest import signed_in

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("orm_beside_playwright")]

LONG = "pasted-from-our-ci-system-" * 3
# How many lines the text of an element takes.
LINES = """element => {
  const range = document.createRange();
  range.selectNodeContents(element);
  return range.getClientRects().length;
}"""


@pytest.fixture
def page(
    browser: Browser,
    live_server: LiveServer,
    transactional_db: None,
    organisation: Organisation,
    alice: User,
) -> Iterator[Page]:
    flows.create_key(organisation, alice, LONG)
    session = signed_in(alice).cookies["sessionid"].value
    with visitor(browser, live_server.url, viewport={"width": 1280, "height": 800}) as (page, _w):
        page.context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        yield page


def test_a_keys_buttons_stay_beside_each_other(page: Page) -> None:
    page.goto("/portal/keys/")
    buttons = page.get_by_role("row", name=LONG).locator(".button")
    tops = buttons.evaluate_all("all => all.map(each => each.getBoundingClientRect().top)")
    assert len(tops) == 3
    assert len(set(tops)) == 1


def test_a_filter_is_no_wider_for_what_it_might_choose(page: Page) -> None:
    page.goto("/portal/usage/")
    choice = page.get_by_role("combobox", name="Key")
    assert LONG in choice.inner_text()
    assert choice.evaluate("choice => choice.getBoundingClientRect().width") <= 256


def test_a_balance_of_millions_takes_one_line(page: Page, organisation: Organisation) -> None:
    ledger.grant(organisation.id, 2_345_678_123_400_000, reference="grant:big", description="")
    page.goto("/portal/")
    balance = page.locator(".stat-value").first
    assert ".1234" in balance.inner_text()
    assert balance.evaluate(LINES) == 1
