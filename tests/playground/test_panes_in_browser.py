"""Tools, forms, probabilities, completions, variables and panes, in a real browser."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.axe import findings
from tests.playground.in_browser import alice, ask, listed, site, until, wait_until_listed
from tests.story.site import Site

pytestmark = pytest.mark.browser

KEEP_FRAMES = """
window.sent = [];
window.sockets = 0;
const Real = WebSocket;
window.WebSocket = class extends Real {
  constructor(url) { super(url); window.sockets += 1; window.lastSocket = this; }
  send(text) { window.sent.push(JSON.parse(text)); super.send(text); }
};
"""


def runs(page: Page) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = page.evaluate("window.sent")
    return [frame for frame in sent if frame["type"] == "run"]


def test_a_tool_is_called_answered_by_hand_and_the_conversation_goes_on(
    browser: Browser,
    site: tuple[Site, str],
) -> None:
    with alice(browser, site, "hostile", KEEP_FRAMES) as page:
        page.get_by_role("button", name="Add a tool").click()
        expect(page.get_by_label("Name of the tool")).to_be_focused()
        wrong_name = page.get_by_text("A name has 1 to 64 letters")
        expect(wrong_name).to_be_hidden()  # nobody has typed one yet
        page.get_by_test_id("run").click()
        expect(wrong_name).to_be_visible()
        schema = page.get_by_label("JSON schema of its arguments")
        page.get_by_label("Name of the tool").fill("get weather")
        page.locator("#composer textarea").fill("hello")
        page.get_by_test_id("run").click()
        expect(wrong_name).to_be_visible()
        expect(page.get_by_label("Name of the tool")).to_be_focused()
        page.get_by_label("Name of the tool").fill("weather")
        schema.fill('{"type": "object",}')
        expect(page.get_by_text("Not JSON: line 1, column 19.")).to_be_visible()
        assert runs(page) == []
        schema.fill('{"type": "object", "properties": {"city": {"type": "string"}}}')
        page.get_by_role("combobox", name="Calls").select_option("=weather")
        answer = ask(page, "hello")
        expect(answer.locator("[data-call-name]")).to_have_text("weather")
        expect(answer.locator("[data-stat=finish_reason]")).to_have_text("call of a tool")
        page.get_by_role("combobox", name="Calls").select_option("none")
        answer.get_by_label("Answer of the tool").fill("It is dry.")
        answer.get_by_role("button", name="Answer and go on").click()
        expect(page.get_by_test_id("answer")).to_have_count(2)
        expect(page.get_by_test_id("answer").last).to_have_attribute("data-state", "finished")
        first, second = runs(page)
        assert first["parameters"]["tool_choice"]["function"]["name"] == "weather"
        roles = [message["role"] for message in second["messages"]]
        assert roles == ["user", "assistant", "tool"]
        [call] = second["messages"][1]["tool_calls"]
        assert second["messages"][2]["tool_call_id"] == call["id"]
        shown = page.locator("[data-call-arguments]").first.inner_text()
        assert call["function"]["arguments"] == shown


def test_an_answer_keeps_to_a_schema(browser: Browser, site: tuple[Site, str]) -> None:
    with alice(browser, site, "hostile") as page:
        page.get_by_label("Answer format", exact=True).select_option("json_schema")
        answer = ask(page, "hello")
        expect(answer).to_have_attribute("data-state", "finished")
        assert set(json.loads(answer.locator("[data-text]").inner_text())) == {"title", "year"}
        schema = page.get_by_label("JSON schema of the answer")
        schema.fill('{"type": "object", "not": {}}')
        answer = ask(page, "again")
        expect(answer).to_have_attribute("data-state", "error")
        expect(page.locator("[data-structure=schema-error]")).to_contain_text("cannot be enforced")
        page.get_by_role("button", name="Reset the answer format").click()
        expect(schema).to_be_hidden()


def test_tokens_tell_their_probability_by_pointer_and_by_keys(
    browser: Browser,
    site: tuple[Site, str],
) -> None:
    with alice(browser, site, "hostile") as page:
        page.get_by_role("checkbox", name="Probabilities").check()
        page.get_by_label("Alternatives for each token").fill("3")
        answer = ask(page, "hello")
        expect(answer).to_have_attribute("data-state", "finished")
        answer.hover()
        answer.get_by_role("button", name="Probabilities").click()
        tokens = answer.get_by_role("group", name="Tokens of the answer")
        tokens.focus()
        page.keyboard.press("ArrowRight")
        about = answer.locator("[data-about]")
        expect(about.locator("[data-say=token]")).to_have_text("␣")
        expect(about.locator("[data-top] li")).to_have_count(3)
        expect(about.locator("[data-say=chance]")).to_have_text("77.9 %")
        tokens.locator("[data-level]").nth(2).hover()
        expect(about.locator("[data-say=token]")).to_have_text("A")
        expect(answer.locator("[data-total]")).to_contain_text("perplexity 1.28")
        assert page.evaluate("window.pwned") is None
        assert tokens.locator("img, script, iframe").count() == 0
        assert findings(page) == []


def test_a_text_is_continued_again_and_taken_back(
    browser: Browser,
    site: tuple[Site, str],
) -> None:
    with alice(browser, site, script=KEEP_FRAMES) as page:
        page.get_by_text("Completion", exact=True).click()
        text = page.get_by_label("Text to continue")
        text.fill("{{toString}}")  # which every object has
        expect(page.get_by_role("textbox", name="toString")).to_have_value("")
        text.fill("Once upon a {{when}} ")
        page.get_by_label("when").fill("time")
        page.get_by_role("textbox", name="Max tokens").fill("2000")
        page.keyboard.press("Control+Enter")
        expect(text).to_have_js_property("readOnly", True)
        expect(text).not_to_have_value("Once upon a {{when}} ")
        page.keyboard.press("Escape")
        expect(page.locator("[data-stat=finish_reason]").last).to_have_text("stopped")
        page.get_by_role("textbox", name="Max tokens").fill("6")
        page.get_by_test_id("again").click()
        expect(text).to_have_value("Once upon a {{when}} word0 ")
        page.get_by_role("button", name="Take back").click()
        expect(text).to_have_value("Once upon a {{when}} ")
        assert [frame["prompt"] for frame in runs(page)] == ["Once upon a time "] * 2
        assert "messages" not in runs(page)[0]
        page.get_by_test_id("view-code").click()
        expect(page.get_by_test_id("code-text")).to_contain_text("/v1/completions")


def test_messages_are_added_and_moved_by_keyboard(
    browser: Browser,
    site: tuple[Site, str],
) -> None:
    with alice(browser, site, "hostile", KEEP_FRAMES) as page:
        for text in ("one", "two"):
            page.locator("#composer textarea").fill(text)
            page.get_by_role("button", name="Add", exact=True).click()
        assert page.locator(".turn [data-text]").all_inner_texts() == ["one", "two"]
        up = page.locator(".turn").last.get_by_role("button", name="Move up")
        up.focus()
        page.keyboard.press("Enter")
        expect(page.locator(".turn [data-text]").first).to_have_text("two")
        expect(page.locator(".turn").first.get_by_role("button", name="Move up")).to_be_focused()
        page.get_by_test_id("run").click()
        expect(page.get_by_test_id("answer").last).to_have_attribute("data-state", "finished")
        said = [(message["role"], message["content"]) for message in runs(page)[0]["messages"]]
        assert said == [("assistant", "two"), ("user", "one")]


def test_four_panes_stream_at_once_over_one_socket_and_one_is_stopped(
    browser: Browser,
    site: tuple[Site, str],
) -> None:
    with alice(browser, site, script=KEEP_FRAMES) as page:
        for number in range(3):
            page.get_by_test_id("compare").click()
            page.get_by_label("Temperature", exact=True).first.fill(f"0.{number + 1}")
        expect(page.get_by_test_id("compare")).to_be_disabled()
        page.locator("#composer textarea").fill("hello")
        page.get_by_test_id("run").click()
        panes = page.get_by_test_id("pane")
        for pane in panes.all():
            expect(pane.get_by_test_id("answer")).to_contain_text("word3")
        temperatures = [frame["parameters"].get("temperature", 1) for frame in runs(page)]
        assert temperatures == [1, 0.1, 0.2, 0.3]
        assert page.evaluate("window.sockets") == 1
        panes.nth(1).get_by_role("button", name="Stop").click()
        stopped = panes.nth(1).get_by_test_id("answer")
        expect(stopped).to_have_attribute("data-state", "finished")
        for place in (0, 2, 3):
            still = panes.nth(place).get_by_test_id("answer")
            assert still.get_attribute("data-state") == "streaming"
        page.locator("#composer textarea").focus()
        page.keyboard.press("Escape")
        expect(page.locator("[data-stat=finish_reason]", has_text="stopped")).to_have_count(4)
        page.get_by_role("checkbox", name="All panes").uncheck()
        page.locator("#composer textarea").fill("only here")
        panes.nth(2).get_by_role("button", name="Run this").click()
        expect(page.locator(".turn [data-text]", has_text="only here")).to_have_count(1)
        page.evaluate("window.lastSocket.close()")
        note = panes.nth(2).get_by_test_id("answer").last.locator("[data-note]")
        expect(note).not_to_be_empty()
        assert findings(page) == []


def test_panes_are_there_after_a_reload_and_what_ran_is_found_again(
    browser: Browser,
    site: tuple[Site, str],
) -> None:
    with alice(browser, site) as page:
        page.get_by_test_id("compare").click()
        page.get_by_label("Temperature", exact=True).first.fill("0.3")
        page.locator("#composer textarea").fill("hello")
        page.get_by_test_id("run").click()
        panes = page.get_by_test_id("pane")
        for pane in panes.all():
            expect(pane.get_by_test_id("answer")).to_contain_text("word3")
        panes.first.get_by_role("button", name="Stop").click()
        answers = [panes.nth(place).get_by_test_id("answer") for place in (0, 1)]
        expect(answers[0]).to_have_attribute("data-state", "finished")
        said = answers[0].locator("[data-text]").inner_text()
        page.locator("#composer textarea").fill("half a thought")
        page.reload()
        expect(panes).to_have_count(2)
        expect(answers[0].locator("[data-text]")).to_have_text(said)
        expect(answers[0].locator("[data-stat=finish_reason]")).to_have_text("stopped")
        expect(answers[1]).to_contain_text("word3")
        expect(answers[1].locator("[data-note]")).to_contain_text("The numbers below")
        expect(page.locator("#composer textarea")).to_have_value("half a thought")
        panes.nth(1).get_by_role("button", name="Settings of this pane").click()
        expect(page.get_by_label("Temperature", exact=True).first).to_have_value("0.3")
        page.goto("/playground/?model=slow")
        expect(panes).to_have_count(1)
        expect(page.locator("#composer textarea")).to_have_value("half a thought")


def test_a_model_that_is_gone_is_replaced_in_words(
    browser: Browser, site: tuple[Site, str]
) -> None:
    """Another one has another price; and what the menu shows is what runs."""
    change = "from inference.models import ServedModel as M; M.objects.filter(name='hostile')"
    said = "The model “hostile” is not available. “slow” is selected instead."
    with alice(browser, site, "hostile", KEEP_FRAMES) as page:
        expect(ask(page, "first")).to_have_attribute("data-state", "finished")
        page.wait_for_url(re.compile("conversation="))
        site[0].manage("shell", "-v0", "-c", f"{change}.update(is_public=False)")
        try:
            until(lambda: "hostile" not in listed(site[0]))
            page.reload()
            expect(page.get_by_test_id("run")).to_be_enabled()
            expect(page.get_by_text(said)).to_be_visible()
            page.goto(page.url)
            expect(page.get_by_test_id("run")).to_be_enabled()
            expect(page.get_by_text(said)).to_be_visible()
            expect(ask(page, "second")).to_contain_text("word3")
            assert runs(page)[-1]["model"] == page.locator("#model").input_value() == "slow"
            expect(page.get_by_text(said)).to_be_hidden()
            page.keyboard.press("Escape")
        finally:
            site[0].manage("shell", "-v0", "-c", f"{change}.update(is_public=True)")
            wait_until_listed(site[0])


def test_a_model_that_is_switched_off_says_so_and_is_not_what_another_mode_switches_to(
    browser: Browser, site: tuple[Site, str]
) -> None:
    def change(name: str, fields: str) -> None:
        models = "from inference.models import ServedModel as M; M.objects"
        site[0].manage("shell", "-v0", "-c", f"{models}.filter(name='{name}').update({fields})")

    change("hostile", "state='unloaded'")
    change("slow", "is_chat=False")
    try:
        until(lambda: "Switched off for now" in listed(site[0]))
        with alice(browser, site, "hostile") as page:
            page.keyboard.press("Control+k")
            page.locator("#palette input").fill("hostile")
            choice = page.locator("#palette [role=option]", has_text="hostile").first
            expect(choice).to_have_text("hostileSwitched off for now")
            page.keyboard.press("Escape")
            page.locator("#mode").get_by_text("Completion").click()
            page.locator("#model").select_option("slow")
            page.locator("#mode").get_by_text("Chat").click()
            expect(page.locator("#model")).to_have_value("starter")
    finally:
        change("hostile", "state='loaded'")
        change("slow", "is_chat=True")
        until(lambda: "Switched off for now" not in listed(site[0]))


def test_panes_beside_each_other_widen_no_phones_page(
    browser: Browser, site: tuple[Site, str]
) -> None:
    with alice(browser, site, "hostile") as page:
        page.set_viewport_size({"width": 390, "height": 844})
        page.get_by_test_id("compare").click()
        page.locator("#composer textarea").fill("hello")
        page.get_by_test_id("run").click()
        for pane in page.locator(".pane.beside").all():
            expect(pane.locator(".turn[data-state=finished]")).to_have_count(1)
        assert page.locator(".pane.beside").count() == 2
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_the_address_names_what_the_last_pane_says(
    browser: Browser, site: tuple[Site, str]
) -> None:
    with alice(browser, site, "hostile") as page:
        expect(ask(page, "first")).to_have_attribute("data-state", "finished")
        page.wait_for_url(re.compile("conversation="))
        first = page.url
        page.get_by_test_id("compare").click()
        page.locator("#composer textarea").fill("second")
        page.get_by_test_id("run").click()
        expect(page.locator("[data-testid=answer][data-state=finished]")).to_have_count(3)
        expect(page.locator("#history [aria-current]")).to_have_count(1)  # the second pane's
        page.get_by_test_id("pane").first.locator("[data-pane=close]").click()
        expect(page).not_to_have_url(first)
        conversation = page.locator("#history [aria-current]").get_attribute("data-conversation")
        assert page.url.endswith(f"?conversation={conversation}")
