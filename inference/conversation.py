"""A conversation put together from the pieces that an API sends: texts, calls, results of calls."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from inference.errors import invalid
from inference.spec import ChatMessage
from portal.lib import strict_json

# Of a call: an object, or the text that was to be one.
Arguments = dict[str, Any] | str


class Conversation:
    """Grows message by message; calls in a row belong to one message of the assistant."""

    def __init__(self) -> None:
        self.messages: list[ChatMessage] = []
        self._calls: list[dict[str, Any]] = []  # of the last message

    def say(self, role: str, text: str) -> None:
        self._calls = []
        self.messages.append(ChatMessage(role, text))

    def call(self, call_id: str, name: str, arguments: Arguments) -> None:
        """The assistant calls a tool, in the message before if that is its own."""
        if not self.messages or self.messages[-1].role != "assistant":
            self.say("assistant", "")
        self._calls.append(template_call(call_id, name, arguments))
        self.messages[-1] = ChatMessage(
            "assistant",
            self.messages[-1].content,
            extra_json=json.dumps({"tool_calls": self._calls}),
        )

    def answer(self, call_id: str, text: str) -> None:
        """The result of a call."""
        self._calls = []
        extra = json.dumps({"tool_call_id": call_id})
        self.messages.append(ChatMessage("tool", text, extra_json=extra))


class Call(Protocol):
    """A call of a tool, in whatever form an API takes it."""

    def for_template(self) -> dict[str, Any]: ...


def extra_json(calls: Sequence[Call], call_id: str | None) -> str:
    """What a message has beside its text, as `ChatMessage` keeps it; "" for nothing."""
    extra: dict[str, Any] = {}
    if calls:
        extra["tool_calls"] = [call.for_template() for call in calls]
    if call_id:
        extra["tool_call_id"] = call_id
    return json.dumps(extra) if extra else ""


def template_call(call_id: str, name: str, arguments: Arguments) -> dict[str, Any]:
    """A call as templates expect it."""
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def read_arguments(text: str) -> Arguments:
    """The arguments of a call, which OpenAI writes as JSON inside a string.

    Templates expect the object. What is none stays text, for it is what the model once wrote: a
    call that its limit of tokens has cut, say. Most templates write that out as a string.
    """
    try:
        return strict_json.parse_object(text.encode()) if text.strip() else {}
    except strict_json.StrictJSONError:
        return text


def join_parts(parts: Any, param: str, texts: Mapping[str, str], separator: str = "") -> str:
    """The text of a list of content parts; `texts`: which field of which type holds text.

    Raises ServiceError naming the part that is not what it should be.
    """
    if not isinstance(parts, list) or not parts:
        message = f"Invalid type for '{param}': it must be a string or a list of parts."
        raise invalid(message, param, "invalid_type")
    return separator.join(
        _part_text(part, f"{param}[{place}]", texts) for place, part in enumerate(parts)
    )


def _part_text(part: Any, param: str, texts: Mapping[str, str]) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    field = texts.get(kind) if isinstance(kind, str) else None
    if field is None:
        known = " or ".join(f"'{name}'" for name in texts)
        message = f"Invalid value for '{param}.type': only parts of type {known} are supported."
        raise invalid(message, f"{param}.type", "unsupported_value")
    text = part.get(field)
    if not isinstance(text, str):
        message = f"Invalid type for '{param}.{field}': it must be a string."
        raise invalid(message, f"{param}.{field}", "invalid_type")
    return text
