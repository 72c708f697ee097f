"""A choice of a chat answer as it comes: content, and calls of tools, in OpenAI's form."""

from collections.abc import Iterable
from typing import Any

from inference.generation import Generation
from inference.spec import TextDelta
from inference.tool_calls import ArgumentsPart, CallBegun, CallReader, Part, Said
from inference.tool_prompts import format_of
from portal.lib.ids import new_id


class ChoiceText:
    """Turns the deltas of one choice into what its message gains by each."""

    def __init__(self, generation: Generation) -> None:
        use = generation.spec.tool_use
        self._reader: CallReader | None = None
        if use is not None:
            form = format_of(generation.tool_format)
            self._reader = CallReader(form, required=use.required)

    def gains(self, delta: TextDelta) -> list[dict[str, Any]]:
        """The `delta` objects of a stream's chunks."""
        if self._reader is None:
            return [{"content": delta.text}] if delta.text else []
        parts = self._reader.feed(delta.text)
        if delta.finish_reason:
            parts += self._reader.flush()
        return [_gain(part) for part in parts]

    def finish_reason(self, reason: str | None) -> str | None:
        """Why it ended: a text that ends after calls ended for them."""
        called = self._reader is not None and self._reader.ended_well
        return "tool_calls" if called and reason == "stop" else reason

    def message(self, deltas: Iterable[TextDelta]) -> dict[str, Any]:
        """The whole message."""
        content: list[str] = []
        calls: list[dict[str, Any]] = []
        for delta in deltas:
            for gain in self.gains(delta):
                content.append(gain.get("content", ""))
                for call in gain.get("tool_calls", ()):
                    _add(call, calls)
        text = "".join(content)
        said = text if text or self._reader is None else None
        message: dict[str, Any] = {
            "role": "assistant",
            "content": said,
            "refusal": None,
            "annotations": [],
        }
        return message | {"tool_calls": calls} if calls else message


def _gain(part: Part) -> dict[str, Any]:
    match part:
        case Said(text):
            return {"content": text}
        case CallBegun(index, name):
            function = {"name": name, "arguments": ""}
            call = {"index": index, "id": new_id("call"), "type": "function", "function": function}
        case ArgumentsPart(index, text):
            call = {"index": index, "function": {"arguments": text}}
    return {"tool_calls": [call]}


def _add(gain: dict[str, Any], calls: list[dict[str, Any]]) -> None:
    if "id" in gain:
        calls.append({name: value for name, value in gain.items() if name != "index"})
    else:
        calls[gain["index"]]["function"]["arguments"] += gain["function"]["arguments"]
