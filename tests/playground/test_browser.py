"""The playground in a real browser: streaming, stopping, hostile answers, a lost connection."""

import json
import re
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import ANOTHER_HOST
from tests.playground import hostile
from tests.playground.in_browser import alice, ask, billed, playground, site, until
from tests.story.site import Site, session_of

pytestmark = pytest.mark.browser

KEEP_SOCKET = """
const Real = WebSocket;
window.WebSocket = class extends Real {
  constructor(url) { super(url); window.lastSocket = this; }
};
"""
MAKE_POOR = """
from accounts import flows
from accounts.models import User
poor = User.objects.create_user("poor@example.com", name="Poor")
flows.create_organisation(poor, "Poor", welcome=False)
"""


def test_an_answer_streams_until_it_is_stopped(browser: Browser, site: tuple[Site, str]) -> None:
    with alice(browser, site) as page:
        answer = ask(page, "hello")
        expect(answer).to_have_attribute("data-state", "streaming")
        expect(answer).to_contain_text("word3")
        expect(page.get_by_test_id("run")).to_be_hidden()
        expect(page.get_by_test_id("stop")).to_be_visible()
        page.keyboard.press("Escape")
        expect(answer).to_have_attribute("data-state", "finished")
        expect(page.get_by_test_id("run")).to_be_enabled()
        assert "word399" not in answer.inner_text()
        stats = answer.get_by_test_id("answer-stats")
        expect(stats).to_contain_text("stopped")
        request_id = stats.locator("[data-stat=request_id]").get_attribute("title")
        shown = stats.locator("[data-stat=cost_nanos]").get_attribute("data-value")
        assert shown == billed(site[0], request_id)


def test_it_runs_on_a_site_without_https(browser: Browser, site: tuple[Site, str]) -> None:
    """As on a machine of the house: there the page has less than on `localhost`."""
    running, session = site
    elsewhere = replace(running, url=running.url.replace("localhost", ANOTHER_HOST))
    with playground(browser, (elsewhere, session), "hostile") as (page, watch):
        assert not page.evaluate("isSecureContext")
        expect(ask(page, "hello")).to_have_attribute("data-state", "finished")
        assert all("Cross-Origin-Opener-Policy" in each for each in watch.complaints)


BELOW = "document.documentElement.scrollHeight - innerHeight - scrollY"
# Where a wheel has led to, which takes some frames.
AT_REST = """async () => {
  for (let before = NaN, still = 0; still < 10; before = scrollY) {
    await new Promise((next) => requestAnimationFrame(next));
    still = scrollY === before ? still + 1 : 0;
  }
  return scrollY;
}"""


def test_the_end_stays_in_sight_unless_the_reader_has_gone_back(
    browser: Browser, site: tuple[Site, str]
) -> None:
    with alice(browser, site) as page:
        page.set_viewport_size({"width": 700, "height": 300})
        answer = ask(page, "hello\n" * 60)
        expect(answer).to_contain_text("word3 ")
        until(lambda: page.evaluate(BELOW) < 5)
        page.mouse.move(300, 100)
        page.mouse.wheel(0, -500)
        until(lambda: page.evaluate(BELOW) > 400)
        place = page.evaluate(AT_REST)
        expect(answer).to_contain_text("word40 ")
        assert page.evaluate("scrollY") == place
        page.mouse.wheel(0, 10_000)
        until(lambda: page.evaluate(BELOW) < 5)
        expect(answer).to_contain_text("word80 ")
        until(lambda: page.evaluate(BELOW) < 5)
        assert page.evaluate("scrollY") > place + 500
        page.keyboard.press("Escape")


def test_at_four_hundred_percent_the_answer_is_in_sight(
    browser: Browser, site: tuple[Site, str]
) -> None:
    with alice(browser, site) as page:
        page.set_viewport_size({"width": 320, "height": 256})  # what is left of 1280 by 1024
        expect(ask(page, "hello")).to_contain_text("word60")
        page.get_by_test_id("stop").click()
        expect(page.get_by_test_id("answer")).to_have_attribute("data-state", "finished")
        answer = page.get_by_test_id("answer").locator("[data-text]")
        answer.evaluate("element => scrollTo(0, scrollY + element.getBoundingClientRect().top)")
        seen = "[40, 128, 216].map((y) => document.elementFromPoint(40, y).closest('[data-text]'))"
        assert page.evaluate(f"{seen}.filter(Boolean).length") == 3
        last = page.locator(".playground-tools button").last.bounding_box()
        assert last is not None
        assert last["x"] + last["width"] <= page.evaluate("document.documentElement.clientWidth")


def test_an_empty_chat_is_seen_from_its_beginning(browser: Browser, site: tuple[Site, str]) -> None:
    with alice(browser, site) as page:
        heading = page.get_by_role("heading", name="Ask a model something")
        page.set_viewport_size({"width": 390, "height": 500})
        page.reload()
        expect(page.get_by_test_id("run")).to_be_enabled()
        assert page.evaluate(BELOW) > 100
        expect(heading).to_be_in_viewport()
        answer = ask(page, "hello\n" * 60)
        expect(answer).to_contain_text("word3 ")
        page.keyboard.press("Escape")
        expect(page.get_by_test_id("run")).to_be_visible()
        page.get_by_role("button", name="New chat").click()
        expect(heading).to_be_in_viewport()
        assert page.evaluate("scrollY") == 0


def test_hostile_markdown_stays_text(browser: Browser, site: tuple[Site, str]) -> None:
    with alice(browser, site, "hostile") as page:
        answer = ask(page, "be evil")
        expect(answer).to_have_attribute("data-state", "finished")
        page.wait_for_timeout(300)
        assert page.evaluate("window.pwned") is None
        text = answer.locator("[data-text]")
        forbidden = "img, script, svg use[href^='http'], style, iframe, form, [style], [onclick]"
        assert text.locator(forbidden).count() == 0
        links = text.locator("a")
        addresses = [link.get_attribute("href") for link in links.all()]
        assert addresses == [
            "https://good.example/page?a=1&b=2",
            "https://good.example/auto",
            "https://evil.example/half",  # an address in plain text; it leads there when clicked
        ]
        for link in links.all():
            assert link.get_attribute("target") == "_blank"
            assert {"noopener", "noreferrer"} <= set((link.get_attribute("rel") or "").split())
        expect(text).to_contain_text("a picture")
        expect(text.locator(".code pre")).to_contain_text("<script>window.pwned = 6</script>")
        expect(text.locator(".code .hljs-tag").first).to_be_visible()


def test_however_a_hostile_answer_is_cut_it_harms_nothing(
    browser: Browser, site: tuple[Site, str]
) -> None:
    with alice(browser, site, script=hostile.SCRIPT) as page:
        harm = {
            name: page.evaluate(f"harmOf({json.dumps(text)})")
            for name, text in hostile.CASES.items()
        }
        assert {name: found for name, found in harm.items() if found} == {}


def test_messages_are_edited_switched_deleted_and_run_again(
    browser: Browser, site: tuple[Site, str]
) -> None:
    with alice(browser, site, "hostile") as page:
        expect(ask(page, "first")).to_have_attribute("data-state", "finished")
        question = page.locator(".turn").first
        question.hover()
        question.get_by_role("button", name="Edit").click()
        question.get_by_role("textbox", name="Message").fill("second")
        page.keyboard.press("Control+Enter")
        expect(question.locator("[data-text]")).to_have_text("second")
        question.get_by_role("button", name="Run again from here").click()
        answer = page.get_by_test_id("answer")
        expect(answer).to_have_attribute("data-state", "finished")
        expect(answer).to_have_count(1)
        answer.get_by_role("button", name="Assistant").click()
        expect(answer).to_have_count(0)
        page.locator(".turn").last.hover()
        page.locator(".turn").last.get_by_role("button", name="Delete").click()
        expect(page.locator(".turn")).to_have_count(1)


def test_an_edit_is_kept_while_an_answer_streams(browser: Browser, site: tuple[Site, str]) -> None:
    with alice(browser, site) as page:
        answer = ask(page, "first")
        expect(answer).to_contain_text("word3")
        question = page.locator(".turn").first
        question.hover()
        question.get_by_role("button", name="Edit").click()
        question.get_by_role("textbox", name="Message").fill("second")
        question.get_by_role("button", name="Save").click()
        expect(question.locator("[data-text]")).to_have_text("second")
        expect(answer).to_have_attribute("data-state", "streaming")
        page.get_by_test_id("stop").click()
        expect(answer).to_have_attribute("data-state", "finished")


def test_who_has_no_credit_is_led_to_billing(browser: Browser, site: tuple[Site, str]) -> None:
    site[0].manage("shell", "-v0", "-c", MAKE_POOR)
    with alice(browser, (site[0], session_of(site[0], "poor@example.com"))) as page:
        problem = ask(page, "hello").locator("[data-problem]")
        expect(problem).to_contain_text("Not enough credit")
        link = problem.get_by_role("link")
        expect(link).to_have_attribute("href", "/portal/billing/")
        assert problem.inner_text().count("/portal/billing/") == 1


def test_a_conversation_is_there_again_after_a_reload(
    browser: Browser, site: tuple[Site, str]
) -> None:
    with alice(browser, site, "hostile") as page:
        expect(ask(page, "remember me")).to_have_attribute("data-state", "finished")
        cost = page.locator("[data-stat=cost_nanos]").last.inner_text()
        page.wait_for_url(re.compile(r"conversation=conv_"))
        page.reload()
        expect(page.locator(".turn").first).to_contain_text("remember me")
        expect(page.locator("[data-stat=cost_nanos]").last).to_have_text(cost)
        entry = page.locator("#history li", has_text="remember me").first
        entry.get_by_role("button").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.locator(".turn")).to_have_count(0)


def test_a_lost_connection_says_what_happened_to_text_and_money(
    browser: Browser, site: tuple[Site, str]
) -> None:
    with alice(browser, site, script=KEEP_SOCKET) as page:
        answer = ask(page, "hello")
        expect(answer).to_contain_text("word5")
        page.evaluate("window.lastSocket.close()")
        expect(answer.locator("[data-note]")).to_contain_text("The numbers below are the bill")
        stats = answer.get_by_test_id("answer-stats")
        request_id = stats.locator("[data-stat=request_id]").get_attribute("title")
        shown = stats.locator("[data-stat=cost_nanos]").get_attribute("data-value")
        assert shown == billed(site[0], request_id)
        expect(page.get_by_test_id("run")).to_be_enabled()
        # As after any answer, a reload and the history find it.
        expect(page).to_have_url(re.compile("conversation=conv_"))
        expect(page.locator("#history li", has_text="hello").first).to_be_visible()


def test_view_code_shows_the_request_on_the_page(browser: Browser, site: tuple[Site, str]) -> None:
    with alice(browser, site) as page:
        page.get_by_label("Temperature", exact=True).first.fill("0.3")
        page.locator("#system").fill("Be brief")
        page.locator("#composer textarea").fill("What's up?")
        page.get_by_test_id("view-code").click()
        shown = page.get_by_test_id("code-text")
        expect(shown).to_contain_text('"temperature": 0.3')
        page.get_by_role("tab", name="Python").click()
        expect(shown).to_contain_text('"content": "What\'s up?"')
        expect(shown).to_contain_text('"content": "Be brief"')
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Reset Temperature").click()
        expect(page.get_by_label("Temperature", exact=True).first).to_have_value("1")


def test_a_page_of_one_organisation_does_not_spend_anothers_credit(
    browser: Browser, site: tuple[Site, str]
) -> None:
    lie = (
        KEEP_SOCKET
        + """
    const parse = JSON.parse;
    JSON.parse = (text) => {
      const frame = parse(text);
      if (frame.type === "ready" && window.switched) frame.organisation = "org_2";
      return frame;
    };"""
    )
    with alice(browser, site, script=lie) as page:
        page.evaluate("window.switched = true; window.lastSocket.close()")
        expect(page.locator("#notice")).to_contain_text("another organisation")
        expect(page.get_by_test_id("run")).to_be_disabled()


def test_what_is_too_long_to_be_sent_says_so_and_can_be_shortened(
    browser: Browser, site: tuple[Site, str]
) -> None:
    with alice(browser, site, "hostile") as page:
        page.locator("#composer textarea").fill("a b " * 200_000)
        page.get_by_test_id("run").click()
        refused = page.get_by_test_id("answer")
        expect(refused.locator("[data-problem]")).to_contain_text("the limit is 768 KiB")
        expect(page.get_by_test_id("stop")).to_be_hidden()
        page.locator(".turn").first.get_by_role("button", name="Edit").click()
        page.get_by_label("Message").first.fill("short")
        page.keyboard.press("Control+Enter")
        refused.get_by_role("button", name="Run again from here").click()
        expect(page.get_by_test_id("answer")).to_have_attribute("data-state", "finished")


def test_a_parameter_out_of_range_is_named_and_nothing_runs(
    browser: Browser, site: tuple[Site, str]
) -> None:
    with alice(browser, site) as page:
        page.get_by_role("textbox", name="Top-k").fill("-1")
        page.locator("#composer textarea").fill("hello")
        page.get_by_test_id("run").click()
        expect(page.get_by_role("textbox", name="Top-k")).to_be_focused()
        expect(page.get_by_text("This must be between 0 and 2147483647.")).to_be_visible()
        expect(page.locator(".turn")).to_have_count(0)
