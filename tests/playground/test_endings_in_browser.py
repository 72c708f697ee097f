"""What the page says when the server turns it away or dies, or keeps an answer somewhere else."""

import re
import signal

import pytest
from playwright.sync_api import Browser, expect

from tests.playground.in_browser import alice, ask, playground, site, until
from tests.playground.test_panes_in_browser import KEEP_FRAMES
from tests.story.site import SIGN_IN, Site, wait_until_ready

MAKE_GUEST = """
from accounts import flows
from accounts.models import User
from billing import ledger
guest = User.objects.create_user({email!r})
organisation = flows.create_organisation(guest, "Guest's", welcome=False)
ledger.grant(organisation.id, 10**10, reference={email!r}, description="For tests")
"""
WITHDRAW = {
    "suspended": "from accounts import flows; flows.suspend(user.organisations.get())",
    "no longer a member": "user.memberships.all().delete()",
    "no longer signed in": "from django.contrib.sessions.models import Session as S; "
    "S.objects.filter(session_key={session!r}).delete()",
}


@pytest.mark.parametrize("why", WITHDRAW)
def test_who_is_turned_away_hears_why(
    browser: Browser,
    site: tuple[Site, str],
    why: str,
) -> None:
    running, _session = site
    email = f"{why.replace(' ', '-')}@example.com"
    made = MAKE_GUEST.format(email=email) + SIGN_IN.format(email=email)
    session = running.manage("shell", "-v0", "-c", made).strip()
    find = f"from accounts.models import User; user = User.objects.get(email={email!r}); "
    with playground(browser, (running, session)) as (page, watch):
        answer = ask(page, "hello")
        expect(answer).to_contain_text("word2")
        running.manage("shell", "-v0", "-c", find + WITHDRAW[why].format(session=session))
        expect(page.locator("#notice")).to_contain_text(why)
        expect(page.locator("#notice")).to_be_in_viewport()
        expect(answer.get_by_test_id("answer-stats")).to_be_visible()
        can_sign_in_again = int(why == "no longer signed in")
        expect(page.get_by_role("link", name="Sign in")).to_have_count(can_sign_in_again)
        assert watch.complaints == []


def test_a_tab_says_that_its_answer_is_kept_beside_another_tabs(
    browser: Browser,
    site: tuple[Site, str],
) -> None:
    with alice(browser, site, "hostile") as page:
        expect(ask(page, "begin")).to_have_attribute("data-state", "finished")
        page.wait_for_url(re.compile(r"conversation=conv_"))
        first = page.url
        other = page.context.new_page()
        other.goto(first)
        expect(other.get_by_test_id("run")).to_be_enabled()
        expect(ask(other, "there")).to_have_attribute("data-state", "finished")
        here = ask(page, "here")
        expect(here).to_have_attribute("data-state", "finished")
        expect(here.locator("[data-note]")).to_contain_text("a conversation of its own")
        expect(page).not_to_have_url(first)
        page.goto(page.url)
        expect(page.locator(".turn[data-role=user]").last).to_contain_text("here")
        expect(other.locator("[data-note]:visible")).to_have_count(0)


def test_a_conversation_deleted_elsewhere_is_begun_anew(
    browser: Browser,
    site: tuple[Site, str],
) -> None:
    with alice(browser, site, "hostile") as page:
        expect(ask(page, "to be deleted")).to_have_attribute("data-state", "finished")
        page.wait_for_url(re.compile(r"conversation=conv_"))
        site[0].manage("shell", "-v0", "-c",
                       "from playground.models import Conversation as C; "
                       "C.objects.filter(title='to be deleted').delete()")  # fmt: skip
        refused = ask(page, "more")
        expect(refused.locator("[data-problem]")).to_contain_text("Run again")
        expect(page).to_have_url(re.compile("/playground/$"))
        refused.get_by_role("button", name="Run again from here").click()
        expect(page.get_by_test_id("answer").last).to_have_attribute("data-state", "finished")
        page.wait_for_url(re.compile(r"conversation=conv_"))


def test_a_dialog_without_a_network_says_what_to_do(
    browser: Browser,
    site: tuple[Site, str],
) -> None:
    with playground(browser, site) as (page, _complaints_of_no_network):
        page.context.set_offline(True)
        for name in ("Presets", "View code"):
            page.get_by_role("button", name=name).click()
            problem = page.get_by_role("dialog").get_by_role("alert")
            expect(problem).to_have_text(re.compile("^This did not work. Please try again"))
            page.keyboard.press("Escape")


def test_a_network_that_changes_has_the_connection_looked_at_at_once(
    browser: Browser,
    site: tuple[Site, str],
) -> None:
    with alice(browser, site, script=KEEP_FRAMES) as page:
        for change in (
            lambda: page.context.set_offline(True),
            lambda: page.context.set_offline(False),
            lambda: page.evaluate("document.dispatchEvent(new Event('visibilitychange'))"),
        ):
            page.evaluate("window.sent.length = 0")
            change()
            until(lambda: page.evaluate("window.sent.length") > 0)
        assert page.evaluate("window.sent.every(({ type }) => type === 'ping')")


def test_a_chat_goes_on_after_its_server_was_killed_in_its_first_answer(
    browser: Browser,
    site: tuple[Site, str],
) -> None:
    """Nothing was kept of it, so the next run does not go on with what is not there."""
    running, _session = site
    with playground(browser, site) as (page, _complaints_of_a_dead_server):
        answer = ask(page, "hello")
        expect(answer).to_contain_text("word2")
        running.processes["serve"].send_signal(signal.SIGKILL)
        expect(page.locator("#notice")).to_contain_text("connection was lost")
        running.restart("serve")
        wait_until_ready(running)
        expect(page.get_by_test_id("run")).to_be_enabled()
        expect(ask(page, "again")).to_contain_text("word2")
