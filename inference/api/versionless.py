"""Addresses that are almost one: what a client asks for whose base URL has not the end it wants.

OpenAI's libraries want a base URL that ends in /v1, Anthropic's one that does not. Most addresses
without it are nothing at all, but `/models` is a page for people. Who is a program is told,
and so is who puts a slash too many before /v1 or at the end, took an endpoint for the base URL, or
comes from Azure, whose addresses OpenAI's libraries spell by another class.
"""

import re

from django.conf import settings
from starlette.types import Scope

# What stands after /v1/ in the addresses there are (of the tokenizer's, each is at the root, too).
TOPS = frozenset(
    {
        "batches", "chat", "completions", "embeddings", "engines", "fill-mask", "files",
        "fine_tuning", "messages", "models", "requests", "responses",
    }
)  # fmt: skip
# An endpoint, and behind it what a client adds that takes it for its base URL.
_DOUBLE = re.compile(
    r"/v1/(?:chat/completions|completions|embeddings|messages|responses)(/v1)?(/[^/].*)"
)

# Azure's older form, which names the model and wants `api-version`, and its newer one.
_AZURES = re.compile(r"(?:/v1)?/(?:openai|deployments)/.*")


def lacks_version(path: str) -> bool:
    """Whether it would be an address of the API with /v1 before it."""
    return path[1:].partition("/")[0] in TOPS


def asked_by_program(scope: Scope) -> bool:
    """Whether such an address is asked for, and not by a browser, which reads and has no key."""
    if not lacks_version(scope["path"]) and not _AZURES.fullmatch(scope["path"]):
        return False
    return scope["method"] not in ("GET", "HEAD") or any(
        name in (b"x-api-key", b"api-key")
        or (name == b"authorization" and value[:7].lower() == b"bearer ")
        for name, value in scope["headers"]
    )


def explanation(path: str) -> str:
    """The sentence that helps who asked for an unknown address; "" when there is none."""
    if lacks_version(path):
        return f"The base URL of this API ends in /v1: this would be {settings.BASE_URL}/v1{path}"
    if _AZURES.fullmatch(path):
        return (
            "This is an address of Azure's. Here it takes OpenAI's own client (OpenAI, not "
            f"AzureOpenAI) with the base URL {settings.BASE_URL}/v1 and the name of a model"
        )
    if path.startswith("/v1/v1/"):
        shown = settings.BASE_URL + path.removeprefix("/v1")
        return f"This client adds /v1 to its base URL, which must not end in it: {shown}"
    if path.startswith("//v1/"):
        return f"One slash too many before /v1: this would be {settings.BASE_URL}{path[1:]}"
    double = _DOUBLE.fullmatch(path)
    if double and lacks_version(double[2]):
        base = settings.BASE_URL + ("" if double[1] else "/v1")
        added = (double[1] or "") + double[2]
        return f"The base URL of this client has to be {base}: it adds {added} by itself"
    if path.endswith("/") and lacks_version(path.removeprefix("/v1")):
        return f"One slash too many at the end: this would be {settings.BASE_URL}{path.rstrip('/')}"
    return ""
