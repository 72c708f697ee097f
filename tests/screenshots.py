"""Takes a picture of every page, in both languages, both themes and two widths.

`python -m tests.screenshots`, or `make screenshots`; `KIND=dark-phone-zh make screenshots` takes
those of one kind.

Starts the whole product with the shipped model, a stand-in for Stripe and a history of made-up
requests, drives Debian's Chromium, and writes PNG files into `screenshots/` (or the folder named as
the first argument). What is wider than its screen or complains in the console is printed.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path

from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Route,
    ViewportSize,
    expect,
    sync_playwright,
)

from tests.billing.stripe_double import SECRET_KEY, WEBHOOK_SECRET, stripe_double
from tests.environment import REPOSITORY
from tests.shown_mails import Pages, rendered
from tests.shown_pages import CONSOLE, EMPTY, PUBLIC, REFERENCE, SIGNED_IN, WELCOME
from tests.shown_site import EMAIL, NEWCOMER, PASSWORD, make_history
from tests.story.site import Site, embedded_site

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
LANGUAGES = {"en": "en-US", "zh": "zh-CN"}
OURS = {"en": "en", "zh": "zh-hans"}
SIZES: dict[str, ViewportSize] = {
    "desktop": {"width": 1280, "height": 800},
    "phone": {"width": 390, "height": 844},
}
KINDS = {
    f"{theme}-{size}-{language}": {
        "viewport": SIZES[size], "color_scheme": theme, "locale": LANGUAGES[language]
    }
    for language, theme, size in product(LANGUAGES, ("light", "dark"), SIZES)
}  # fmt: skip


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = os.environ.get("KIND", "").split() or list(KINDS)
    with (
        tempfile.TemporaryDirectory(prefix="parlance-shots-") as data_dir,
        stripe_double() as stripe,
        embedded_site(
            Path(data_dir),
            STRIPE_SECRET_KEY=SECRET_KEY,
            STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRET,
            STRIPE_API_BASE=stripe.url,
        ) as site,
        sync_playwright() as playwright,
    ):
        ids = make_history(site)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        mails = {language: rendered(site, code) for language, code in OURS.items()}
        for kind in wanted:
            Album(browser, site, folder, kind, ids).take_all(mails[kind[-2:]])
        browser.close()


class Album:
    """The pictures of one kind, in one browser context at a time."""

    def __init__(
        self, browser: Browser, site: Site, folder: Path, kind: str, ids: Mapping[str, str]
    ) -> None:
        self.site = site
        self.folder = folder
        self.kind = kind
        self.ids = ids
        options = {**KINDS[kind], "base_url": site.url}
        self.context: BrowserContext = browser.new_context(**options)  # type: ignore[arg-type]
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.complain(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complain("error", str(error)))

    def take_all(self, mails: Pages) -> None:
        self.each(PUBLIC | REFERENCE)
        self.refused()
        self.without_address(mails)
        sign_in(self.page, NEWCOMER, "**/{welcome,portal}/")
        self.each(WELCOME)
        self.context.clear_cookies()
        sign_in(self.page, EMAIL, "**/portal/")
        self.each(SIGNED_IN)
        self.drawer()
        self.question()
        self.playground()
        self.switch()
        self.each(EMPTY)
        self.context.clear_cookies()
        sign_in_as_operator(self.page, self.site)
        self.each(CONSOLE)
        self.trouble()
        self.visit()
        self.context.close()

    def each(self, pages: Mapping[str, str]) -> None:
        for title, path in pages.items():
            self.page.goto(path.format(**self.ids))
            if "/reauthenticate/" in self.page.url:  # a while after signing in
                self.take("account-again")
                self.page.locator("[name=password]").fill(PASSWORD)
                self.page.locator("form:has([name=password]) [type=submit]").click()
            self.page.wait_for_load_state("networkidle")  # the reference is drawn by scripts
            self.take(title)

    def take(self, title: str, *, whole: bool = True) -> None:
        """Not `whole`: what the window shows, as of a dialog."""
        self.page.wait_for_timeout(250)
        target = self.folder / f"{title}-{self.kind}.png"
        width = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        if width > 0:
            print(f"{target.name}: {width} px wider than the screen")
        self.page.screenshot(path=target, full_page=whole)

    def refused(self) -> None:
        """A form that another site could have sent."""
        self.page.goto("/accounts/login/")
        self.page.locator("form:has([name=password]) [name=csrfmiddlewaretoken]").evaluate(
            "token => token.remove()"
        )
        self.page.locator("[name=login]").fill(EMAIL)
        self.page.locator("[name=password]").fill(PASSWORD)
        self.page.keyboard.press("Enter")
        self.page.wait_for_load_state()
        self.take("refused")

    def without_address(self, pages: Pages) -> None:
        for title, html in pages.items():
            self.page.route("**/shown/", answering_with(html))
            self.page.goto("/shown/")
            self.take(title)
            self.page.unroute("**/shown/")

    def drawer(self) -> None:
        self.page.goto("/portal/requests/")
        self.page.locator("[data-drawer]").first.click()
        expect(self.page.locator("dialog.drawer .request-id")).to_be_visible()
        self.take("request-drawer", whole=False)

    def question(self) -> None:
        self.page.goto("/portal/members/")
        self.page.locator("confirm-submit .danger").last.click()
        self.take("question", whole=False)

    def switch(self) -> None:
        """To the organisation in which nothing has happened."""
        if "phone" in self.kind:
            self.page.goto("/portal/")
            self.page.locator("[popovertarget=sidebar]").first.click()
        self.page.locator(".sidebar details summary").first.click()
        self.take("organisations", whole=False)
        with self.page.expect_navigation():
            self.page.get_by_role("button", name="Empty Works").click()

    # --- The playground ------------------------------------------------------------------------

    def playground(self) -> None:
        page = self.page
        self.open_playground("playground", "")
        self.open_playground("playground-chat", f"?conversation={self.ids['chat']}")
        self.dialogs()
        if "phone" in self.kind:
            page.locator(".playground-settings-button").click()
            self.take("playground-settings", whole=False)
        self.open_playground("playground-completion", f"?conversation={self.ids['completion']}")
        self.live_answer()
        self.compared()

    def open_playground(self, title: str, query: str) -> None:
        self.page.goto(f"/playground/{query}")
        expect(self.page.get_by_test_id("run")).to_be_enabled()
        self.take(title, whole=False)

    def dialogs(self) -> None:
        for button, dialog in (
            ("#view-code", "#code-dialog"),
            ("#presets", "#presets-dialog"),
            ("#share", "#share-dialog"),
            ("#open-palette", "#palette"),
        ):
            self.page.locator(button).click()
            expect(self.page.locator(dialog)).to_be_visible()
            self.page.wait_for_timeout(300)  # what it fetches
            self.take(f"playground{dialog.replace('#', '-')}", whole=False)
            self.page.locator(dialog).evaluate("dialog => dialog.close()")
        self.page.locator("#keys-dialog").evaluate("dialog => dialog.showModal()")
        self.take("playground-keys-dialog", whole=False)
        self.page.locator("#keys-dialog").evaluate("dialog => dialog.close()")

    def live_answer(self) -> None:
        """A real one, with its probabilities, and a tool to call."""
        page = self.page
        page.goto("/playground/")
        self.settings(open_=True)
        page.locator("[data-structure=logprobs]").check()
        page.locator("[data-add-tool]").click()
        self.take("playground-tool", whole=False)
        page.locator("[data-tool=remove]").click()
        self.settings(open_=False)
        page.locator("#composer textarea").fill("What is Parlance?")
        page.get_by_test_id("run").click()
        answer = page.get_by_test_id("answer").last
        expect(answer).to_have_attribute("data-state", "finished", timeout=60_000)
        answer.hover()
        answer.locator("[data-action=probabilities]").click()
        answer.locator("[data-tokens]").focus()
        page.keyboard.press("ArrowRight")
        self.take("playground-probabilities", whole=False)

    def settings(self, *, open_: bool) -> None:
        """On a phone they are a sheet."""
        if "phone" in self.kind:
            action = "showPopover" if open_ else "hidePopover"
            self.page.locator("#settings").evaluate(f"settings => settings.{action}()")

    def compared(self) -> None:
        page = self.page
        page.goto("/playground/")
        page.get_by_test_id("compare").click()
        page.locator("#composer textarea").fill("Tell me a short story about a robot.")
        page.get_by_test_id("run").click()
        for pane in page.get_by_test_id("pane").all():
            answer = pane.get_by_test_id("answer")
            expect(answer).to_have_attribute("data-state", "finished", timeout=60_000)
        self.take("playground-compare", whole=False)

    # --- The operator --------------------------------------------------------------------------

    def trouble(self) -> None:
        """A model that no engine can load."""
        self.site.manage("loadmodel", "small-vectors")
        self.page.goto("/status/")
        expect(self.page.locator("live-fragment .message.bad")).to_be_visible(timeout=30_000)
        self.each({"status-trouble": "/status/"})
        self.each({"operator-engines-trouble": "/operator/inference/servedmodel/engines/"})
        self.site.manage("unloadmodel", "small-vectors")

    def visit(self) -> None:
        page = self.page
        page.goto(f"/operator/accounts/organisation/{self.ids['organisation']}/visit/")
        page.locator("[name=reason]").fill("Ticket 7: a charge that looks wrong")
        page.locator("form:has([name=reason]) [type=submit]").click()
        page.wait_for_url("**/portal/")
        self.each({"visit": "/portal/"})
        page.goto("/portal/billing/")
        # To the page itself: a visitor may choose a language, and send nothing else.
        page.locator("form[action*=language]").last.evaluate(
            "form => { form.action = location.pathname; form.submit(); }"
        )
        page.wait_for_load_state()
        self.take("visit-refused")

    def complain(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            print(f"{self.kind} {self.page.url}: {kind}: {text[:300]}")


def answering_with(html: str) -> Callable[[Route], None]:
    return lambda route: route.fulfill(body=html, content_type="text/html; charset=utf-8")


def sign_in(page: Page, email: str, arrival: str) -> None:
    page.goto("/accounts/login/")
    page.locator("[name=login]").fill(email)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("form:has([name=password]) [type=submit]").click()
    page.wait_for_url(arrival)


def sign_in_as_operator(page: Page, site: Site) -> None:
    """By a link of `manage.py operatorlink`, which works once."""
    words = site.manage("operatorlink").split()
    page.goto(next(word for word in words if "operator-link" in word))
    page.locator("main form [type=submit]").click()
    page.wait_for_url("**/operator/")


if __name__ == "__main__":
    main()
