"""A conversation put together from the pieces that an API sends: texts, calls, results of calls."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from inference.errors import invalid
from inference.spec import ChatMessage
from portal.lib import strict_json


class Conversation:
    """Grows message by message; calls in a row belong to one message of the assistant."""

    def __init__(self) -> None:
        self.messages: list[ChatMessage] = []
        self._calls: list[dict[str, Any]] = []  # of the last message

    def say(self, role: str, text: str) -> None:
        self._calls = []
        self.messages.append(ChatMessage(role, text))

    def call(self, call_id: str, name: str, arguments: dict[str, Any]) -> None:
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

    def for_template(self, param: str) -> dict[str, Any]: ...


def extra_json(calls: Sequence[Call], call_id: str | None, param: str) -> str:
    """What a message at `param` has beside its text, as `ChatMessage` keeps it; "" for nothing."""
    extra: dict[str, Any] = {}
    if calls:
        extra["tool_calls"] = [
            call.for_template(f"{param}.tool_calls[{number}]") for number, call in enumerate(calls)
        ]
    if call_id:
        extra["tool_call_id"] = call_id
    return json.dumps(extra) if extra else ""


def template_call(call_id: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """A call as templates expect it: its arguments are an object."""
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def read_arguments(text: str, param: str) -> dict[str, Any]:
    """The arguments of a call, which OpenAI writes as JSON inside a string."""
    try:
        return strict_json.parse_object(text.encode()) if text else {}
    except strict_json.StrictJSONError:
        message = f"Invalid value for '{param}': it must be the JSON text of an object."
        raise invalid(message, param, "invalid_value") from None


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
        raise invalid(message, f"{param}.type", "invalid_value")
    text = part.get(field)
    if not isinstance(text, str):
        message = f"Invalid type for '{param}.{field}': it must be a string."
        raise invalid(message, f"{param}.{field}", "invalid_type")
    return text
