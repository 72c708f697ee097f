"""How old something is, by the clock of whoever looks: that may be wrong, and days have borders."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Locator, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import ApiKey, Organisation, User
from tests.browser import visitor
from tests.conftest import signed_in

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("orm_beside_playwright")]


@pytest.mark.parametrize("wrong_by", [timedelta(hours=-5), timedelta(0), timedelta(hours=9)])
def test_a_wrong_clock_makes_nothing_older_or_of_the_future(
    wrong_by: timedelta, browser: Browser, live_server: LiveServer, transactional_db: None,
    alice: User, organisation: Organisation, api_key: tuple[ApiKey, str],
) -> None:  # fmt: skip
    now = timezone.now()
    ApiKey.objects.update(last_used_at=now - timedelta(minutes=10, seconds=5))
    session = signed_in(alice).cookies["sessionid"].value
    with visitor(browser, live_server.url) as (page, watch):
        page.context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        page.clock.install(time=now + wrong_by)
        page.goto("/portal/keys/")
        expect(age(page.locator("main"))).to_have_text("10 minutes ago")
        page.clock.fast_forward(5 * 60 * 1000)
        expect(age(page.locator("main"))).to_have_text("15 minutes ago")
        ApiKey.objects.update(last_used_at=now - timedelta(hours=40))
        page.reload()
        expect(age(page.locator("main"))).to_have_text("1 day ago")  # never “yesterday”
        assert watch.complaints == []


def age(place: Locator) -> Locator:
    return place.locator("local-time time").first
