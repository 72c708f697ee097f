"""Keeps log-probabilities in step with the text that is decided.

Text is held back while it may turn out to be a stop sequence; the log-probabilities of its tokens
are held back with it, since they would spell the stop sequence out.
"""

import codecs
import math
from collections import deque
from collections.abc import Iterable

from inference.engine.wire import engine_pb2 as wire
from inference.spec import TokenLogprob


class Alignment:
    """The tokens of one sequence whose text was not seen yet."""

    __slots__ = ("_decoder", "_seen", "_spelt", "_waiting")

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting: deque[tuple[int, TokenLogprob]] = deque()  # with the offset of its text
        self._spelt = 0  # characters of all tokens so far
        self._seen = 0  # characters of text so far

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def add(self, entries: Iterable[TokenLogprob]) -> None:
        for entry in entries:
            self._waiting.append((self._spelt, entry))
            self._spelt += len(self._decoder.decode(entry.text_bytes))

    def advance(self, text: str) -> None:
        self._seen += len(text)

    def release(self, *, everything: bool, last: bool) -> list[TokenLogprob]:
        """The tokens whose text has begun to show; what a stop sequence hid is dropped."""
        released = []
        while self._waiting and (everything or self._waiting[0][0] < self._seen):
            released.append(self._waiting.popleft()[1])
        if last:
            self._waiting.clear()
        return released


def token_logprobs(entries: Iterable[wire.TokenLogprobs]) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(
            token_id=entry.token_id,
            token_bytes=entry.token_bytes,
            logprob=None if math.isnan(entry.logprob) else entry.logprob,
            top=tuple((top.token_id, top.token_bytes, top.logprob) for top in entry.top),
            silent=entry.silent,
        )
        for entry in entries
    )
