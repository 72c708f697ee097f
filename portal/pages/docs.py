"""The documentation: Markdown files of `templates/docs/`, with the reader's own values filled in.

A file is a Django template that makes Markdown; the page, its `.md` twin and `/llms.txt` are three
views of the same text. Nothing a visitor sends is ever part of it. What is translated has a file of
the same name in a folder of its language, and takes its samples from `templates/docs/samples/`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import Context, Engine, Template
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.functional import Promise
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from django.views.decorators.http import require_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from accounts import flows
from billing import tiers
from inference import catalog, prompts
from inference.api.keyed_wait import MAX_WAITING
from inference.api.streams import FIRST_TOKEN_WAIT_S
from inference.models import ModelKind
from playground import presets, snapshots
from portal.lib import sse, strict_json
from portal.pages import samples
from portal.pages.offered import offered_to


@dataclass(frozen=True)
class Page:
    slug: str
    title: str | Promise
    about: str | Promise


GROUPS: tuple[tuple[str | Promise, tuple[Page, ...]], ...] = (
    (
        pgettext_lazy("a group of pages", "Begin"),
        (
            Page("quickstart", _("Quickstart"), _("From sign-up to the first answer.")),
            Page("authentication", _("Authentication"), _("Keys, their limits and their end.")),
            Page(
                "moving-from-openai",
                _("Moving from OpenAI"),
                _("What stays the same and what differs; and from Anthropic."),
            ),
            Page("playground", _("Playground"), _("What the browser can do, and what it costs.")),
        ),
    ),
    (
        pgettext_lazy("a group of pages", "Reference"),
        (
            Page("models", _("Models"), _("Which models there are, their names and their limits.")),
            Page("chat-completions", _("Chat completions"), _("Messages in, a message out.")),
            Page("completions", _("Completions"), _("Text in, its continuation out.")),
            Page("responses", _("Responses"), _("The newer form of OpenAI's API.")),
            Page("messages", _("Messages"), _("For programs that speak Anthropic's API.")),
            Page(
                "structured-output",
                _("Structured output"),
                _("JSON by your schema, a pattern, a choice."),
            ),
            Page("tools", _("Tools"), _("Let a model call functions of your program.")),
            Page("embeddings", _("Embeddings"), _("Texts in, vectors out.")),
            Page("fill-mask", _("Fill mask"), _("What may stand where a token is missing.")),
            Page("tokenize", _("Tokenize"), _("Count before you pay.")),
            Page(
                "management-api",
                _("Management API"),
                _("Keys, members, usage and money, for programs."),
            ),
        ),
    ),
    (
        _("Good to know"),
        (
            Page("streaming", _("Streaming"), _("Server-sent events, and how they end.")),
            Page("errors", _("Errors"), _("Every status and what to do about it.")),
            Page("retries", _("Retries"), _("Send it again, pay once.")),
            Page(
                "request-log", _("Request log"), _("What is kept of a request, and for how long.")
            ),
            Page("limits", _("Limits"), _("How much, how fast, how long.")),
            Page("billing", _("Billing"), _("What is charged, what is free, to the token.")),
        ),
    ),
)
PAGES = {page.slug: page for _title, pages in GROUPS for page in pages}
SAMPLE_LANGUAGES = ("bash", "python", "javascript")
LANGUAGES = {"bash": "Shell", "python": "Python", "javascript": "JavaScript", "json": "JSON"}


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    return render(request, "pages/docs_index.html", {"groups": GROUPS})


@require_safe
def docs_page(request: HttpRequest, slug: str) -> HttpResponse:
    page = page_or_404(slug)
    order = list(PAGES.values())
    position = order.index(page)
    _template, language = template_of(page)
    context = {
        "groups": GROUPS,
        "page": page,
        "content": to_html(text_of(page, request)),
        "content_language": language,
        "previous": order[position - 1] if position else None,
        "next": order[position + 1] if position + 1 < len(order) else None,
    }
    return render(request, "pages/docs_page.html", context)


@require_safe
def docs_markdown(request: HttpRequest, slug: str) -> HttpResponse:
    text = text_of(page_or_404(slug), request)
    return HttpResponse(text, content_type="text/markdown; charset=utf-8")


@require_safe
@translation.override(settings.LANGUAGE_CODE)
def llms_txt(request: HttpRequest) -> HttpResponse:
    """What a language model should read about this site (llmstxt.org): English for all."""
    lines = [
        f"# {settings.SITE_NAME}",
        "",
        "> Language models behind an OpenAI-compatible REST API, prepaid and billed to the token.",
        "",
        f"The API is at {settings.BASE_URL}/v1; requests carry `Authorization: Bearer <key>`.",
    ]
    for title, pages in GROUPS:
        lines += ["", f"## {title}", ""]
        lines += [f"- [{p.title}]({markdown_url(p)}): {p.about}" for p in pages]
    schema = f"{settings.BASE_URL}{reverse('api_schema')}"
    lines += ["", "## Optional", "", f"- [OpenAPI]({schema}): Every address, field and answer."]
    response = HttpResponse("\n".join(lines) + "\n", content_type="text/plain; charset=utf-8")
    response["Content-Language"] = settings.LANGUAGE_CODE
    return response


def markdown_url(page: Page) -> str:
    return f"{settings.BASE_URL}{reverse('docs_markdown', args=[page.slug])}"


def page_or_404(slug: str) -> Page:
    if slug not in PAGES:
        raise Http404
    return PAGES[slug]


def template_of(page: Page) -> tuple[Template, str]:
    """The page's file in the visitor's language, else in English; and the language it is in."""
    language = translation.get_language() or settings.LANGUAGE_CODE
    translated = f"docs/{language}/{page.slug}.md"
    template = Engine.get_default().select_template([translated, f"docs/{page.slug}.md"])
    return template, language if template.name == translated else settings.LANGUAGE_CODE


def text_of(page: Page, request: HttpRequest) -> str:
    """The page as Markdown, with the site's facts and the reader's key hint in it."""
    template, _language = template_of(page)
    offered = offered_to(request)
    mask_model = samples.first_of(ModelKind.FILL_MASK)
    facts = {
        "site": settings.SITE_NAME,
        "base_url": settings.BASE_URL,
        "api_url": f"{settings.BASE_URL}/v1",
        "key_hint": samples.key_hint(request),
        "model": samples.default_model(),
        "embeddings_model": samples.first_of(ModelKind.EMBEDDINGS) or "all-minilm-l6-v2",
        "mask_model": mask_model or "bert-base-uncased",
        "mask_text": samples.mask_text(mask_model),
        "entries": offered,
        "aliases": catalog.aliases_of(offered),
        "max_body_mb": settings.API_MAX_BODY_BYTES // (1024 * 1024),
        "replay_kb": settings.REPLAY_MAX_BYTES // 1024,
        "max_waiting": MAX_WAITING,
        "kept_kb": settings.KEPT_BODY_MAX_BYTES // 1024,
        "max_text_mb": prompts.MAX_TEXT_BYTES // (1024 * 1024),
        "max_token_bytes": prompts.MAX_BYTES_PER_TOKEN,
        "max_values": strict_json.MAX_VALUES,
        "max_nesting": strict_json.MAX_NESTING,
        "max_keys": strict_json.MAX_KEYS,
        "max_containers": strict_json.MAX_CONTAINERS,
        "deadline_s": settings.REQUEST_DEADLINE_S,
        "first_token_s": int(FIRST_TOKEN_WAIT_S),
        "keep_alive_s": int(sse.KEEP_ALIVE_S),
        "max_sequences": settings.API_MAX_SEQUENCES,
        "management_per_minute": settings.MANAGEMENT_REQUESTS_PER_MINUTE,
        "tiers": tiers.table(),
        "window_tokens": settings.HOLD_WINDOW_TOKENS,
        "cache_s": settings.API_KEY_CACHE_S,
        "max_keys_of_organisation": flows.MAX_KEYS,
        "max_keys_a_day": flows.MAX_KEYS_A_DAY,
        "max_invitations_a_day": flows.MAX_INVITATIONS_A_DAY,
        "max_presets": presets.MAX_PRESETS,
        "max_versions": presets.MAX_VERSIONS,
        "max_links": snapshots.MAX_LINKS,
        "max_addresses": settings.ACCOUNT_MAX_EMAIL_ADDRESSES,
    }
    # Markdown, not HTML: an ampersand in a name stays one.
    return str(template.render(Context(facts, autoescape=False)))


class Renderer(RendererHTML):
    """HTML with our classes: code with a copy button, tables in a frame, headings with ids.

    Samples that follow each other without a word between say the same in other languages: they
    become the tabs of one `<code-tabs>`.
    """

    def fence(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[index]
        language = token.info.partition(" ")[0]
        is_curl = token.content.startswith("curl ")
        context = {
            "label": "curl" if is_curl else LANGUAGES.get(language, language),
            "html": samples.coloured(token.content, language),
        }
        html = str(render_to_string("components/code.html", context))
        before, after = is_sample(tokens, index - 1), is_sample(tokens, index + 1)
        if is_sample(tokens, index) and after and not before:
            label = escape(_("Language"))
            html = f'<code-tabs label="{label}">{html}'
        if is_sample(tokens, index) and before and not after:
            html += "</code-tabs>"
        return html

    def heading_open(
        self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
    ) -> str:
        text = re.sub(r"[`*]", "", tokens[index + 1].content)
        name = slugify(text, allow_unicode=True)
        return f'<{tokens[index].tag} id="{escape(name)}">'

    def table_open(self, *_parts: Any) -> str:
        return '<div class="table-frame" tabindex="0"><table class="table cards">'

    def table_close(self, *_parts: Any) -> str:
        return "</table></div>"


def is_sample(tokens: Sequence[Token], index: int) -> bool:
    """Whether there is code of a programming language, no example of an answer."""
    if not 0 <= index < len(tokens) or tokens[index].type != "fence":
        return False
    return tokens[index].info in SAMPLE_LANGUAGES


def to_html(text: str) -> SafeString:
    """Markdown of our own files as HTML; raw HTML in it is shown as text."""
    markdown = MarkdownIt("commonmark", {"html": False}, renderer_cls=Renderer).enable("table")
    tokens = markdown.parse(text)
    label_cells(tokens)
    html: str = markdown.renderer.render(tokens, markdown.options, {})
    return mark_safe(html)  # noqa: S308 (our own text, raw HTML off)


def label_cells(tokens: Sequence[Token]) -> None:
    """Give each cell the words at the head of its column, for screens too narrow for columns."""
    heads: list[str] = []
    column = 0
    for token, inner in pairwise(tokens):
        if token.type == "thead_open":
            heads = []
        elif token.type == "th_open":
            heads.append(re.sub(r"[`*]", "", inner.content))
        elif token.type == "tr_open":
            column = 0
        elif token.type == "td_open":
            if column and heads[column]:  # the first names the row
                token.attrSet("data-label", heads[column])
            column += 1
