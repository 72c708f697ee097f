"""Finds English in what a reader of Chinese is shown."""

import gettext
import json
import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser

from portal.management.commands import messages

SPOKEN = {
    "title", "alt", "placeholder", "aria-label", "label", "copied", "cancelled", "unavailable",
    "data-label", "data-waiting", "data-arrived", "question", "yes",
}  # fmt: skip
VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
# Two small words side by side: a name, an address or a number is none.
SENTENCE = re.compile(r"(?<![\w@./:-])[a-z]{2,} [a-z]{2,}(?![\w@/-])")
PLACEHOLDER = re.compile(r"%\(\w+\)s|\{\w+\}")


class Texts(HTMLParser):
    """What a page says: text outside of code, and attributes that are read out or shown.

    What stands in an element with a language of its own, or is marked as data, is left out.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[tuple[str, bool]] = []  # each element, and whether it is read
        self.feed(html)

    @property
    def reading(self) -> bool:
        return not self.open or self.open[-1][1]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        foreign = tag != "html" and given.get("lang", "zh-hans") != "zh-hans"
        silent = (
            tag in {"code", "pre", "style", "script", "textarea"} or given.get("translate") == "no"
        )
        read = self.reading and not foreign and not silent
        if read:
            self.found += [value for name, value in attrs if value and name in SPOKEN]
        if read and tag == "input" and given.get("type") == "submit":
            self.found.append(given.get("value") or "")
        if tag not in VOID:
            self.open.append((tag, read))

    def handle_endtag(self, tag: str) -> None:
        if any(tag == each for each, _read in self.open):
            while self.open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1][0] == "script":
            self.found += texts_in_json(data)
        elif self.reading:
            self.found.append(data)


def texts_in_json(data: str) -> list[str]:
    """The table of sentences that a page's modules say."""
    try:
        page = json.loads(data)
    except ValueError:
        return []
    return list(page.get("texts", {}).values()) if isinstance(page, dict) else []


def english_in(html: str) -> list[str]:
    """What a page says in English, though it is marked for translation or looks like a sentence."""
    texts = {" ".join(text.split()) for text in Texts(html).found}
    return sorted(text for text in texts if is_english(text))


def is_english(text: str) -> bool:
    if SENTENCE.search(text):
        return True
    return any(pattern.fullmatch(text) for pattern in originals())


@cache
def originals() -> list[re.Pattern[str]]:
    """What the catalogue translates to something else; placeholders stand for anything."""
    return [
        re.compile(".+".join(re.escape(part) for part in PLACEHOLDER.split(" ".join(text.split()))))
        for text in translated()
        if re.search(r"[A-Za-z]{2}", PLACEHOLDER.sub("", text))
    ]


def translated() -> Iterator[str]:
    [catalogue] = messages.catalogues()
    with catalogue.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)._catalog
    for key, translation in compiled.items():
        original = key[0] if isinstance(key, tuple) else key
        original = original.rpartition("\4")[2]  # without its context
        if original and original != translation:
            yield original
