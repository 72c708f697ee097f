"""What the corpus is made of: documents, and the split that keeps some of them for evaluation.

A document is either raw text or a chat. Its `keys` name what it teaches ("sum:12+7"). A key belongs
to the held-out side or to the training side for ever, decided by a hash, so a generator that
changes its random order cannot leak a held-out item into training.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant", "text"]

HELD_OUT_ONE_IN = 25


@dataclass(frozen=True)
class Turn:
    """One message of a chat, or the whole of a raw document (role "text")."""

    role: Role
    content: str


@dataclass(frozen=True)
class Document:
    """One training example. Raw documents have exactly one turn, of role "text"."""

    kind: str
    language: str
    turns: tuple[Turn, ...]
    keys: tuple[str, ...] = ()

    @property
    def is_chat(self) -> bool:
        return self.turns[0].role != "text"

    @property
    def text(self) -> str:
        return "\n".join(turn.content for turn in self.turns)


def raw(kind: str, language: str, text: str, *keys: str) -> Document:
    return Document(kind, language, (Turn("text", text),), keys)


def chat(
    kind: str, language: str, exchanges: list[tuple[str, str]], *keys: str, system: str = ""
) -> Document:
    """A chat of (user, assistant) exchanges, with a system message when one is given."""
    turns = [Turn("system", system)] if system else []
    for question, answer in exchanges:
        turns += [Turn("user", question), Turn("assistant", answer)]
    return Document(kind, language, tuple(turns), keys)


def key_is_held_out(key: str) -> bool:
    digest = hashlib.blake2b(key.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % HELD_OUT_ONE_IN == 0


def is_held_out(document: Document) -> bool:
    """One held-out key is enough: a training document must not contain any."""
    return any(key_is_held_out(key) for key in document.keys)
