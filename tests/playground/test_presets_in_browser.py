"""Presets, links, the palette and search, in a real browser."""

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.axe import findings
from tests.browser import visitor
from tests.playground.in_browser import alice, ask, site
from tests.playground.test_panes_in_browser import KEEP_FRAMES, runs
from tests.story.site import Site

pytestmark = pytest.mark.browser

# Lost in the page: what the network loses stands in the console, which has to stay empty.
LOSE_NEXT_REQUEST = """() => {
  const ask = window.fetch;
  window.fetch = () => {
    window.fetch = ask;
    return Promise.reject(new TypeError("lost"));
  };
}"""


def test_a_ready_preset_is_changed_saved_and_opened_by_the_palette(
    browser: Browser,
    site: tuple[Site, str],
) -> None:
    with alice(browser, site, "hostile", KEEP_FRAMES) as page:
        page.get_by_role("button", name="Into another language").click()
        page.get_by_role("textbox", name="language").fill("Welsh")
        save_a_preset(page, "To Welsh")
        page.get_by_label("Version: To Welsh").select_option("1")
        expect(page.locator("#presets-dialog")).to_be_hidden()
        expect(page.locator(".turn [data-text]")).to_have_text("{{text}}")
        page.get_by_role("button", name="New chat").click()
        page.keyboard.press("Control+k")
        page.keyboard.type("to welsh")
        expect(page.locator("#palette [role=option]")).to_have_count(1)
        assert findings(page) == []
        page.keyboard.press("Enter")
        expect(page.locator(".turn [data-text]")).to_have_text("{{text}}")
        page.keyboard.press("Control+Enter")
        expect(page.get_by_test_id("answer")).to_have_attribute("data-state", "finished")
        [frame] = runs(page)
        assert "Welsh" in frame["messages"][0]["content"]
        assert frame["messages"][1]["content"] == "Good morning! Did you sleep well?"


def test_a_link_shows_a_hostile_answer_to_anyone_and_harms_nobody(
    browser: Browser,
    site: tuple[Site, str],
) -> None:
    with alice(browser, site, "hostile") as page:
        page.get_by_role("button", name="Share").click()
        expect(page.get_by_text("There is no answer yet.")).to_be_visible()
        page.keyboard.press("Escape")
        expect(ask(page, "be evil")).to_have_attribute("data-state", "finished")
        page.wait_for_url("**conversation=conv_**")
        page.get_by_role("button", name="Share").click()
        page.get_by_label("Who may read it").first.select_option("anyone")
        page.get_by_role("button", name="Make a link").click()
        link = page.locator("#share-list a").get_attribute("href") or ""
    with visitor(browser, site[0].url) as (stranger, watch):
        stranger.goto(link)
        expect(stranger.get_by_role("heading", name="A <b>title</b>")).to_be_visible()
        shown = stranger.get_by_test_id("shared")
        assert shown.locator("img, script, iframe, form, [onclick]").count() == 0
        assert stranger.evaluate("window.pwned") is None
        assert watch.complaints == []
        assert findings(stranger) == []


def test_the_history_is_searched_and_deleted_from_and_keys_are_listed(
    browser: Browser,
    site: tuple[Site, str],
) -> None:
    with alice(browser, site, "hostile") as page:
        expect(ask(page, "find the needle")).to_have_attribute("data-state", "finished")
        search = page.get_by_label("Search the history")
        search.fill("needle evil.example")  # one word of the question, one of the answer
        found = page.locator("#history li a[data-conversation]")
        expect(found).to_have_count(1)
        expect(found).to_have_text("find the needle")
        delete = page.get_by_role("button", name="Delete find the needle")
        asked = page.get_by_role("dialog", name="Delete “find the needle”")
        delete.click()
        page.keyboard.press("Escape")
        expect(found).to_have_count(1)
        failed = page.get_by_role("alert").filter(has_text="could not be deleted")
        page.evaluate(LOSE_NEXT_REQUEST)
        delete.click()
        asked.get_by_role("button", name="Delete").click()
        expect(failed).to_be_visible()
        expect(found).to_have_count(1)
        delete.click()
        asked.get_by_role("button", name="Delete").click()
        expect(found).to_have_count(0)
        expect(failed).to_be_hidden()
        search.fill("haystack")
        expect(page.locator("#history")).to_contain_text("Nothing in your history")
        page.get_by_role("button", name="New chat").focus()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_editors_and_dialogs(
    browser: Browser,
    site: tuple[Site, str],
    theme: Any,
) -> None:
    with alice(browser, site, "hostile") as page:
        page.emulate_media(color_scheme=theme)
        assert findings(page) == []  # the gallery, beside an empty chat
        page.get_by_role("button", name="Into another language").click()
        page.get_by_role("button", name="Add a tool").click()
        page.get_by_label("Answer format", exact=True).select_option("json_schema")
        page.get_by_label("JSON schema of the answer").fill("{")
        assert (
            findings(page) == []
        )  # variables, editors of tools and schemas, with their complaints
        page.get_by_label("Answer format", exact=True).select_option("text")
        page.get_by_label("Name of the tool").fill("weather")
        save_a_preset(page, f"Looked at in {theme}")
        assert findings(page) == []
        page.keyboard.press("Escape")
        page.get_by_label("Calls").select_option("none")
        expect(ask(page, "hello")).to_have_attribute("data-state", "finished")
        assert findings(page) == []  # an answer of all kinds of blocks, and its numbers
        page.get_by_role("button", name="Share").click()
        page.get_by_role("button", name="Make a link").click()
        expect(page.locator("#share-list a")).to_have_count(1)
        assert findings(page) == []
        page.keyboard.press("Escape")
        for key in ("Control+k", "?"):
            page.get_by_role("button", name="New chat").focus()
            page.keyboard.press(key)
            expect(page.get_by_role("dialog")).to_be_visible()
            assert findings(page) == []
            page.keyboard.press("Escape")
        page.get_by_test_id("view-code").click()
        expect(page.get_by_test_id("code-text")).to_contain_text("hello")
        assert findings(page) == []


def save_a_preset(page: Page, name: str) -> None:
    page.get_by_role("button", name="Presets", exact=True).click()
    page.get_by_label("Name of the preset").fill(name)
    with page.expect_request(lambda sent: sent.method == "POST") as saving:
        page.get_by_role("button", name="Save", exact=True).click()
    assert saving.value.headers["x-page-of"].startswith("org_"), "another tab may choose another"
    expect(page.locator("#preset-list [data-name]", has_text=name)).to_be_visible()
