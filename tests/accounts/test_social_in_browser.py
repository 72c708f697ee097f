"""Signing up through somebody else, in a real Chromium: there and back, by OpenID Connect."""

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.browser import visitor
from tests.serving import serving
from tests.story.site import Site, embedded_site

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ADD_ROW = """
from allauth.socialaccount.models import SocialApp
SocialApp.objects.create(
    provider="openid_connect", provider_id="house", name="House", client_id="parlance",
    secret="hush", settings={{"server_url": {url!r}}},
)
"""

CONNECT_BY_GITHUB = """
from allauth.socialaccount.models import SocialAccount
from accounts.models import User
SocialAccount.objects.create(
    provider="github", uid="7", user=User.objects.get(email="dana@example.com")
)
"""


class Provider(BaseHTTPRequestHandler):
    """Lets everybody in as the same person, without a question."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/authorize":
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            self.send_response(302)
            self.send_header("location", f"{asked['redirect_uri']}?code=c&state={asked['state']}")
            self.end_headers()
        elif parts.path == "/userinfo":
            self._say({"sub": "7", "email": "dana@example.com", "email_verified": True})
        else:
            url = f"http://{self.headers['host']}"
            self._say({
                "issuer": url, "authorization_endpoint": f"{url}/authorize",
                "token_endpoint": f"{url}/token", "userinfo_endpoint": f"{url}/userinfo",
            })  # fmt: skip

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._say({"access_token": "t", "token_type": "bearer"})

    def _say(self, answer: dict[str, object]) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_args: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    provider = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    knobs = {"ENGINE_FAKE": "true", "SOCIAL_PROVIDERS": "openid_connect,github"}
    folder: Path = tmp_path_factory.mktemp("social")
    with serving(provider), embedded_site(folder, **knobs) as running:
        url = f"http://127.0.0.1:{provider.server_port}"
        running.manage("shell", "-v0", "-c", ADD_ROW.format(url=url))
        yield running


def test_who_comes_from_a_provider_has_an_account_and_comes_back_to_it(
    browser: Browser, site: Site
) -> None:
    for way_in in ("/accounts/signup/", "/accounts/login/"):
        with visitor(browser, site.url) as (page, _watch):
            page.goto(way_in)
            page.get_by_role("link", name="House").click()
            page.get_by_role("button", name="Continue").click()
            page.wait_for_url(re.compile(r"/(welcome|portal)/$"))
            page.goto("/accounts/email/")
            expect(page.get_by_text("dana@example.com").first).to_be_visible()
    assert site.query("SELECT COUNT(*) FROM accounts_user WHERE email = 'dana@example.com'") == 1
    assert site.query("SELECT COUNT(*) FROM accounts_membership") == 1


def test_who_came_from_a_provider_that_is_withdrawn_sees_their_connections(
    browser: Browser, site: Site
) -> None:
    with visitor(browser, site.url) as (page, _watch):
        page.goto("/accounts/login/")
        page.get_by_role("link", name="House").click()
        page.get_by_role("button", name="Continue").click()
        page.wait_for_url(re.compile(r"/(welcome|portal)/$"))
        site.manage("shell", "-v0", "-c", CONNECT_BY_GITHUB)
        page.goto("/accounts/3rdparty/")
        expect(page.get_by_role("main")).to_contain_text("House")


def test_other_pages_let_no_form_lead_away(site: Site) -> None:
    allowed = [
        get(site, page).headers["content-security-policy"]
        for page in ("login/", "oidc/house/login/")
    ]
    assert ["form-action *" in policy for policy in allowed] == [False, True]


def test_a_provider_without_a_row_in_the_console_has_no_page(site: Site) -> None:
    assert get(site, "github/login/").status_code == 404
    assert "GitHub" not in get(site, "login/").text


def get(site: Site, page: str) -> httpx.Response:
    return httpx.get(f"{site.url}/accounts/{page}", timeout=60)
