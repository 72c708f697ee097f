"""The product's story in a real browser, from a stranger to a paying, signed-in developer.

On the embedded default (`manage.py serve`, SQLite, the starter model); in production's form:
tests/conformance/test_production.py. The picture in the README is taken here.
"""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser import Watch, visitor
from tests.story.site import Site, embedded_site, operator_link

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EMAIL = "dora@example.com"
PASSWORD = "a long enough phrase 42"
WELCOME_NANOS = 5 * 10**9
AUTHENTICATOR = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True,
    "hasUserVerification": True, "isUserVerified": True,
}  # fmt: skip


def test_from_stranger_to_developer(browser: Browser, tmp_path: Path) -> None:
    with embedded_site(tmp_path, fresh=True) as site:
        become_a_developer(browser, site)


def become_a_developer(browser: Browser, site: Site) -> None:
    """The whole story, on any form of the site."""
    with visitor(browser, site.url) as (page, watch):
        page.context.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        sign_up(page, site)
        call_as_shown(page)
        use_the_playground(page)
        everything_agrees(page, site)
        an_operator_grants_credit(browser, page, site)
        sign_in_with_a_passkey(page)
        assert_quiet(watch)
    site.audit()


def sign_up(page: Page, site: Site) -> None:
    """Sign up, then follow the link of the mail, which is kept in the outbox."""
    page.goto("/")
    page.goto("/accounts/signup/")
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    page.wait_for_url("**/accounts/confirm-email/")
    page.goto(confirmation_path(site))
    page.get_by_role("button", name="Yes, confirm it").click()
    page.wait_for_url(lambda url: "confirm-email" not in url)


def confirmation_path(site: Site) -> str:
    text = site.query_text(
        "SELECT text FROM accounts_outgoingmail WHERE text LIKE '%confirm-email/%'"
        " ORDER BY id DESC LIMIT 1"
    )
    word = next(word for word in text.split() if "/confirm-email/" in word)
    return word[word.index("/accounts/") :]


def call_as_shown(page: Page) -> None:
    """The welcome page's curl, run as printed, answers; the page notices."""
    page.goto("/welcome/")
    page.get_by_test_id("make-key").click()
    command = page.get_by_test_id("first-curl").locator("pre").inner_text()
    done = subprocess.run(
        ["bash", "-c", f"{command} --silent --show-error"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert len(answer["choices"][0]["text"].split()) > 20
    assert answer["usage"]["completion_tokens"] > 20
    arrived = page.get_by_test_id("first-call")
    expect(arrived).to_have_attribute("data-state", "arrived")


def use_the_playground(page: Page) -> None:
    """An answer streams to its end with its numbers; another is stopped half-way."""
    page.goto("/playground/")
    expect(page.get_by_test_id("run")).to_be_enabled()
    first = ask(page, "What is Parlance?")
    expect(first).to_have_attribute("data-state", "finished")
    assert len(first.locator("[data-text]").inner_text()) > 10
    expect(first.get_by_test_id("answer-stats")).to_be_visible()
    if folder := os.environ.get("STORY_SCREENSHOT"):
        page.screenshot(path=folder)
    stop_an_answer(page)


def stop_an_answer(page: Page) -> None:
    """A small model on a fast machine may end before Escape is pressed; then ask once more."""
    for _ in range(5):
        answer = ask(page, "Write a short story about a curious robot exploring a new planet.")
        expect(answer).to_have_attribute("data-state", re.compile("streaming|finished"))
        page.keyboard.press("Escape")
        expect(answer).to_have_attribute("data-state", "finished")
        if "stopped" in answer.get_by_test_id("answer-stats").inner_text():
            return
    raise AssertionError("Escape never stopped an answer")


def ask(page: Page, text: str) -> Locator:
    page.locator("#composer textarea").fill(text)
    page.get_by_test_id("run").click()
    return page.get_by_test_id("answer").last


def everything_agrees(page: Page, site: Site) -> None:
    """Requests, usage, ledger and balance say the same to the nano-dollar."""
    wait_until_settled(site)
    # The live answer of the home page is the site's own.
    own = (
        "FROM billing_usagerecord WHERE organisation_id = (SELECT m.organisation_id"
        " FROM accounts_membership m JOIN accounts_user u ON u.id = m.user_id"
        f" WHERE u.email = '{EMAIL}')"
    )
    spent = site.query(f"SELECT COALESCE(SUM(cost_nanos), 0) {own}")
    assert spent > 0
    records = site.query(f"SELECT COUNT(*) {own}")
    assert records >= 3
    assert site.query(f"SELECT COUNT(*) {own} AND outcome = 'aborted'") == 1
    assert site.balance_nanos(EMAIL) == WELCOME_NANOS - spent
    page.goto("/portal/billing/")
    shown = page.get_by_test_id("balance").get_attribute("data-nanos")
    assert int(shown or "-1") == WELCOME_NANOS - spent
    page.goto("/portal/requests/")
    rows = page.locator("table tbody tr")
    expect(rows).to_have_count(records)
    costs = [dollars_to_nanos(row.locator("td").last.inner_text()) for row in rows.all()]
    assert sum(costs) == spent
    page.goto("/portal/usage/")
    expect(page.locator("main")).to_contain_text("starter")
    page.goto("/portal/")
    expect(page.locator("main")).to_contain_text("$4.99")


def wait_until_settled(site: Site) -> None:
    deadline = time.monotonic() + 30
    while site.open_holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def dollars_to_nanos(text: str) -> int:
    whole, _, decimals = text.strip().lstrip("$").replace(",", "").partition(".")
    return int(whole) * 10**9 + int(decimals.ljust(9, "0"))


def an_operator_grants_credit(browser: Browser, page: Page, site: Site) -> None:
    page.goto("/portal/settings/")
    organisation_id = page.locator("code", has_text="org_").first.inner_text()
    before = site.balance_nanos(EMAIL)
    with visitor(browser, site.url) as (console, watch):
        console.context.set_default_timeout(60_000)
        console.goto(operator_link(site))
        console.get_by_role("button", name="Sign in as operator").click()
        console.wait_for_url("**/operator/")
        console.goto(f"/operator/billing/account/grant/?organisation={organisation_id}")
        console.get_by_label("Amount in US dollars").fill("2.50")
        console.get_by_label("Reason").fill("For reading the docs")
        console.locator("input[type=submit][value='Grant credit']").click()
        expect(console.locator(".messagelist")).to_contain_text("$2.50")
        assert_quiet(watch)
    page.goto("/portal/billing/")
    shown = page.get_by_test_id("balance").get_attribute("data-nanos")
    assert int(shown or "-1") == before + 2_500_000_000
    expect(page.locator("main")).to_contain_text("For reading the docs")


def sign_in_with_a_passkey(page: Page) -> None:
    debugger = page.context.new_cdp_session(page)
    debugger.send("WebAuthn.enable")
    debugger.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    page.goto("/accounts/2fa/webauthn/add/")
    if page.get_by_role("button", name="Confirm").count():
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Confirm").click()
    page.get_by_label("Name").fill("laptop")
    page.get_by_label("Passwordless").check()
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_url(lambda url: "/add/" not in url)
    page.goto("/accounts/logout/")
    page.locator("main").get_by_role("button", name="Sign out").click()
    page.goto("/accounts/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url("**/portal/")


def assert_quiet(watch: Watch) -> None:
    assert watch.complaints == []
