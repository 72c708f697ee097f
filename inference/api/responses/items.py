"""Input items of `/v1/responses`: messages, calls of functions, and what came of them.

Every item becomes a part of the conversation and, should the response be stored, an item that has
an id and can be listed.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from inference.api.bodies import RequestBody, ignored_in, parse_part
from inference.conversation import Conversation, join_parts, read_arguments
from inference.errors import invalid
from inference.tool_choice import Name
from portal.lib.ids import new_id

MAX_ITEMS = 2048
INPUT_TEXTS = {"input_text": "text"}
MESSAGE_TEXTS = {"input_text": "text", "output_text": "text", "refusal": "refusal"}
# Every prompt's beginning is cached, wherever it is said to break.
PART_FIELDS = frozenset(
    {"type", "text", "refusal", "annotations", "logprobs", "prompt_cache_breakpoint"}
)

CallId = Annotated[str, Field(min_length=1, max_length=256)]


class Item(RequestBody):
    """What items of answers have, and bring along when they are sent back; it changes nothing."""

    id: str | None = None
    status: str | None = None
    text_field: ClassVar[str] = ""  # that may hold parts

    def ignored_fields(self) -> list[str]:
        found = super().ignored_fields()
        if self.text_field:
            parts = getattr(self, self.text_field)
            found += ignored_in(parts, self.text_field, PART_FIELDS)
        return found


class MessageItem(Item):
    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Any
    phase: str | None = None
    text_field = "content"

    def add_to(self, conversation: Conversation, place: str) -> None:
        conversation.say(self.role, _text(self.content, f"{place}.content", MESSAGE_TEXTS))

    def listed(self) -> dict[str, Any]:
        content = self.content
        if isinstance(content, str):
            content = [output_text(content) if self.role == "assistant" else input_text(content)]
        content = [_completed(part) for part in content]
        item = {"type": "message", "role": self.role, "content": content, "status": "completed"}
        return {"id": new_id("msg"), **item}


class DirectCaller(RequestBody):
    type: Literal["direct"]


class FunctionItem(Item):
    """Calls by programs, and tools in namespaces, are not there."""

    caller: DirectCaller | None = None
    namespace: None = None


class FunctionCallItem(FunctionItem):
    type: Literal["function_call"]
    call_id: CallId
    name: Name
    arguments: str

    def add_to(self, conversation: Conversation, _place: str) -> None:
        conversation.call(self.call_id, self.name, read_arguments(self.arguments))

    def listed(self) -> dict[str, Any]:
        return {
            "id": new_id("fc"),
            "type": "function_call",
            "status": "completed",
            "call_id": self.call_id,
            "name": self.name,
            "arguments": self.arguments,
        }


class FunctionCallOutputItem(FunctionItem):
    type: Literal["function_call_output"]
    call_id: CallId
    name: str | None = None
    output: Any
    text_field = "output"

    def add_to(self, conversation: Conversation, place: str) -> None:
        conversation.answer(self.call_id, _text(self.output, f"{place}.output", INPUT_TEXTS))

    def listed(self) -> dict[str, Any]:
        return {
            "id": new_id("fco"),
            "type": "function_call_output",
            "status": "completed",
            "call_id": self.call_id,
            "output": self.output,
        }


InputItem = MessageItem | FunctionCallItem | FunctionCallOutputItem
_KINDS: dict[str, type[InputItem]] = {
    "message": MessageItem,
    "function_call": FunctionCallItem,
    "function_call_output": FunctionCallOutputItem,
}
# What to do with the items of others, which libraries send by themselves.
INSTEAD = {
    "item_reference": (
        "send the item itself, as Vercel's AI SDK does with 'providerOptions: {openai: {store: "
        "false}}'"
    ),
    "reasoning": "leave it out",
}


def read_input(value: str | list[Any] | None) -> list[InputItem]:
    """The items of `input`. Raises ServiceError naming what is not what it should be."""
    if value is None:
        return []
    if isinstance(value, str):
        return [MessageItem(role="user", content=value)]
    if len(value) > MAX_ITEMS:
        message = f"Invalid value for 'input': at most {MAX_ITEMS:,} items."
        raise invalid(message, "input", "invalid_value")
    return [_read_item(item, place) for place, item in enumerate(value)]


def _read_item(item: Any, place: int) -> InputItem:
    kind = item.get("type") or "message" if isinstance(item, dict) else "message"
    model = _KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        param = f"input[{place}].type"
        known = ", ".join(f"'{name}'" for name in _KINDS)
        message = f"Invalid value for '{param}': items of this type are not supported; of {known}."
        if isinstance(kind, str) and kind in INSTEAD:
            message = f"Items of type '{kind}' are not supported: {INSTEAD[kind]}."
        raise invalid(message, param, "unsupported_value")
    return parse_part(model, item, "input", place)


def converse(instructions: str | None, items: Sequence[InputItem], first: int) -> Conversation:
    """What the model is told; the items from `first` on are those of the request's `input`.

    Those before come from a stored response: they were looked at when they were sent.
    """
    conversation = Conversation()
    if instructions is not None:
        conversation.say("system", instructions)
    for place, item in enumerate(items, -first):
        item.add_to(conversation, f"input[{place}]")
    return conversation


def _text(value: Any, param: str, texts: dict[str, str]) -> str:
    return value if isinstance(value, str) else join_parts(value, param, texts)


def _completed(part: dict[str, Any]) -> dict[str, Any]:
    """A part with the fields that may be left out of a request, but not of an answer."""
    return output_text("") | part if part["type"] == "output_text" else part


def input_text(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


def output_text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
