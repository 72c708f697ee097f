"""What somebody wrote and nothing else keeps is not lost by one press, nor by a way elsewhere."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.playground.in_browser import HOSTILE, alice, ask, composer, site, until
from tests.playground.test_panes_in_browser import KEEP_FRAMES, runs
from tests.playground.test_presets_in_browser import save_a_preset
from tests.story.site import Site, session_of

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Browser, site: tuple[Site, str]) -> Iterator[Page]:
    with alice(browser, site, script=KEEP_FRAMES) as page:
        yield page


def asked(page: Page) -> Locator:
    return page.get_by_role("dialog", name="Replace what you have written?")


def test_a_starter_is_asked_and_the_draft_stays(page: Page) -> None:
    composer(page).fill("half written")
    starter = page.locator("[data-starter]").first
    text = starter.inner_text()
    starter.click()
    expect(page.locator(".turn [data-text]").first).to_have_text(text)
    expect(page.get_by_test_id("answer")).to_be_visible()
    expect(composer(page)).to_have_value("half written")
    page.keyboard.press("Escape")


def test_an_example_replaces_a_draft_only_when_that_was_meant(page: Page) -> None:
    composer(page).fill("half written")
    page.get_by_label("System prompt").fill("Long instructions.")
    page.get_by_role("button", name="Into another language").click()
    page.keyboard.press("Escape")
    expect(composer(page)).to_have_value("half written")
    expect(page.get_by_label("System prompt")).to_have_value("Long instructions.")
    page.get_by_role("button", name="Into another language").click()
    asked(page).get_by_role("button", name="Replace").click()
    expect(composer(page)).to_have_value("{{text}}")
    expect(composer(page)).to_be_focused()
    # What an example brought is not asked about; nor is it once something was written and saved.
    page.get_by_role("button", name="A contact as JSON").click()
    expect(composer(page)).not_to_have_value("{{text}}")
    expect(asked(page)).to_be_hidden()
    composer(page).fill("Saved")
    save_a_preset(page, "Written")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Into another language").click()
    expect(composer(page)).to_have_value("{{text}}")
    page.get_by_role("textbox", name="text").fill("A long text")
    page.get_by_role("button", name="A contact as JSON").click()
    expect(asked(page)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("textbox", name="text")).to_have_value("A long text")


def test_a_preset_replaces_what_was_said_only_when_that_was_meant(page: Page) -> None:
    composer(page).fill("Of the preset")
    save_a_preset(page, "Opened")
    page.keyboard.press("Escape")
    composer(page).fill("said and never run")
    page.get_by_role("button", name="Add", exact=True).click()
    composer(page).fill("draft")
    for button, shown in (("Cancel", "said and never run"), ("Replace", "Of the preset")):
        open_a_preset(page, "Opened")
        asked(page).get_by_role("button", name=button).click()
        expect(page.locator(".turn [data-text]")).to_have_text(shown)
    expect(composer(page)).to_have_value("draft")
    expect(ask(page, "run")).to_have_attribute("data-state", "streaming")
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile("conversation=conv_"))
    open_a_preset(page, "Opened")  # what ran is in the history
    expect(page.locator(".turn")).to_have_count(1)
    expect(page.locator(".turn [data-text]")).to_have_text("Of the preset")


def test_a_text_to_continue_is_not_replaced_unasked(page: Page) -> None:
    page.get_by_text("Completion", exact=True).click()
    text = page.get_by_label("Text to continue")
    text.fill("Of the preset")
    save_a_preset(page, "Text")
    page.keyboard.press("Escape")
    text.fill("It was a dark")
    open_a_preset(page, "Text")
    page.keyboard.press("Escape")
    expect(text).to_have_value("It was a dark")


def test_a_new_chat_begins_without_messages_that_never_ran_only_when_that_was_meant(
    page: Page,
) -> None:
    composer(page).fill("never run")
    page.get_by_role("button", name="Add", exact=True).click()
    composer(page).fill("draft")
    begin = page.get_by_role("button", name="New chat")
    begin.click()
    page.keyboard.press("Escape")
    expect(page.locator(".turn [data-text]")).to_have_text("never run")
    begin.click()
    page.get_by_role("dialog", name="Start over").get_by_role("button", name="Start over").click()
    expect(page.locator(".turn")).to_have_count(0)
    expect(composer(page)).to_have_value("draft")
    expect(ask(page, "run")).to_contain_text("word3")
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile("conversation=conv_"))
    page.get_by_role("button", name="Edit").first.click()
    page.locator("[data-editor] textarea").first.fill("half an edit")
    begin.click()
    expect(page.get_by_role("dialog", name="Start over")).to_be_visible()
    page.get_by_role("button", name="Cancel").last.click()
    expect(page.locator("[data-editor] textarea").first).to_have_value("half an edit")
    page.reload()
    expect(page.locator("[data-editor] textarea").first).to_have_value("half an edit")
    expect(page.get_by_test_id("run")).to_be_enabled()
    page.locator(".turn").first.get_by_role("button", name="Cancel").click()
    begin.click()  # what ran is in the history
    expect(page.locator(".turn")).to_have_count(0)


def test_a_pane_is_closed_with_what_it_alone_says_only_when_that_was_meant(page: Page) -> None:
    page.get_by_label("System prompt").fill("Of all panes.")
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("button", name="Compare").click()
    panes = page.get_by_test_id("pane")
    close = panes.last.get_by_role("button", name="Close this pane")
    composer(page).fill("to all of them")
    page.get_by_role("button", name="Add", exact=True).click()
    close.click()  # the others say the same
    expect(panes).to_have_count(2)
    panes.last.get_by_role("button", name="Settings of this pane").click()
    page.get_by_label("System prompt").fill("Of this one alone.")
    question = page.get_by_role("dialog", name="Close this pane?")
    for button, number in (("Cancel", 2), ("Close", 1)):
        close.click()
        question.get_by_role("button", name=button, exact=True).click()
        expect(panes).to_have_count(number)
    expect(page.get_by_label("System prompt")).to_have_value("Of all panes.")


def test_a_pane_is_closed_unasked_in_the_middle_of_its_answer(page: Page) -> None:
    """Nobody wrote the answer, and the question is the other pane's too."""
    page.get_by_role("button", name="Compare").click()
    ask(page, "hello")
    panes = page.get_by_test_id("pane")
    expect(panes.last.get_by_test_id("answer")).to_contain_text("word3")
    panes.first.locator("[data-pane=stop]").click()
    expect(panes.first.get_by_test_id("answer")).to_have_attribute("data-state", "finished")
    panes.last.get_by_role("button", name="Close this pane").click()
    expect(panes).to_have_count(1)


def test_running_again_in_the_middle_deletes_what_follows_only_when_that_was_meant(
    browser: Browser, site: tuple[Site, str]
) -> None:
    with alice(browser, site, "hostile") as page:
        turns = page.locator(".turn")
        for number, text in enumerate(("first", "second"), 1):
            answer = ask(page, text)
            expect(turns).to_have_count(2 * number)
            expect(answer).to_have_attribute("data-state", "finished")
        again = page.get_by_role("button", name="Run again from here")
        for button, number in (("Cancel", 4), ("Run again", 2)):
            again.first.click()
            question = page.get_by_role("dialog", name="All later messages will be deleted")
            question.get_by_role("button", name=button, exact=True).click()
            expect(turns).to_have_count(number)
        expect(answer).to_have_attribute("data-state", "finished")
        again.first.click()  # its answer alone is had again
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(turns).to_have_count(2)
        expect(answer).to_have_attribute("data-state", "finished")
        answer.get_by_role("button", name="Edit").click()
        answer.get_by_label("Message").fill("what I would have said")
        answer.get_by_role("button", name="Save").click()
        again.first.click()
        question.get_by_role("button", name="Cancel").click()
        expect(answer).to_contain_text("what I would have said")


def open_a_preset(page: Page, name: str) -> None:
    page.get_by_role("button", name="Presets").click()
    page.locator("#preset-list").get_by_role("button", name=name, exact=True).click()


def test_an_edit_that_was_left_goes_on_where_it_was(page: Page) -> None:
    composer(page).fill("first")
    page.get_by_role("button", name="Add", exact=True).click()
    turn = page.locator(".turn").first
    edit, area = turn.get_by_role("button", name="Edit"), turn.locator("[data-editor] textarea")
    edit.click()
    area.fill("first, and much more")
    page.keyboard.press("Escape")
    expect(turn.locator("[data-text]")).to_have_text("first")
    page.keyboard.press("Enter")  # the focus is on the button
    expect(area).to_have_value("first, and much more")
    turn.get_by_role("button", name="Cancel").click()
    edit.click()
    expect(area).to_have_value("first")
    area.fill("second")
    page.keyboard.press("Control+Enter")
    edit.click()
    expect(area).to_have_value("second")


def test_only_a_message_that_is_edited_has_a_form(page: Page) -> None:
    """Browsers read all forms of a page again when one comes, and long chats stood still."""
    for text in ("first", "second"):
        composer(page).fill(text)
        page.get_by_role("button", name="Add", exact=True).click()
    forms = page.locator(".turn form")
    expect(page.locator(".turn")).to_have_count(2)
    expect(forms).to_have_count(0)
    page.get_by_role("button", name="Edit").last.click()
    expect(forms).to_have_count(1)
    forms.locator("textarea").fill("other")
    forms.get_by_role("button", name="Save").click()
    expect(page.locator(".turn [data-text]").last).to_have_text("other")


def test_what_runs_is_what_stands_in_an_open_editor(page: Page) -> None:
    """Else it would be the old text that is answered and paid for."""
    composer(page).fill("old text")
    page.get_by_role("button", name="Add", exact=True).click()
    turn = page.locator(".turn").first
    turn.get_by_role("button", name="Edit").click()
    turn.locator("[data-editor] textarea").fill("new text")
    page.get_by_test_id("run").click()
    [frame] = runs(page)
    assert [message["content"] for message in frame["messages"]] == ["new text"]
    expect(turn.locator("[data-text]")).to_have_text("new text")
    expect(page.get_by_test_id("answer")).to_contain_text("word3")
    page.keyboard.press("Escape")


def test_who_goes_elsewhere_and_comes_back_finds_what_they_wrote(page: Page) -> None:
    page.get_by_label("System prompt").fill("Be brief.")
    composer(page).fill("never run")
    page.get_by_role("button", name="Add", exact=True).click()
    composer(page).fill("half written")
    there_and_back(page)
    expect(page.locator(".turn [data-text]")).to_have_text("never run")
    expect(page.get_by_label("System prompt")).to_have_value("Be brief.")
    expect(composer(page)).to_have_value("half written")
    page.goto("/portal/")
    page.goto("/playground/?model=hostile")
    expect(composer(page)).to_have_value("half written")
    expect(page.locator("#model")).to_have_value("hostile")
    page.locator("#model").select_option("slow")
    expect(page.get_by_test_id("run")).to_be_enabled()
    composer(page).press("Control+Enter")
    expect(page.get_by_test_id("answer")).to_contain_text("word3")
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile("conversation=conv_"))
    there_and_back(page)  # it is kept, so the link begins anew
    expect(page.get_by_role("heading", name="Ask a model something")).to_be_visible()
    expect(composer(page)).to_have_value("")


def test_what_is_half_written_below_a_conversation_waits_there(page: Page) -> None:
    expect(ask(page, "hello")).to_contain_text("word3")
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile("conversation=conv_"))
    address = page.url
    composer(page).fill("and then?")
    there_and_back(page)
    expect(composer(page)).to_have_value("")
    page.goto(address)
    expect(page.get_by_test_id("answer")).to_have_attribute("data-state", "finished")
    expect(composer(page)).to_have_value("and then?")


def test_a_tab_whose_memory_was_taken_in_the_background_has_the_text(page: Page) -> None:
    composer(page).fill("half written")
    put_in_the_background(page)
    page.evaluate("""() => {
      window.addEventListener("pagehide", (event) => event.stopImmediatePropagation(), true);
    }""")
    page.reload()
    expect(composer(page)).to_have_value("half written")


def test_what_got_its_address_in_the_background_is_not_in_the_way_of_a_new_chat(
    page: Page,
) -> None:
    expect(ask(page, "hello")).to_have_attribute("data-state", "streaming")
    put_in_the_background(page)
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile("conversation=conv_"))
    there_and_back(page)
    expect(page.get_by_role("heading", name="Ask a model something")).to_be_visible()
    expect(page.locator(".turn")).to_have_count(0)


def put_in_the_background(page: Page) -> None:
    page.evaluate("""() => {
      Object.defineProperty(document, "hidden", { value: true, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }""")


def there_and_back(page: Page) -> None:
    page.get_by_role("link", name="Billing", exact=True).click()
    page.wait_for_url("**/billing/")
    page.get_by_role("link", name="Playground", exact=True).click()
    page.wait_for_url("**/playground/**")


def test_what_a_tab_keeps_goes_with_who_signs_out(browser: Browser, site: tuple[Site, str]) -> None:
    running, _session = site  # which other tests use
    session = session_of(running, "alice@example.com")
    with alice(browser, (running, session)) as page:
        composer(page).fill("of nobody else's business")
        page.reload()
        expect(composer(page)).to_have_value("of nobody else's business")
        page.locator("summary.account").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_url(f"{running.url}/")
        until(lambda: page.evaluate("sessionStorage.length") == 0)


def test_a_message_is_copied_as_it_was_written(browser: Browser, site: tuple[Site, str]) -> None:
    """Of an answer its Markdown: what is selected on the page has lost it."""
    with alice(browser, site, "hostile") as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        answer = ask(page, "a *question*")
        expect(answer).to_have_attribute("data-state", "finished")
        for turn, text in ((answer, HOSTILE), (page.locator(".turn").first, "a *question*")):
            turn.hover()
            turn.locator(".turn-head").get_by_role("button", name="Copy").click()
            expect(turn.locator(".turn-head").get_by_role("status")).to_have_text("Copied")
            assert page.evaluate("navigator.clipboard.readText()").strip() == text.strip()
