"""A choice of a chat answer as it comes: content, and calls of tools, in OpenAI's form."""

from collections.abc import Iterable
from typing import Any

from inference.answer_parts import AnswerReader
from inference.generation import Generation
from inference.spec import TextDelta
from inference.tool_calls import ArgumentsPart, CallBegun, Part, Said
from portal.lib.ids import new_id


class ChoiceText:
    """Turns the deltas of one choice into what its message gains by each."""

    def __init__(self, generation: Generation) -> None:
        self._reader = AnswerReader(generation)

    def gains(self, delta: TextDelta) -> list[dict[str, Any]]:
        """The `delta` objects of a stream's chunks."""
        return [_gain(part) for part in self._reader.parts(delta)]

    def finish_reason(self, reason: str | None) -> str | None:
        """Why it ended: a text that ends after calls ended for them."""
        return "tool_calls" if self._reader.ended_for_calls(reason) else reason

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
        said = None if not text and self._reader.may_call else text
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
