"""The messages of a run: texts, calls of tools and what the tools answered, in OpenAI's form."""

from typing import Annotated, Any, Literal

from pydantic import Field

from inference.conversation import extra_json, read_arguments, template_call
from inference.errors import invalid
from inference.spec import ChatMessage
from inference.tool_choice import MAX_TOOLS, Name
from playground.strict import Part

CallId = Annotated[str, Field(min_length=1, max_length=256)]


class CalledFunction(Part):
    """`arguments` may be any text, as in the API: that of a call which was cut is no JSON."""

    name: Name
    arguments: str


class ToolCall(Part):
    id: CallId
    type: Literal["function"]
    function: CalledFunction

    def for_template(self) -> dict[str, Any]:
        arguments = read_arguments(self.function.arguments)
        return template_call(self.id, self.function.name, arguments)


class Message(Part):
    """`tool_calls` are the assistant's; `tool_call_id` says which of them a tool answers."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: Annotated[list[ToolCall], Field(max_length=MAX_TOOLS)] = []
    tool_call_id: CallId | None = None

    def to_chat_message(self, param: str) -> ChatMessage:
        """`param` is the path of this message. Raises ServiceError naming what does not fit."""
        if self.tool_calls and self.role != "assistant":
            field = f"{param}.tool_calls"
            raise invalid(f"'{field}': only the assistant calls tools.", field)
        if (self.tool_call_id is None) == (self.role == "tool"):
            field = f"{param}.tool_call_id"
            raise invalid(f"'{field}' belongs to each message of a tool, and no other.", field)
        beside = extra_json(self.tool_calls, self.tool_call_id)
        return ChatMessage(self.role, self.content, extra_json=beside)
