"""Messages of a conversation: text, and what templates may want beside it."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field

from inference.api.bodies import RequestBody
from inference.errors import invalid
from inference.spec import ChatMessage
from portal.lib import strict_json


class CalledFunction(RequestBody):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    arguments: str


class ToolCall(RequestBody):
    id: Annotated[str, Field(min_length=1, max_length=256)]
    type: Literal["function"]
    function: CalledFunction

    def for_template(self, param: str) -> dict[str, Any]:
        """The call with its arguments as an object, as templates expect it."""
        text = self.function.arguments
        try:
            arguments = strict_json.parse_object(text.encode()) if text else {}
        except strict_json.StrictJSONError:
            field = f"{param}.function.arguments"
            message = f"Invalid value for '{field}': it must be the JSON text of an object."
            raise invalid(message, field, "invalid_value") from None
        function = {"name": self.function.name, "arguments": arguments}
        return {"id": self.id, "type": "function", "function": function}


class Message(RequestBody):
    """One message of a conversation; what templates may want beside the text is kept as JSON."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Any = None
    name: Annotated[str, Field(max_length=64)] | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=128)] | None = None
    tool_call_id: str | None = None

    def to_chat_message(self, index: int) -> ChatMessage:
        """Raises ServiceError naming the part that is not what it should be."""
        param = f"messages[{index}]"
        if self.role == "tool" and not self.tool_call_id:
            field = f"{param}.tool_call_id"
            message = f"Missing required parameter: '{field}'."
            raise invalid(message, field, "missing_required_parameter")
        extra: dict[str, Any] = {}
        if self.tool_calls:
            extra["tool_calls"] = [
                call.for_template(f"{param}.tool_calls[{number}]")
                for number, call in enumerate(self.tool_calls)
            ]
        if self.tool_call_id:
            extra["tool_call_id"] = self.tool_call_id
        return ChatMessage(
            role=self.role,
            content=self._text(f"{param}.content"),
            name=self.name or "",
            extra_json=json.dumps(extra) if extra else "",
        )

    def _text(self, param: str) -> str:
        if isinstance(self.content, str):
            return self.content
        if self.content is None and self.role in {"assistant", "function"}:
            return ""
        if not isinstance(self.content, list) or not self.content:
            message = f"Invalid type for '{param}': it must be a string or a list of parts."
            raise invalid(message, param, "invalid_type")
        return "".join(_part_text(part, f"{param}[{i}]") for i, part in enumerate(self.content))


def _part_text(part: Any, param: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    field = {"text": "text", "refusal": "refusal"}.get(kind) if isinstance(kind, str) else None
    if field is None:
        message = f"Invalid value for '{param}.type': only parts of type 'text' are supported."
        raise invalid(message, f"{param}.type", "invalid_value")
    text = part.get(field)
    if not isinstance(text, str):
        message = f"Invalid type for '{param}.{field}': it must be a string."
        raise invalid(message, f"{param}.{field}", "invalid_type")
    return text
