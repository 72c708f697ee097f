"""Messages of the chat endpoint: text, and what templates may want beside it."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from inference.api.bodies import RequestBody, ignored_in
from inference.conversation import Call, extra_json, join_parts, read_arguments, template_call
from inference.errors import ServiceError, invalid
from inference.spec import ChatMessage
from inference.tool_choice import Name

TEXTS = {"text": "text", "refusal": "refusal"}
# Every prompt's beginning is cached, wherever it is said to break.
PART_FIELDS = frozenset({"type", "text", "refusal", "prompt_cache_breakpoint"})


class CalledFunction(RequestBody):
    name: Name
    arguments: str

    def called_as(self, call_id: str) -> dict[str, Any]:
        """As templates expect a call."""
        return template_call(call_id, self.name, read_arguments(self.arguments))


class ToolCall(RequestBody):
    id: Annotated[str, Field(min_length=1, max_length=256)]
    type: Literal["function"]
    function: CalledFunction

    def for_template(self) -> dict[str, Any]:
        return self.function.called_as(self.id)


class FunctionCall(CalledFunction):
    """A call of before there were tools: its result names the function, so that is its id."""

    def for_template(self) -> dict[str, Any]:
        return self.called_as(self.name)


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
    function_call: FunctionCall | None = None
    refusal: str | None = None
    audio: None = None

    def ignored_fields(self) -> list[str]:
        in_parts = type(self.content) is list
        if not (in_parts or self.__pydantic_extra__ or self.tool_calls or self.function_call):
            return []  # as nearly always: conversations have many messages
        found = super().ignored_fields()
        if in_parts:
            found += ignored_in(self.content, "content", PART_FIELDS)
        return found

    def to_chat_message(self, index: int) -> ChatMessage:
        """Raises ServiceError naming the part that is not what it should be."""
        param = f"messages[{index}]"
        role, call_id = self.role, self.tool_call_id
        if role != "assistant":
            self._check_is_no_answer(param)
        if role == "tool" and not call_id:
            raise _missing(f"{param}.tool_call_id")
        if role == "function":  # as older clients give back what a function made, by its name
            if not self.name:
                raise _missing(f"{param}.name")
            role, call_id = "tool", self.name
        return ChatMessage(
            role=role,
            content=self._text(f"{param}.content"),
            name=self.name or "",
            extra_json=extra_json(self._calls(param), call_id),
        )

    def _check_is_no_answer(self, param: str) -> None:
        for name in ("function_call", "refusal"):
            if getattr(self, name):
                field = f"{param}.{name}"
                message = f"Invalid value for '{field}': only messages of the assistant have it."
                raise invalid(message, field, "invalid_value")

    def _text(self, param: str) -> str:
        texts = [self.refusal] if self.refusal else []
        if isinstance(self.content, str):
            texts.insert(0, self.content)
        elif self.content is not None or self.role not in {"assistant", "function"}:
            texts.insert(0, join_parts(self.content, param, TEXTS))
        return "\n".join(texts)

    def _calls(self, param: str) -> Sequence[Call]:
        if self.function_call is None:
            return self.tool_calls or ()
        if self.tool_calls:
            message = f"'{param}' has either 'tool_calls' or the older 'function_call'."
            raise invalid(message, f"{param}.function_call", "invalid_value")
        return [self.function_call]


def _missing(param: str) -> ServiceError:
    message = f"Missing required parameter: '{param}'."
    return invalid(message, param, "missing_required_parameter")
