"""The documentation: three forms a page, true to the settings, links that lead somewhere."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.template.loader import get_template
from django.test import Client

from accounts import flows
from accounts.models import ApiKey, Organisation
from playground import presets, snapshots
from portal.lib import sse, strict_json
from portal.pages import docs
from portal.pages.docs import PAGES, text_of
from tests.environment import REPOSITORY
from tests.portal.pages.documented import LANGUAGES, addresses, samples_in
from tests.portal.records import offer_starter

pytestmark = pytest.mark.django_db


class Anchors(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "a" and found.get("href"):
            self.links.add(str(found["href"]))
        if found.get("id"):
            self.ids.add(str(found["id"]))


@pytest.mark.parametrize("slug", list(PAGES))
def test_a_page_has_its_title_its_code_and_its_twin(client: Client, slug: str) -> None:
    page = client.get(f"/docs/{slug}/")
    assert page.status_code == 200
    html = page.content.decode()
    assert '<h1 id="' in html
    twin = client.get(f"/docs/{slug}.md")
    assert twin["Content-Type"] == "text/markdown; charset=utf-8"
    text = twin.content.decode()
    assert text.startswith("# ")
    assert "{{" not in text
    assert "{%" not in text
    assert html.count("<copy-button") == text.count("```") // 2


def test_every_file_is_a_page_and_every_page_a_file() -> None:
    files = {path.stem for path in (REPOSITORY / "templates" / "docs").glob("*.md")}
    assert files == set(PAGES)
    for slug in PAGES:
        get_template(f"docs/{slug}.md")


def test_every_endpoint_has_a_section_with_samples_in_three_languages(client: Client) -> None:
    """Named as `POST /v1/…` or with the whole address; the samples are run elsewhere."""
    found = set()
    for slug in PAGES:
        text = client.get(f"/docs/{slug}.md").content.decode()
        for section in re.split(r"^#+ ", text, flags=re.MULTILINE):
            if all(samples_in(section, language) for language in LANGUAGES):
                found |= named_in(section)
    assert addresses() - found == set()


def named_in(section: str) -> set[tuple[str, str]]:
    """`GET`, `PATCH` and `DELETE /api/x/`, `POST https://…/v1/y`: methods, each with its path."""
    named = set()
    methods = []
    for words in re.findall(r"`([^`\n]+)`", section):
        method, _, address = words.partition(" ")
        if method in {"GET", "POST", "PATCH", "DELETE"}:
            methods.append(method)
            if path := re.fullmatch(r"(?:https?://[^/]+)?(/\S*)", address):
                named |= {(each, path.group(1)) for each in methods}
                methods = []
    return named


def test_samples_side_by_side_become_tabs(client: Client) -> None:
    html = client.get("/docs/embeddings/").content.decode()
    found = re.findall(r'<code-tabs label="Language">(.*?)</code-tabs>', html, re.DOTALL)
    assert len(found) == 2
    for tabs in found:
        assert re.findall(r'<div class="code" data-label="(\w+)">', tabs) == [
            "curl", "Python", "JavaScript",
        ]  # fmt: skip
    # What an answer looks like stands by itself.
    page = client.get("/docs/fill-mask/").content.decode()
    assert '"JSON"' in page.split("</code-tabs>")[-1]


def test_every_link_leads_somewhere(alice_client: Client, organisation: Organisation) -> None:
    found = [Anchors(alice_client.get(f"/docs/{slug}/").content.decode()) for slug in PAGES]
    for page in found:
        assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids
    for link in {link for page in found for link in page.links if not link.startswith("#")}:
        assert link.startswith("/"), f"{link} leaves the site"
        page, _, place = link.partition("#")
        led = alice_client.get(page, follow=True)
        assert led.status_code == 200, link
        assert not place or place in Anchors(led.content.decode()).ids, link


@pytest.mark.parametrize("slug", list(PAGES))
def test_json_samples_are_json(client: Client, slug: str) -> None:
    text = client.get(f"/docs/{slug}.md").content.decode()
    for sample in re.findall(r"```json\n(.*?)```", text, re.DOTALL):
        json.loads(sample)
    for body in re.findall(r"-d '(\{.*?\})'", text, re.DOTALL):
        json.loads(body)


@pytest.mark.parametrize("slug", list(PAGES))
def test_python_samples_compile(client: Client, slug: str) -> None:
    text = client.get(f"/docs/{slug}.md").content.decode()
    for sample in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(sample, slug, "exec")


def test_the_readers_own_values_are_filled_in(
    alice_client: Client, client: Client, api_key: tuple[ApiKey, str], settings: LazySettings
) -> None:
    settings.BASE_URL = "https://llm.example.org"
    offer_starter()
    mine = alice_client.get("/docs/quickstart.md").content.decode()
    assert "https://llm.example.org/v1/chat/completions" in mine
    assert f"{api_key[0].prefix}…{api_key[0].last_four}" in mine
    assert api_key[1] not in mine
    theirs = client.get("/docs/quickstart.md").content.decode()
    assert api_key[0].prefix not in theirs


def test_limits_are_those_of_the_settings(client: Client, settings: LazySettings) -> None:
    settings.RATE_LIMIT_TIERS = ["first:0:1234:5678", "second:50:0:0"]
    settings.API_MAX_SEQUENCES = 77
    text = client.get("/docs/limits.md").content.decode()
    assert "| `first` | $0.00 | 1,234 | 5,678 |" in text
    assert "| `second` | $50.00 | no limit | no limit |" in text
    assert "| 77 |" in text


def test_limits_are_those_of_the_code(
    client: Client, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REQUEST_DEADLINE_S = 4321
    settings.API_MAX_BODY_BYTES = 7 * 1024 * 1024
    monkeypatch.setattr(strict_json, "MAX_NESTING", 65)
    monkeypatch.setattr(strict_json, "MAX_KEYS", 12_345)
    monkeypatch.setattr(strict_json, "MAX_CONTAINERS", 23_456)
    monkeypatch.setattr(strict_json, "MAX_VALUES", 99_999)
    monkeypatch.setattr(flows, "MAX_KEYS", 1_235)
    monkeypatch.setattr(presets, "MAX_VERSIONS", 71)
    monkeypatch.setattr(snapshots, "MAX_LINKS", 72)
    text = client.get("/docs/limits.md").content.decode()
    assert "| 1,235 that have not ended, 1,000 made a day |" in text
    assert "the last 71 versions of each |" in text
    assert "| Links to a conversation | 72 |" in text
    assert "| Body | 7 MB |" in text
    assert "65 levels, 12,345 keys, 23,456 arrays and objects, 99,999 values |" in text
    assert "| 4,321 seconds; " in text
    settings.REQUEST_DEADLINE_S = 0
    assert "waiting included | no limit |" in client.get("/docs/limits.md").content.decode()


def test_streaming_tells_how_long_nothing_comes(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs, "FIRST_TOKEN_WAIT_S", 11.0)
    monkeypatch.setattr(sse, "KEEP_ALIVE_S", 16.0)
    text = client.get("/docs/streaming.md").content.decode()
    assert "after 11 seconds\nat the latest" in text
    assert "comes whenever\n16 seconds" in text


def test_the_models_page_lists_what_is_on_offer(client: Client) -> None:
    offer_starter()
    text = client.get("/docs/models.md").content.decode()
    assert "| `starter` | 2048 | $0.10 | $0.05 | $0.40 |" in text


def test_a_name_with_an_ampersand_stays_one(client: Client, settings: LazySettings) -> None:
    settings.SITE_NAME = "Bell & Book <b>"
    assert "Bell & Book <b>" in client.get("/docs/quickstart.md").content.decode()
    assert "Bell &amp; Book &lt;b&gt;" in client.get("/docs/quickstart/").content.decode()


def test_llms_txt_names_every_page(client: Client) -> None:
    text = client.get("/llms.txt").content.decode()
    for slug in PAGES:
        assert f"/docs/{slug}.md" in text
    assert re.match(r"# .+\n\n> .+\n", text)
    assert "/api/schema/)" in text


@pytest.mark.parametrize("slug", ["nothing", "..", "quickstart.md.md", "%2e%2e%2fbase"])
def test_an_unknown_page_is_a_404(client: Client, slug: str) -> None:
    assert client.get(f"/docs/{slug}/").status_code == 404
    assert client.get(f"/docs/{slug}.md").status_code == 404


def test_the_text_needs_no_request_data(rf: object) -> None:
    """What a visitor sends never becomes part of a page."""
    request = rf.get("/docs/errors/?x={{ secret }}")  # type: ignore[attr-defined]
    assert "secret" not in text_of(PAGES["errors"], request)


TRANSLATED = sorted((REPOSITORY / "templates" / "docs").glob("zh-hans/*.md"))


@pytest.mark.parametrize("path", TRANSLATED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_translated_page_has_the_samples_and_the_links_of_the_english_one(
    client: Client, path: Path
) -> None:
    offer_starter()
    address = f"/docs/{path.stem}.md"
    english = client.get(address).content.decode()
    translated = client.get(address, HTTP_ACCEPT_LANGUAGE="zh-CN")
    text = translated.content.decode()
    assert translated["Content-Language"] == path.parent.name
    assert text != english
    fences = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
    assert fences.findall(text) == fences.findall(english)
    links = re.compile(r"\]\(([^)]+)\)")
    assert links.findall(text) == links.findall(english)
    headings = re.compile(r"^#+ ", re.MULTILINE)
    assert headings.findall(text) == headings.findall(english)


def test_the_quickstart_is_chinese_and_a_page_that_is_not_says_so(client: Client) -> None:
    chinese = {"HTTP_ACCEPT_LANGUAGE": "zh-CN"}
    page = client.get("/docs/quickstart/", **chinese).content.decode()
    assert '<article class="prose" lang="zh-hans">' in page
    assert '<h1 id="快速入门">快速入门</h1>' in page
    assert "本页暂无中文版" not in page
    page = client.get("/docs/errors/", **chinese).content.decode()
    assert '<article class="prose" lang="en">' in page
    assert "本页暂无中文版" in page
    page = client.get("/docs/errors/").content.decode()
    assert "not translated yet" not in page
