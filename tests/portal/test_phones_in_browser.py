"""Tables on small screens: rows become cards of what matters, or scroll in their frame."""

import pytest
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import ApiKey, Organisation, User
from inference.log import metadata
from tests.browser import visitor
from tests.conftest import signed_in
from tests.portal.records import make_record

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("orm_beside_playwright")]

PHONE = {"width": 360, "height": 740}


def test_sentences_in_tables_stay_whole(
    browser: Browser, live_server: LiveServer, transactional_db: None
) -> None:
    """A row of boxes would tear the code out of a sentence and make a column of it."""
    with visitor(browser, live_server.url, viewport=PHONE) as (page, _watch):
        page.goto("/docs/errors/")
        word = page.get_by_role("cell", name="Correct the field in param.").locator("code")
        assert word.evaluate("word => getComputedStyle(word.parentElement).display") == "block"


def test_what_only_a_screen_reader_sees_of_a_wide_table_widens_no_page(
    browser: Browser, live_server: LiveServer, transactional_db: None,
    alice: User, api_key: tuple[ApiKey, str],
) -> None:  # fmt: skip
    """Between a phone and a desktop, or at 200 %."""
    session = signed_in(alice).cookies["sessionid"].value
    with visitor(browser, live_server.url, viewport={"width": 640, "height": 400}) as (
        page,
        _watch,
    ):
        page.context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        page.goto("/portal/keys/")
        frame = page.locator(".table-frame")
        assert frame.evaluate("frame => frame.scrollWidth > frame.clientWidth"), "it scrolls inside"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_request_takes_few_lines_with_its_cost_at_the_end_of_the_first(
    browser: Browser, live_server: LiveServer, transactional_db: None,
    alice: User, organisation: Organisation,
) -> None:  # fmt: skip
    make_record(organisation)
    session = signed_in(alice).cookies["sessionid"].value
    with visitor(browser, live_server.url, viewport=PHONE) as (page, _watch):
        page.context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        page.goto("/portal/requests/")
        row = page.locator("#live-requests tbody tr")
        for hidden in row.locator(".minor").all():
            expect(hidden).to_be_hidden()
        begin, cost = (row.locator(part).bounding_box() for part in ("th", "td:last-child"))
        assert begin
        assert cost
        assert begin["y"] == cost["y"]
        assert begin["x"] < cost["x"]
        lines = "row => row.clientHeight / parseFloat(getComputedStyle(row).lineHeight)"
        assert row.evaluate(lines) < 5


def test_a_status_is_a_word_beside_whatever_is_said_of_the_model(
    browser: Browser, live_server: LiveServer, transactional_db: None,
    alice: User, organisation: Organisation,
) -> None:  # fmt: skip
    record = make_record(organisation, model="a_name_without_a_break.and_longer_than_a_line")
    metadata.note(organisation.id, record.request_id, {"job": "nightly", "night": "the first"})
    session = signed_in(alice).cookies["sessionid"].value
    with visitor(browser, live_server.url, viewport=PHONE) as (page, _watch):
        page.context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        page.goto("/portal/requests/")
        badge = page.locator("#live-requests tbody .badge")
        box = badge.bounding_box()
        assert box
        assert box["height"] < 2 * box["width"] / 3
        model = page.locator("#live-requests td:nth-child(3)")
        assert model.evaluate("cell => cell.scrollWidth <= cell.clientWidth")
