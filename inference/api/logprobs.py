"""Log-probabilities in OpenAI's two shapes: lists of objects for chat, parallel lists for
completions.
"""

import codecs
from collections.abc import Iterable
from typing import Any

from inference.logprobs import finite, spell_token
from inference.spec import TokenLogprob


def chat_logprobs(entries: Iterable[TokenLogprob], *, asked: bool) -> dict[str, Any] | None:
    if not asked:
        return None
    content = [
        _chat_token(entry.token_bytes, entry.logprob)
        | {"top_logprobs": [_chat_token(raw, logprob) for _, raw, logprob in entry.top]}
        for entry in entries
    ]
    return {"content": content, "refusal": None}


def _chat_token(raw: bytes, logprob: float | None) -> dict[str, Any]:
    return {
        "token": raw.decode(errors="replace"),
        "logprob": finite(logprob),
        "bytes": list(raw),
    }


class CompletionLogprobs:
    """Builds the parallel lists of one choice; a stream continues where it was."""

    def __init__(self, *, num_top: int) -> None:
        self._num_top = num_top
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._offset = 0  # below zero where a token stands before the text

    def echo(self, text: str, entries: Iterable[TokenLogprob]) -> None:
        """Begin with a prompt's text, whose tokens these are.

        A tokenizer puts tokens, or a space, before a text that has none: they take no room in it.
        """
        spelt = b"".join(entry.text_bytes for entry in entries).decode(errors="replace")
        self._offset = min(len(text) - len(spelt), 0)

    def lists(self, entries: Iterable[TokenLogprob]) -> dict[str, list[Any]]:
        made: dict[str, list[Any]] = {
            "tokens": [],
            "token_logprobs": [],
            "top_logprobs": [],
            "text_offset": [],
        }
        for entry in entries:
            known = entry.logprob is not None
            made["tokens"].append(spell_token(entry.token_bytes))
            made["token_logprobs"].append(finite(entry.logprob) if known else None)
            made["top_logprobs"].append(self._top(entry) if known else None)
            self._end_broken_character(entry.text_bytes)
            made["text_offset"].append(max(self._offset, 0))
            self._offset += len(self._decoder.decode(entry.text_bytes))
        return made

    def _end_broken_character(self, following: bytes) -> None:
        """The beginning of a character that does not go on is one of its own: U+FFFD."""
        begun, _ = self._decoder.getstate()
        if not (begun and following):
            return
        try:
            codecs.utf_8_decode(begun + following[:1], "strict", False)
        except UnicodeDecodeError:
            self._offset += len(self._decoder.decode(b"", final=True))

    def _top(self, entry: TokenLogprob) -> dict[str, float]:
        """The most probable tokens and the scored one, even when it is not among them.

        Of equal ones the scored token stands first, so that a search for the maximum finds it;
        of tokens that are spelt the same the more probable one counts.
        """
        ranked = [(raw, logprob) for _, raw, logprob in entry.top[: self._num_top]]
        if all(token_id != entry.token_id for token_id, _, _ in entry.top[: self._num_top]):
            ranked.append((entry.token_bytes, entry.logprob or 0.0))
        ranked.sort(key=lambda item: (-item[1], item[0] != entry.token_bytes))
        made: dict[str, float] = {}
        for raw, logprob in ranked:
            made.setdefault(spell_token(raw), finite(logprob))
        return made
