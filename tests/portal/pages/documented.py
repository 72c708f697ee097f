"""What the documentation's tests share: its samples, and the addresses that they have to call."""

import json
import re
from collections.abc import Iterable

from portal import openapi
from tests.portal.pages.recorder import Call

LANGUAGES = ("bash", "python", "javascript")
Address = tuple[str, str]


def samples_in(text: str, language: str) -> list[str]:
    """The blocks of code in a page's Markdown that are marked with exactly this language."""
    return re.findall(rf"```{re.escape(language)}\n(.*?)```", text, re.DOTALL)


def addresses() -> set[Address]:
    """Method and path of everything that the REST API answers, as the OpenAPI document spells it.

    /tokenize and its neighbours are the same with and without /v1.
    """
    paths = json.loads(openapi.document())["paths"]
    return {
        (method.upper(), path)
        for path, item in paths.items()
        for method in item
        if method in openapi.METHODS and f"/v1{path}" not in paths
    }


def addresses_of(calls: Iterable[Call]) -> set[Address]:
    """Which of them these calls went to, and were answered well."""
    patterns = {address: pattern_of(address[1]) for address in addresses()}
    return {
        address
        for call in calls
        for address, pattern in patterns.items()
        if call.method == address[0] and call.status < 400 and pattern.fullmatch(call.path)
    }


def pattern_of(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{\w+\}", "[^/]+", path))
