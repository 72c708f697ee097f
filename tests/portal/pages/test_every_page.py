"""What holds for each page: a strict policy, nothing inline, nobody else's server, light."""

import gzip
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import flows
from accounts.models import Organisation, User
from tests.portal.records import make_payments, make_record

PUBLIC = [
    "/", "/models/", "/models/starter/", "/docs/", "/docs/quickstart/", "/docs/errors/", "/status/",
    "/accounts/login/", "/accounts/signup/", "/accounts/password/reset/", "/nothing/",
]  # fmt: skip
SIGNED_IN = [
    "/portal/", "/portal/usage/", "/portal/usage/?group=key", "/portal/requests/",
    "/portal/requests/{request_id}/", "/portal/keys/", "/portal/keys/new/", "/portal/limits/",
    "/portal/keys/{key_id}/limits/", "/portal/billing/statements/",
    "/portal/billing/statements/{month}/",
    "/portal/members/", "/portal/settings/delete/",
    "/portal/billing/", "/portal/settings/", "/playground/", "/welcome/", "/accounts/email/",
    "/accounts/2fa/", "/accounts/sessions/", "/accounts/password/change/", "/accounts/logout/",
]  # fmt: skip
WEIGHT_BYTES, PLAYGROUND_BYTES = 150_000, 250_000
VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
# What may stand inside `p`, `span` and the like is for a browser to judge; nesting is checked here.


class Page(HTMLParser):
    """Reads a page and notes what must not be there, and what it loads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.resources: set[str] = set()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.labelled: set[str] = set()
        self.controls: list[dict[str, str | None]] = []
        self.headings: list[str] = []
        self.language: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if len(found) != len(attrs):
            self.problems.append(f"<{tag}> has an attribute twice")
        for name in found:
            if name == "style" or name.startswith("on"):
                self.problems.append(f"<{tag} {name}>")
        if tag == "style":
            self.problems.append("<style>")
        if tag == "script" and not found.get("src") and found.get("type") != "application/json":
            self.problems.append("inline <script>")
        if tag == "html":
            self.language = found.get("lang")
        if tag in {"script", "img", "iframe", "source", "video", "audio"} and found.get("src"):
            self.resources.add(str(found["src"]))
        if tag == "link" and found.get("rel") not in {"alternate", "canonical"}:
            self.resources.add(str(found["href"]))
        if tag == "use" and not (address := str(found.get("href", "#"))).startswith("#"):
            self.resources.add(address)
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag == "label" and found.get("for"):
            self.labelled.add(str(found["for"]))
        if tag in {"input", "select", "textarea"} and found.get("type") != "hidden":
            self.controls.append(found | {"in label": "label" if "label" in self.open else None})
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(tag)
        if tag not in VOID and not self._inside_svg():
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside_svg() and tag != "svg":
            return
        if tag in VOID:
            return
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"</{tag}> closes {self.open[-1:]}")
        else:
            self.open.pop()

    def _inside_svg(self) -> bool:
        return "svg" in self.open

    def unlabelled(self) -> list[dict[str, str | None]]:
        return [
            control
            for control in self.controls
            if not (
                control.get("aria-label")
                or control.get("aria-labelledby")
                or control.get("id") in self.labelled
                or control["in label"]
            )
        ]


@pytest.fixture
def signed_in_path(organisation: Organisation, alice: User, path: str) -> dict[str, str]:
    """The ids in these paths. A key for its own page alone: who has one is past the welcome."""
    made = flows.create_key(organisation, alice, "k")[0].pk if "{key_id}" in path else ""
    return {
        "request_id": make_record(organisation).request_id,
        "key_id": str(made),
        "month": f"{timezone.now():%Y-%m}",
    }


def read(client: Client, path: str) -> tuple[Page, str]:
    response = client.get(path)
    assert response.status_code == (404 if path == "/nothing/" else 200)
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    html = response.content.decode()
    return Page(html), html


def check(page: Page, html: str) -> None:
    assert page.problems == []
    assert page.open == []
    assert page.language == "en"
    assert len(page.ids) == len(set(page.ids)), "an id is there twice"
    assert page.unlabelled() == []
    assert page.headings.count("h1") == 1
    for resource in page.resources:
        assert resource.startswith("/static/"), f"{resource} is not ours"
    is_playground = any("js/playground/main" in resource for resource in page.resources)
    assert weight(page, html) < (PLAYGROUND_BYTES if is_playground else WEIGHT_BYTES)


def weight(page: Page, html: str) -> int:
    """What a first visit transfers: the page and everything it loads, compressed as it is sent."""
    names = {resource.removeprefix("/static/").partition("#")[0] for resource in page.resources}
    return len(gzip.compress(html.encode())) + sum(size(name) for name in everything(names))


def everything(names: set[str]) -> set[str]:
    """Those files and what their imports bring in."""
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        path = Path(str(finders.find(name)))
        assert path.is_file(), f"{name} is missing"
        if path.suffix in {".js", ".css"}:
            imports = re.findall(
                r'(?:\bfrom |\bimport |@import url\()\s*"([^"]+)"', path.read_text()
            )
            base = Path("/") / name
            waiting |= {str((base.parent / other).resolve())[1:] for other in imports}
    return found


def size(name: str) -> int:
    content = Path(str(finders.find(name))).read_bytes()
    return len(content) if name.endswith(".woff2") else len(gzip.compress(content))


@pytest.mark.parametrize("path", PUBLIC)
def test_a_public_page_is_clean(client: Client, organisation: Organisation, path: str) -> None:
    make_record(organisation)
    check(*read(client, path))


@pytest.mark.parametrize("path", SIGNED_IN)
def test_a_page_behind_the_sign_in_is_clean(
    alice_client: Client, signed_in_path: dict[str, str], path: str
) -> None:
    check(*read(alice_client, path.format(**signed_in_path)))


@pytest.mark.parametrize("path", ["/portal/", "/portal/billing/"])
def test_a_page_with_payments_is_clean(
    alice_client: Client, organisation: Organisation, settings: Settings, path: str
) -> None:
    settings.STRIPE_SECRET_KEY = "sk_test_x"
    make_payments(organisation)
    page, html = read(alice_client, path)
    assert "Confirm the card with your bank" in html
    check(page, html)


@pytest.mark.parametrize("path", SIGNED_IN)
def test_it_needs_a_sign_in(client: Client, signed_in_path: dict[str, str], path: str) -> None:
    response = client.get(path.format(**signed_in_path))
    assert response.status_code == 302
    assert response["Location"] == "/" or response["Location"].startswith("/accounts/login/?next=")


@pytest.mark.parametrize(
    ("cookie", "attribute"),
    [("dark", ' data-theme="dark"'), ("light", ' data-theme="light"'), ('"><script>', "")],
)
def test_the_theme_is_in_the_page_before_any_script(
    client: Client, db: None, cookie: str, attribute: str
) -> None:
    client.cookies["theme"] = cookie
    assert f'<html lang="en"{attribute}>' in client.get("/").content.decode()


@pytest.mark.parametrize(
    "path",
    ["/operator/", "/operator/billing/usagerecord/", "/operator/inference/servedmodel/add/"],
)
def test_the_operators_console_lives_under_the_same_policy(
    client: Client, organisation: Organisation, path: str
) -> None:
    make_record(organisation)
    staff = User.objects.create_superuser("staff@example.com")
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    page, html = read(client, path)
    assert [problem for problem in page.problems if "closes" not in problem] == []
    assert "css/operator.css" in html
    for resource in page.resources:
        assert resource.startswith(("/static/", "/operator/"))
