"""Code samples with the reader's own base URL, key prefix and model filled in."""

import json
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from accounts.models import ApiKey, Scope
from inference import catalog, service
from inference.catalog import CatalogEntry
from inference.models import ModelKind
from inference.service import ModelLoad

PLACEHOLDER = "sk-prl-…"


@dataclass(frozen=True)
class Sample:
    label: str
    language: str
    text: str

    @property
    def html(self) -> SafeString:
        return coloured(self.text, self.language)


def coloured(text: str, language: str) -> SafeString:
    """`text` as spans with pygments' classes; plain where the language is unknown."""
    try:
        lexer = get_lexer_by_name(language or "text", stripnl=False)
    except ClassNotFound:
        lexer = get_lexer_by_name("text", stripnl=False)
    inner = highlight(text, lexer, HtmlFormatter(nowrap=True)).rstrip("\n")
    return mark_safe(f'<code class="highlight">{inner}</code>')  # noqa: S308 (pygments escapes)


def key_hint(request: HttpRequest) -> str:
    """The beginning of the reader's newest usable key, as far as we know it; else a placeholder."""
    organisation = getattr(request, "organisation", None)
    if not organisation:  # a lazy None, for visitors
        return PLACEHOLDER
    usable = ApiKey.objects.filter(
        organisation=organisation, scope=Scope.INFERENCE, revoked_at=None
    ).exclude(expires_at__lt=timezone.now())
    newest = usable.order_by("-created_at").first()
    return f"{newest.prefix}…{newest.last_four}" if newest else PLACEHOLDER


def default_model() -> str:
    """The first model of the lists that generates text."""
    return first_of(ModelKind.TEXT) or catalog.STARTER


def first_of(kind: ModelKind) -> str:
    """The first model of a kind; nothing when there is none."""
    return next((entry.name for entry in catalog.models_offered_to(None) if entry.kind == kind), "")


def samples_of(entry: CatalogEntry) -> list[Sample]:
    """How a model is called."""
    if entry.kind == ModelKind.EMBEDDINGS:
        return encoder_samples(entry.name, "embeddings", "The food was delicious.")
    if entry.kind == ModelKind.FILL_MASK:
        return encoder_samples(entry.name, "fill-mask", mask_text(entry.name))
    return chat_samples(entry.name) if entry.is_chat else completion_samples(entry.name)


def mask_text(model: str) -> str:
    """A text with a mask as the model writes it; as BERT does, before an engine has told."""
    mask = service.loads().get(model, ModelLoad()).mask_token or "[MASK]"
    return f"Paris is the {mask} of France."


def encoder_samples(model: str, path: str, text: str) -> list[Sample]:
    return [curl_sample(path, {"model": model, "input": text})]


def chat_samples(model: str) -> list[Sample]:
    base = f"{settings.BASE_URL}/v1"
    body = {"model": model, "messages": [{"role": "user", "content": "Once upon a time"}]}
    python = (
        "from openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{base}")  # reads OPENAI_API_KEY\n'
        "answer = client.chat.completions.create(\n"
        f'    model="{model}",\n'
        '    messages=[{"role": "user", "content": "Once upon a time"}],\n'
        ")\n"
        "print(answer.choices[0].message.content)"
    )
    javascript = (
        'import OpenAI from "openai";\n\n'
        f'const client = new OpenAI({{ baseURL: "{base}" }}); // reads OPENAI_API_KEY\n'
        "const answer = await client.chat.completions.create({\n"
        f'  model: "{model}",\n'
        '  messages: [{ role: "user", content: "Once upon a time" }],\n'
        "});\n"
        "console.log(answer.choices[0].message.content);"
    )
    return [
        curl_sample("chat/completions", body),
        Sample("Python", "python", python),
        Sample("JavaScript", "javascript", javascript),
    ]


def completion_samples(model: str) -> list[Sample]:
    base = f"{settings.BASE_URL}/v1"
    body = {"model": model, "prompt": "Once upon a time", "max_tokens": 32}
    python = (
        "from openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{base}")\n'
        "answer = client.completions.create(\n"
        f'    model="{model}", prompt="Once upon a time", max_tokens=32\n'
        ")\n"
        "print(answer.choices[0].text)"
    )
    return [curl_sample("completions", body), Sample("Python", "python", python)]


def curl_sample(path: str, body: dict[str, Any]) -> Sample:
    text = (
        f"curl {settings.BASE_URL}/v1/{path} \\\n"
        '  -H "Authorization: Bearer $OPENAI_API_KEY" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d '{json.dumps(body, indent=2)}'"
    )
    return Sample("curl", "bash", text)
