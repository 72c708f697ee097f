"""Streams of chunks without a name, which OpenAI's chat and completions have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from inference.api.answers import StreamedUsage, usage_of
from inference.api.errors import envelope
from inference.api.streams import Blanks, untyped
from inference.errors import ServiceError
from inference.spec import Summary, TextDelta
from portal.lib import sse


class Chunks(ABC):
    """A chunk for each choice that has something to say; last the usage, where that is wanted."""

    def __init__(
        self,
        around: Callable[[list[dict[str, Any]]], dict[str, Any]],
        usage: StreamedUsage,
        *,
        plain: bool,
    ) -> None:
        """`around` makes a chunk of choices; `plain`: of a token they tell nothing but its text."""
        self._around = around
        self._usage = usage
        self._plain = plain and not usage.continuous
        self._blanks = Blanks()

    @abstractmethod
    def text_choice(self, index: int, text: str) -> dict[str, Any]:
        """A choice that has more text, and nothing else."""

    @abstractmethod
    def choices(self, delta: TextDelta) -> Iterable[dict[str, Any]]:
        """What a delta says, each in a chunk of its own."""

    def begin(self) -> bytes:
        return b""

    def take(self, delta: TextDelta) -> bytes:
        if self._plain and delta.finish_reason is None:
            return self._blanks.filled(self._text_chunk, delta.index, delta.text)
        self._usage.add(delta)
        return untyped(self.chunk(choice) for choice in self.choices(delta))

    async def end(self, summary: Summary) -> bytes:
        if not self._usage.after:
            return sse.DONE
        return untyped([self._around([]) | {"usage": usage_of(summary)}]) + sse.DONE

    def failed(self, error: ServiceError) -> bytes:
        return untyped([envelope(error)])

    def chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        return self._around([choice]) | self._usage.field

    def _text_chunk(self, index: int, text: str) -> dict[str, Any]:
        return self.chunk(self.text_choice(index, text))
