"""Where keys go: what Escape means, where the focus goes; and that no mode loses a text."""

import re

import pytest
from playwright.sync_api import APIResponse, Browser, Locator, Page, Route, expect

from tests.playground.in_browser import ask, composer, page, site, until
from tests.story.site import Site


def test_escape_first_closes_what_is_open_and_only_then_ends_an_answer(page: Page) -> None:
    answer = ask(page, "hello")
    menu = page.locator("#settings summary", has_text="Export all")
    menu.click()
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
    expect(page.locator("#settings drop-menu [open]")).to_have_count(0)
    page.locator("#history-search").fill("zebra")
    page.keyboard.press("Escape")
    expect(page.locator("#history-search")).to_have_value("")
    composer(page).focus()
    composer(page).dispatch_event("keydown", {"key": "Escape", "isComposing": True})
    expect(answer).to_contain_text("word40")
    expect(answer).to_have_attribute("data-state", "streaming")
    page.keyboard.press("Escape")
    expect(answer).to_have_attribute("data-state", "finished")


def test_what_is_still_composed_does_not_run(page: Page) -> None:
    composer(page).fill("ni hao")
    pressed = {"key": "Enter", "ctrlKey": True, "bubbles": True}
    composer(page).dispatch_event("keydown", {**pressed, "isComposing": True})
    expect(composer(page)).to_have_value("ni hao")
    composer(page).dispatch_event("keydown", pressed)
    expect(composer(page)).to_have_value("")
    expect(page.locator(".turn").first).to_contain_text("ni hao")
    page.keyboard.press("Escape")


def test_escape_closes_the_settings_of_a_phone_and_then_ends_an_answer(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    answer = ask(page, "hello")
    page.locator(".playground-settings-button").click()
    page.keyboard.press("Escape")
    expect(page.locator("#settings")).to_be_hidden()
    expect(answer).to_contain_text("word20")
    expect(answer).to_have_attribute("data-state", "streaming")
    page.keyboard.press("Escape")
    expect(answer).to_have_attribute("data-state", "finished")


def test_the_focus_is_never_lost_with_what_had_it(page: Page) -> None:
    composer(page).fill("hello")
    page.get_by_test_id("run").focus()
    page.keyboard.press("Enter")
    expect(composer(page)).to_be_focused()
    page.get_by_test_id("stop").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("stop")).to_be_hidden()
    expect(composer(page)).to_be_focused()
    edit = page.locator(".turn").first.get_by_role("button", name="Edit")
    for leave in ("Escape", "Control+Enter"):
        edit.focus()
        page.keyboard.press("Enter")
        page.keyboard.press(leave)
        expect(edit).to_be_focused()
    again = page.get_by_test_id("answer").get_by_role("button", name="Run again from here")
    again.focus()
    page.keyboard.press("Enter")
    expect(composer(page)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("answer")).to_have_attribute("data-state", "finished")
    remove = page.get_by_role("button", name="Delete", exact=True)
    remove.first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".turn")).to_have_count(1)
    expect(remove.first).to_be_focused()
    page.keyboard.press("Enter")
    expect(composer(page)).to_be_focused()


def test_who_clicks_beside_everything_keeps_the_focus_there(page: Page) -> None:
    """As to select a part of an answer while another one comes."""
    ask(page, "hello")
    page.locator(".turn-text").first.click()
    expect(page.get_by_test_id("answer")).to_contain_text("word20")
    expect(composer(page)).not_to_be_focused()


def test_the_history_is_searched_from_the_palette_of_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.keyboard.press("Control+k")
    page.keyboard.type("search the hist")
    page.keyboard.press("Enter")
    expect(page.locator("#history-search")).to_be_focused()


def test_the_palette_opens_over_no_other_dialog(page: Page) -> None:
    page.get_by_role("button", name="New chat").focus()
    page.keyboard.press("?")
    expect(page.locator("#keys-dialog")).to_be_visible()
    page.keyboard.press("Control+k")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    for shown in (1, 0):
        page.keyboard.press("Control+k")
        expect(page.get_by_role("dialog")).to_have_count(shown)


def test_the_history_keeps_the_focus_and_the_latest_list_whichever_comes_last(page: Page) -> None:
    """It is brought anew after each answer."""
    latest = page.locator("#history .history a[data-conversation]").first

    def answered(question: str, num_lists: int) -> None:
        page.get_by_role("button", name="New chat").click()
        expect(ask(page, question)).to_contain_text("word3")
        page.locator("#history summary").last.focus()
        page.keyboard.press("Escape")
        until(lambda: page.wait_for_timeout(50) or len(held) == num_lists)

    held: list[tuple[Route, APIResponse]] = []
    expect(ask(page, "the first")).to_contain_text("word3")
    page.keyboard.press("Escape")
    expect(latest).to_have_text("the first")
    page.route("**/conversations/?q=", lambda route: held.append((route, route.fetch())))
    answered("the second", 1)
    answered("the third", 2)
    for route, response in reversed(held):
        route.fulfill(response=response)
        page.wait_for_timeout(300)  # for what must not happen
        expect(latest).to_have_text("the third")
    expect(page.locator("#history summary").last).to_be_focused()


def test_code_in_a_dialog_is_copied_without_https(page: Page) -> None:
    """As on an address of the local network, where the clipboard has no interface."""
    page.evaluate("""() => {
      Object.defineProperty(navigator, "clipboard", { value: undefined });
      document.addEventListener("copy", () => { window.copied = document.activeElement.value; });
    }""")
    page.get_by_test_id("view-code").click()
    button = page.locator("#code-dialog copy-button button")
    expect(button).to_be_visible()  # what is hidden until the code is there takes no focus
    button.focus()
    page.keyboard.press("c")
    expect(button).to_have_text("Copied")
    expect(button).to_be_focused()
    shown = page.get_by_test_id("code-text").inner_text()
    assert page.evaluate("window.copied") == shown.strip()


def test_a_look_at_the_other_mode_loses_nothing(page: Page) -> None:
    text = page.get_by_label("Text to continue")
    composer(page).fill("added")
    page.get_by_role("button", name="Add", exact=True).click()
    composer(page).fill("half written")
    page.get_by_text("Completion", exact=True).click()
    text.fill("It was ")
    page.get_by_text("Chat", exact=True).click()
    expect(page.locator(".turn")).to_contain_text("added")
    page.get_by_text("Completion", exact=True).click()
    expect(text).to_have_value("It was ")
    page.keyboard.press("Control+Enter")
    expect(text).to_have_value("It was word0 word1 word")
    page.reload()
    expect(text).to_have_value("It was word0 word1 word")
    page.get_by_text("Chat", exact=True).click()
    expect(composer(page)).to_have_value("half written")
    expect(page.locator(".turn")).to_contain_text("added")


def test_what_ends_while_the_page_is_loaded_again_is_there_then(page: Page) -> None:
    """The answer gets an address that the page under way was not asked for by."""
    loads: list[Route] = []
    answer = ask(page, "hello")
    expect(answer).to_contain_text("word3")
    composer(page).fill("half written")
    page.route("**/playground/?model=slow", lambda route: loads.append(route))
    with page.expect_request("**/playground/?model=slow"):
        page.evaluate("location.reload()")
    page.keyboard.press("Escape")
    page.wait_for_url(re.compile("conversation="), wait_until="commit")
    with page.expect_event("load"):
        for load in loads:
            load.continue_()
    expect(page.get_by_test_id("answer")).to_contain_text("word3")
    expect(composer(page)).to_have_value("half written")
    expect(page).to_have_url(re.compile("conversation="))


END_AS_THE_PAGE_LEAVES = """
    window.addEventListener("beforeunload", () => window.end?.()); // before the page's own
    const Socket = window.WebSocket;
    window.WebSocket = class extends Socket {
      constructor(url) {
        super(url);
        this.addEventListener("message", (event) => {
          if (!event.isTrusted || JSON.parse(event.data).type !== "finished") return;
          event.stopImmediatePropagation();
          const late = new MessageEvent("message", { data: event.data });
          window.end = () => this.dispatchEvent(late);
        });
      }
    };
"""


def test_what_ends_as_the_page_is_asked_whether_it_may_go_is_there_again(page: Page) -> None:
    """The browser is on its way to the address that the answer's end replaces."""
    page.add_init_script(END_AS_THE_PAGE_LEAVES)
    page.reload()
    composer(page).fill("half written")
    page.get_by_text("Completion", exact=True).click()
    text = page.get_by_label("Text to continue")
    text.fill("It was ")
    page.keyboard.press("Control+Enter")
    until(lambda: page.evaluate("window.end !== undefined"))
    with page.expect_request("**/playground/?model=slow"):
        page.reload()
    expect(text).to_have_value("It was word0 word1 word")
    expect(page).to_have_url(re.compile("conversation=conv_"))
    page.goto(page.url.partition("?")[0])
    expect(page.get_by_test_id("run")).to_be_enabled()
    expect(composer(page)).to_have_value("")  # what was left is another address's


def test_what_runs_in_the_other_mode_ends_and_is_kept(page: Page) -> None:
    answer = ask(page, "hello")
    expect(answer).to_contain_text("word3")
    page.get_by_text("Completion", exact=True).click()
    expect(page.get_by_test_id("stop")).to_be_hidden()
    page.get_by_text("Chat", exact=True).click()
    expect(answer.locator("[data-stat=finish_reason]")).to_have_text("stopped")
    expect(page).to_have_url(re.compile("conversation=conv_"))
