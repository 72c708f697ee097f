"""A message as it comes: its content blocks, and the typed event of every step.

A whole answer is made by the same steps, with nobody listening to the events.
"""

from collections.abc import Iterator
from typing import Any

from inference.answer_parts import AnswerReader
from inference.api.errors import encode
from inference.generation import Generation
from inference.spec import Summary, TextDelta
from inference.tool_calls import ArgumentsPart, CallBegun, Part, Said
from portal.lib.ids import new_id

Event = dict[str, Any]


class Answer:
    """One message from its beginning to its end."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._reader = AnswerReader(generation)
        self._blocks: list[dict[str, Any]] = []  # the last one grows until it is closed
        self._text: list[str] = []  # of the block that grows
        self._growing = False
        self._inputs: dict[str, str] = {}  # of the uses that were not cut, by what stands for them
        self._ended_by: tuple[str | None, str | None] = (None, None)

    def begin(self) -> Iterator[Event]:
        """What of the prompt was cached is known when its first token is there, as it mostly is."""
        cached = self._generation.sequences[0].cached_tokens
        usage = _usage(self._generation.prompt_tokens - cached, cached, 0)
        yield {"type": "message_start", "message": self._object([], usage)}
        yield {"type": "ping"}

    def take(self, delta: TextDelta) -> Iterator[Event]:
        for part in self._reader.parts(delta):
            yield from self._grow(part)
        if delta.finish_reason is not None:
            yield from self._close(cut=not self._reader.called_well)
            self._ended_by = self._why(delta), delta.stop_sequence or None

    def end(self, summary: Summary) -> Iterator[Event]:
        reason, sequence = self._ended_by
        usage = _usage_of(summary)
        told = {"stop_reason": reason, "stop_sequence": sequence}
        yield {"type": "message_delta", "delta": told, "usage": usage}
        yield {"type": "message_stop"}

    def whole(self, summary: Summary) -> bytes:
        """The message as JSON, without a use of a tool that was cut: half of one means nothing.

        An input stands there as the model wrote it, and as a stream has it: it may nest deeper than
        Python reads, and hold numbers that it does not write.
        """
        content = [block for block in self._blocks if block.get("input", "") != {}]
        message = encode(self._object(content, _usage_of(summary)))
        for stand_in, text in self._inputs.items():
            message = message.replace(encode(stand_in), text.encode(), 1)
        return message

    def _grow(self, part: Part) -> Iterator[Event]:
        match part:
            case Said(text):
                if not self._growing:
                    yield self._open({"type": "text", "text": ""})
                yield self._more({"type": "text_delta", "text": text}, text)
            case CallBegun(_, name):
                yield from self._close(cut=False)
                use = {"type": "tool_use", "id": new_id("toolu"), "name": name, "input": {}}
                yield self._open(use)
            case ArgumentsPart(_, text):
                yield self._more({"type": "input_json_delta", "partial_json": text}, text)

    def _open(self, block: dict[str, Any]) -> Event:
        self._blocks.append(block)
        self._growing = True
        place = len(self._blocks) - 1
        return {"type": "content_block_start", "index": place, "content_block": dict(block)}

    def _more(self, delta: dict[str, Any], text: str) -> Event:
        self._text.append(text)
        return {"type": "content_block_delta", "index": len(self._blocks) - 1, "delta": delta}

    def _close(self, *, cut: bool) -> Iterator[Event]:
        if not self._growing:
            return
        block, text = self._blocks[-1], "".join(self._text)
        if block["type"] == "text":
            block["text"] = text
        elif not cut:
            block["input"] = f"input of {block['id']}"  # which no model can know
            self._inputs[block["input"]] = text
        self._text, self._growing = [], False
        yield {"type": "content_block_stop", "index": len(self._blocks) - 1}

    def _why(self, delta: TextDelta) -> str:
        if delta.finish_reason == "length":
            return "max_tokens"
        if delta.stop_sequence:
            return "stop_sequence"
        return "tool_use" if self._reader.ended_for_calls(delta.finish_reason) else "end_turn"

    def _object(self, content: list[dict[str, Any]], usage: dict[str, Any]) -> dict[str, Any]:
        reason, sequence = self._ended_by
        return {
            "id": f"msg_{self._generation.request_id.removeprefix('req_')}",
            "type": "message",
            "role": "assistant",
            "model": self._generation.model,
            "content": content,
            "stop_reason": reason,
            "stop_sequence": sequence,
            "usage": usage,
        }


def _usage_of(summary: Summary) -> dict[str, Any]:
    uncached = summary.prompt_tokens - summary.cached_tokens
    return _usage(uncached, summary.cached_tokens, summary.completion_tokens)


def _usage(uncached: int, cached: int, output: int) -> dict[str, Any]:
    """Disjoint, as they are billed; writing to the cache costs nothing here."""
    return {
        "input_tokens": uncached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": output,
    }
