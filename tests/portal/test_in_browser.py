"""Pages in a real Chromium: no axe finding, no policy violation, and what scripts promise."""

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from playwright.sync_api import Browser, Page, expect
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from accounts import audit, flows
from accounts.models import ApiKey, Organisation, User
from billing import alert_settings, alerts, spending
from billing.models import AlertPost
from inference.log import bodies, metadata
from inference.log.bodies import Bodies
from tests import axe
from tests.billing.money import hold
from tests.browser import visitor
from tests.conftest import PASSWORD
from tests.portal.records import make_payments, make_record

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.usefixtures("orm_beside_playwright"),
]

# With long texts and with refusals on them; test_site_in_browser.py looks at every page.
STRAINED = ["/portal/requests/", "/portal/requests/req_kept/", "/portal/billing/"]
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 800}


@pytest.fixture
def member(
    transactional_db: None, organisation: Organisation, alice: User, settings: Settings
) -> User:
    EmailAddress.objects.update_or_create(
        user=alice, email=alice.email, defaults={"verified": True, "primary": True}
    )
    for _ in range(2):
        make_record(organisation)
    keep_a_request(organisation)
    settings.STRIPE_SECRET_KEY = "sk_test_x"
    make_payments(organisation)
    fill_the_billing_page(organisation)
    return alice


def fill_the_billing_page(organisation: Organisation) -> None:
    """A cap, an open alert whose post was refused, and a request that holds something."""
    spending.set_monthly_cap(organisation, 10**12)
    url = "https://example.com/" + "x" * 200
    alert_settings.change(organisation, low_balance_nanos=10**12, webhook_url=url)
    alerts.check_all()
    AlertPost.objects.update(error="It answered 500.")
    hold("req_running", organisation.id, 1_234_567)


def keep_a_request(organisation: Organisation) -> None:
    """One with long metadata and long bodies: neither may break a narrow page."""
    organisation.keeps_bodies = True
    organisation.save(update_fields=["keeps_bodies"])
    make_record(organisation, request_id="req_kept")
    metadata.note(organisation.id, "req_kept", {"job": "nightly", "k" * 64: "v" * 512})
    text = b'{"messages": [{"role": "user", "content": "' + b"word " * 300 + b"x" * 500 + b'"}]}'
    bodies.keep(organisation.id, "req_kept", Bodies(text, text, len(text), len(text)))


def sign_in(page: Page) -> None:
    page.goto("/accounts/login/")
    page.locator("[name=login]").fill("alice@example.com")  # the page may be in any language
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("form:has([name=password]) [type=submit]").click()
    page.wait_for_url("**/portal/")


def test_long_texts_and_refusals_fit_on_a_phone(
    browser: Browser, live_server: LiveServer, member: User
) -> None:
    with visitor(browser, live_server.url, viewport=PHONE) as (page, watch):
        sign_in(page)
        axe.look_at(page, watch, STRAINED, "light", "dark")


def test_the_language_of_samples_is_chosen_once_for_all_pages(
    browser: Browser, live_server: LiveServer, member: User
) -> None:
    with visitor(browser, live_server.url) as (page, watch):
        page.goto("/docs/completions/")
        assert page.locator("code-tabs").count() == 3
        expect(page.locator("code-tabs pre:visible")).to_have_count(3)
        page.get_by_role("tab", name="curl", exact=True).first.focus()
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name="Python", exact=True).first).to_be_focused()
        for block in page.locator("code-tabs pre:visible").all():
            expect(block).to_contain_text("from openai import OpenAI")
        page.get_by_role("tab", name="JavaScript", exact=True).last.click()
        page.goto("/docs/streaming/")
        expect(page.locator("code-tabs pre:visible")).to_contain_text("new OpenAI(")
        assert watch.complaints == []


def test_without_scripts_all_samples_are_there(
    browser: Browser, live_server: LiveServer, member: User
) -> None:
    with visitor(browser, live_server.url, java_script_enabled=False) as (page, _watch):
        page.goto("/docs/streaming/")
        expect(page.locator("code-tabs pre:visible")).to_have_count(3)


def test_two_presses_and_a_reload_make_one_key(
    browser: Browser, live_server: LiveServer, member: User, organisation: Organisation
) -> None:
    with visitor(browser, live_server.url) as (page, watch):
        sign_in(page)
        before = organisation.api_keys.count()
        page.goto("/portal/keys/new/")
        page.get_by_label("Name").fill("pressed twice")
        page.get_by_role("button", name="Make the key").evaluate(
            "button => { button.click(); setTimeout(() => button.click(), 5); }"
        )
        secret = page.get_by_test_id("secret").inner_text()
        assert organisation.api_keys.count() == before + 1
        page.reload()  # which asks whether to send the form again, and does
        page.wait_for_url("**/portal/keys/")
        expect(page.get_by_text("This form has already made its key")).to_be_visible()
        assert secret not in page.content()
        assert organisation.api_keys.count() == before + 1
        assert watch.complaints == []


def test_a_link_in_the_audit_log_fits_on_a_phone(
    browser: Browser, live_server: LiveServer, member: User, organisation: Organisation
) -> None:
    audit.note(organisation, {"public_link": ("made", f"snap_{'w' * 27}")})
    with visitor(browser, live_server.url, viewport=PHONE) as (page, _watch):
        sign_in(page)
        page.goto("/portal/members/")
        cell = page.get_by_role("cell").filter(has_text="Public link made").first
        assert cell.evaluate("""cell => {
          const text = document.createRange();
          text.selectNodeContents(cell);
          return text.getBoundingClientRect().left >= cell.getBoundingClientRect().left;
        }""")


def test_every_column_of_the_requests_is_in_sight_on_a_laptop(
    browser: Browser, live_server: LiveServer, member: User, organisation: Organisation
) -> None:
    make_record(
        organisation, api_key_id=flows.create_key(organisation, member, "Production, Zurich")[0].pk,
        uncached_tokens=123_456, cached_tokens=12_345, output_tokens=12_345,
        ttft_ms=12_345, duration_ms=123_456,
    )  # fmt: skip
    with visitor(browser, live_server.url, viewport=DESKTOP) as (page, _watch):
        sign_in(page)
        page.goto("/portal/requests/")
        expect(page.get_by_role("cell", name="Production, Zurich")).to_be_visible()
        frame = page.locator(".table-frame")
        assert frame.evaluate("frame => frame.scrollWidth - frame.clientWidth") == 0


def test_a_passkey_is_made_and_signs_in(
    browser: Browser, live_server: LiveServer, member: User
) -> None:
    with visitor(browser, live_server.url) as (page, watch):
        debugger = page.context.new_cdp_session(page)
        debugger.send("WebAuthn.enable")
        authenticator = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True,
                         "hasUserVerification": True, "isUserVerified": True}  # fmt: skip
        debugger.send("WebAuthn.addVirtualAuthenticator", {"options": authenticator})
        sign_in(page)
        page.goto("/accounts/2fa/webauthn/add/")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Confirm").click()
        page.get_by_label("Name").fill("laptop")
        page.get_by_label("Passwordless").check()
        page.get_by_role("button", name="Add", exact=True).click()
        page.wait_for_url(lambda url: "/add/" not in url)
        page.goto("/accounts/2fa/webauthn/")
        expect(page.get_by_role("cell", name="laptop")).to_be_visible()
        page.goto("/accounts/logout/")
        page.locator("main").get_by_role("button", name="Sign out").click()
        page.goto("/accounts/login/")
        page.get_by_role("button", name="Sign in with a passkey").click()
        page.wait_for_url("**/portal/")
        assert watch.complaints == []


def test_the_theme_is_kept_without_a_flash(
    browser: Browser, live_server: LiveServer, member: User
) -> None:
    with visitor(browser, live_server.url, color_scheme="light") as (page, watch):
        page.goto("/")
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.get_by_role("button", name="Dark").click()
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert dark != light
        answer = page.goto("/models/")
        assert answer is not None
        assert 'data-theme="dark"' in answer.text()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
        page.get_by_role("button", name="As the system").click()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == light
        assert watch.complaints == []


def test_a_filter_acts_at_once_and_stands_in_the_address(
    browser: Browser, live_server: LiveServer, member: User
) -> None:
    with visitor(browser, live_server.url) as (page, watch):
        sign_in(page)
        page.goto("/portal/requests/")
        page.get_by_label("Status").select_option("failed")
        page.wait_for_url("**/portal/requests/?status=failed")
        expect(page.get_by_text("No request matches")).to_be_visible()
        assert watch.complaints == []


def test_the_sidebar_is_a_menu_on_a_phone(
    browser: Browser, live_server: LiveServer, member: User
) -> None:
    with visitor(browser, live_server.url, viewport=PHONE) as (page, watch):
        sign_in(page)
        usage = page.get_by_role("link", name="Usage", exact=True)
        expect(usage).to_be_hidden()
        page.get_by_role("button", name="Menu", exact=True).click()
        expect(usage).to_be_visible()
        page.keyboard.press("Escape")
        expect(usage).to_be_hidden()
        page.get_by_role("button", name="Menu", exact=True).click()
        usage.click()
        page.wait_for_url("**/portal/usage/")
        assert watch.complaints == []


def test_what_cannot_be_taken_back_is_asked_first(
    browser: Browser, live_server: LiveServer, member: User, bob: User, api_key: tuple[ApiKey, str]
) -> None:
    with visitor(browser, live_server.url) as (page, watch):
        sign_in(page)
        page.goto("/portal/members/")
        row = page.get_by_role("region", name="Members").locator("tr", has_text=bob.email)
        asked = page.get_by_role("dialog")
        role = row.get_by_role("combobox")
        role.select_option("admin")
        expect(asked).to_contain_text("Change the role of bob@example.com")
        complaints = len(watch.complaints)
        assert axe.findings(page) == []
        del watch.complaints[complaints:]
        page.keyboard.press("Escape")
        expect(role).to_have_value("developer")
        row.get_by_role("button", name="Remove").click()
        asked.get_by_role("button", name="Cancel").click()
        expect(row).to_have_count(1)
        row.get_by_role("button", name="Remove").click()
        asked.get_by_role("button", name="Remove").click()
        expect(page.get_by_text("Removed.")).to_be_visible()
        expect(row).to_have_count(0)
        page.goto("/portal/keys/")
        page.get_by_role("button", name="Revoke test").click()
        expect(asked).to_contain_text("Programs that use it are refused at once")
        asked.get_by_role("button", name="Revoke").click()
        expect(page.get_by_text("revoked", exact=True)).to_be_visible()
        assert watch.complaints == []


def test_what_is_chosen_is_seen_where_colours_are_forced(
    browser: Browser, live_server: LiveServer, member: User
) -> None:
    with visitor(browser, live_server.url, forced_colors="active") as (page, watch):
        sign_in(page)
        page.goto("/portal/usage/?range=month")
        for chosen, other in (
            (".sidebar [aria-current=page]", ".sidebar .nav-list a:not([aria-current])"),
            (".segmented [aria-current]", ".segmented a:not([aria-current])"),
        ):
            colours = [
                page.locator(each).first.evaluate("e => getComputedStyle(e).backgroundColor")
                for each in (chosen, other)
            ]
            assert colours[0] != colours[1], chosen
        assert watch.complaints == []


def test_on_paper_a_statement_stands_alone_and_says_whose_it_is(
    browser: Browser, live_server: LiveServer, member: User, organisation: Organisation
) -> None:
    with visitor(browser, live_server.url) as (page, watch):
        sign_in(page)
        month = organisation.created_at
        page.goto(f"/portal/billing/statements/{month.year}-{month.month}/")
        page.emulate_media(media="print")
        for width in (794, 1280):
            page.set_viewport_size({"width": width, "height": 1123})
            for frame in page.locator(".topbar, .sidebar, .page-head .button").all():
                expect(frame).to_be_hidden()
            expect(page.locator("main")).to_contain_text(organisation.name)
        assert watch.complaints == []


def test_code_is_copied(browser: Browser, live_server: LiveServer, member: User) -> None:
    options: dict[str, Any] = {"permissions": ["clipboard-read", "clipboard-write"]}
    with visitor(browser, live_server.url, **options) as (page, watch):
        page.goto("/docs/quickstart/")
        page.get_by_role("button", name="Copy").nth(1).click()
        expect(page.get_by_text("Copied")).to_be_visible()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith("curl http")
        assert copied.endswith("}'")
        assert watch.complaints == []


def test_the_chart_is_drawn(browser: Browser, live_server: LiveServer, member: User) -> None:
    with visitor(browser, live_server.url) as (page, watch):
        sign_in(page)
        expect(page.locator("usage-chart canvas")).to_be_visible()
        expect(page.get_by_role("img", name="Spend per day")).to_be_visible()
        assert watch.complaints == []
