"""What every generated document passes before it may teach anything.

Normalises to NFC, strips trailing blanks, refuses stray characters and documents that are too
short, too long or that repeat themselves, and drops exact duplicates.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator

from inference.training.documents import Document, Turn

MIN_CHARACTERS = 4
MAX_CHARACTERS = 8000
# Of the word 4-grams of a long text, at least this share must be different ones.
MIN_DISTINCT_NGRAMS = 0.6

# Latin with accents, general punctuation, arrows and signs, CJK punctuation, Han, full-width forms.
_ALLOWED = re.compile(
    "[\n\t\u0020-\u007e\u00a0-\u024f\u2010-\u2027\u2030-\u205e\u20a0-\u20bf\u2190-\u22ff"
    "\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]*"
)
_WORD = re.compile(r"[A-Za-z']+|[\u4e00-\u9fff]|\d")


def clean(documents: Iterable[Document]) -> Iterator[Document]:
    """The documents that are fit for training, normalised, each text once."""
    seen: set[bytes] = set()
    for document in documents:
        tidy = normalised(document)
        if not is_sound(tidy.text):
            continue
        digest = hashlib.blake2b(tidy.text.encode(), digest_size=12).digest()
        if digest not in seen:
            seen.add(digest)
            yield tidy


def normalised(document: Document) -> Document:
    turns = tuple(Turn(turn.role, normalised_text(turn.content)) for turn in document.turns)
    return Document(document.kind, document.language, turns, document.keys)


def normalised_text(text: str) -> str:
    lines = (line.rstrip() for line in unicodedata.normalize("NFC", text).split("\n"))
    return "\n".join(lines).strip()


def is_sound(text: str) -> bool:
    return (
        MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS
        and _ALLOWED.fullmatch(text) is not None
        and distinct_ngrams(text) >= MIN_DISTINCT_NGRAMS
    )


def distinct_ngrams(text: str, n: int = 4) -> float:
    """The share of different word n-grams; a Han character or a figure is a word. 1 when short."""
    words = _WORD.findall(text.lower())
    if len(words) < 40:
        return 1.0
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams)
