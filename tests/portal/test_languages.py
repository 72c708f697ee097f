"""The language of pages, of what programs read, and how a visitor changes it."""

import pytest
from django.test import Client

from accounts.models import Organisation, User
from tests.portal.english import english_in

pytestmark = pytest.mark.django_db
CHINESE = {"HTTP_ACCEPT_LANGUAGE": "zh-CN,zh;q=0.9,en;q=0.5"}


@pytest.mark.parametrize(
    ("wanted", "language"),
    [
        ("zh-CN,zh;q=0.9", "zh-hans"),
        ("zh-SG", "zh-hans"),
        ("zh", "zh-hans"),
        ("fr,zh-CN;q=0.5", "zh-hans"),
        ("zh-TW", "zh-hans"),  # nearer than English
        ("fr", "en"),
        ("en-US,zh;q=0.1", "en"),
        ("", "en"),
    ],
)
def test_a_page_is_in_the_first_language_of_the_browser_that_we_have(
    client: Client, wanted: str, language: str
) -> None:
    page = client.get("/", HTTP_ACCEPT_LANGUAGE=wanted)
    assert f'<html lang="{language}"' in page.content.decode()
    assert page["Content-Language"] == language
    named = {word.strip() for word in page["Vary"].split(",")}
    assert {"Accept-Language", "Cookie"} <= named


def test_what_a_visitor_chooses_goes_before_what_the_browser_asks(client: Client) -> None:
    chosen = client.post("/language/", {"language": "zh-hans", "next": "/models/?x=1"})
    assert (chosen.status_code, chosen["Location"]) == (302, "/models/?x=1")
    cookie = chosen.cookies["django_language"]
    assert (cookie["max-age"], cookie["samesite"]) == (365 * 86_400, "Lax")
    assert client.get("/", HTTP_ACCEPT_LANGUAGE="en")["Content-Language"] == "zh-hans"
    client.post("/language/", {"language": "en", "next": "/"})
    assert client.get("/", **CHINESE)["Content-Language"] == "en"


def test_the_switch_stands_on_the_page_and_names_it(client: Client) -> None:
    html = client.get("/models/?a=1&b=2").content.decode()
    assert '<form action="/language/" method="post"' in html
    assert '<input type="hidden" name="next" value="/models/?a=1&amp;b=2">' in html


def test_on_a_refused_form_the_switch_leads_back_to_the_form(
    client: Client, organisation: Organisation, alice: User
) -> None:
    """Its own address takes no GET."""
    client.force_login(alice)
    refused = client.post(
        "/portal/members/invite/",
        {"email": "nobody"},
        HTTP_REFERER="http://testserver/portal/members/",
    )
    assert refused.status_code == 400
    assert 'name="next" value="/portal/members/"' in refused.content.decode()


@pytest.mark.parametrize("language", ["fr", "", "zh-hant", "../../etc"])
def test_a_language_that_is_not_there_is_refused(client: Client, language: str) -> None:
    refused = client.post("/language/", {"language": language, "next": "/"})
    assert refused.status_code == 400
    assert b"language" in refused.content
    assert "django_language" not in refused.cookies


def test_the_switch_leads_nowhere_else(client: Client) -> None:
    away = client.post("/language/", {"language": "en", "next": "https://evil.example/"})
    assert away["Location"] == "/"
    assert client.get("/language/").status_code == 405


def test_a_signed_in_persons_choice_is_kept_with_them(client: Client, alice: User) -> None:
    client.force_login(alice)
    client.post("/language/", {"language": "zh-hans", "next": "/"})
    alice.refresh_from_db()
    assert alice.language == "zh-hans"
    # A refused one changes nothing.
    client.post("/language/", {"language": "xx", "next": "/"})
    alice.refresh_from_db()
    assert alice.language == "zh-hans"


def test_the_reference_of_the_api_stands_in_a_page_of_the_readers_language(client: Client) -> None:
    page = client.get("/api/reference/", **CHINESE).content.decode()
    assert '<html lang="zh-hans"' in page
    assert english_in(page) == []
    assert 'id="reference"' in page
    assert 'lang="en"></div>' in page


def test_programs_are_answered_in_english(client: Client) -> None:
    client.cookies["django_language"] = "zh-hans"
    refused = client.get("/api/keys/", **CHINESE)
    assert refused.status_code == 401
    assert refused["Content-Language"] == "en"
    assert refused.json()["error"]["message"].isascii()
    listed = client.get("/llms.txt", **CHINESE)
    assert listed["Content-Language"] == "en"
    assert "## Begin" in listed.content.decode()
    assert client.get("/", **CHINESE)["Content-Language"] == "zh-hans"
