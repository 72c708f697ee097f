"""Messages of the chat endpoint: text, and what templates may want beside it."""

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from inference.api.bodies import RequestBody
from inference.conversation import extra_json, join_parts, read_arguments, template_call
from inference.errors import ServiceError, invalid
from inference.spec import ChatMessage

TEXTS = {"text": "text", "refusal": "refusal"}


class CalledFunction(RequestBody):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    arguments: str


class ToolCall(RequestBody):
    id: Annotated[str, Field(min_length=1, max_length=256)]
    type: Literal["function"]
    function: CalledFunction

    def for_template(self, param: str) -> dict[str, Any]:
        function = self.function
        arguments = read_arguments(function.arguments, f"{param}.function.arguments")
        return template_call(self.id, function.name, arguments)


_PART = {
    "anyOf": [
        {
            "type": "object",
            "properties": {"type": {"const": kind}, kind: {"type": "string"}},
            "required": ["type", kind],
        }
        for kind in ("text", "refusal")
    ]
}
Content = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "minItems": 1, "items": _PART},
                {"type": "null"},
            ]
        }
    ),
]


class Message(RequestBody):
    """One message of a conversation; what templates may want beside the text is kept as JSON."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Content = None
    name: Annotated[str, Field(max_length=64)] | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=128)] | None = None
    tool_call_id: str | None = None

    def to_chat_message(self, index: int) -> ChatMessage:
        """Raises ServiceError naming the part that is not what it should be."""
        param = f"messages[{index}]"
        role, call_id = self.role, self.tool_call_id
        if role == "tool" and not call_id:
            raise _missing(f"{param}.tool_call_id")
        if role == "function":  # as older clients give back what a tool made, by its name
            if not self.name:
                raise _missing(f"{param}.name")
            role, call_id = "tool", self.name
        return ChatMessage(
            role=role,
            content=self._text(f"{param}.content"),
            name=self.name or "",
            extra_json=extra_json(self.tool_calls or (), call_id, param),
        )

    def _text(self, param: str) -> str:
        if isinstance(self.content, str):
            return self.content
        if self.content is None and self.role in {"assistant", "function"}:
            return ""
        return join_parts(self.content, param, TEXTS)


def _missing(param: str) -> ServiceError:
    message = f"Missing required parameter: '{param}'."
    return invalid(message, param, "missing_required_parameter")
