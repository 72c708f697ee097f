"""Turns of `/v1/messages`: texts, uses of tools, and what came of them.

Turns of one role in a row are one turn, and its texts are joined by line breaks, as Anthropic's
description has it; the templates of some models insist on turns that alternate.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from inference.api.bodies import RequestBody, ignored_in, parse_part
from inference.conversation import Conversation, join_parts
from inference.errors import invalid
from inference.tool_choice import Name

TEXTS = {"text": "text"}

Place = tuple[str | int, ...]
Id = Annotated[str, Field(min_length=1, max_length=256)]


class Turn(RequestBody):
    role: Literal["user", "assistant", "system"]
    content: Any

    def ignored_fields(self) -> list[str]:
        """Also those of its blocks, which were looked at before."""
        found = super().ignored_fields()
        for place, block in enumerate(self.content if isinstance(self.content, list) else ()):
            known = _ALLOWED[self.role][block["type"]].model_fields
            found += [f"content[{place}].{name}" for name in sorted(block.keys() - known)]
            inner = block.get("content")
            found += ignored_in(inner, f"content[{place}].content", TextBlock.model_fields)
        return found


class Block(RequestBody):
    """Every prompt's beginning is cached, whatever is said of that."""

    cache_control: dict[str, Any] | None = None


class TextBlock(Block):
    type: Literal["text"]
    text: str
    citations: list[Any] | None = None  # there are none in answers, and so in what is sent back


class ToolUseBlock(Block):
    type: Literal["tool_use"]
    id: Id
    name: Name
    input: dict[str, Any]
    caller: dict[str, Any] | None = None  # as answers have it; here only the model itself calls


class ToolResultBlock(Block):
    type: Literal["tool_result"]
    tool_use_id: Id
    content: Any = ""
    is_error: bool = False

    def text(self, param: str) -> str:
        """What the model is told; that it is an error stands before it."""
        text = text_of(self.content, f"{param}.content")
        return f"Error: {text}" if self.is_error else text


AnyBlock = TextBlock | ToolUseBlock | ToolResultBlock
_ALLOWED: dict[str, dict[str, type[AnyBlock]]] = {
    "user": {"text": TextBlock, "tool_result": ToolResultBlock},
    "assistant": {"text": TextBlock, "tool_use": ToolUseBlock},
    "system": {"text": TextBlock},
}


def converse(system: Any, turns: Sequence[Turn]) -> Conversation:
    """What the model is told. Raises ServiceError naming the block that is not what it should be.

    The last turn must not be the model's own: its beginning cannot be put into its mouth here.
    """
    conversation = Conversation()
    if system not in (None, []):
        conversation.say("system", text_of(system, "system"))
    placed = enumerate(turns)
    for role, group in itertools.groupby(placed, key=lambda found: found[1].role):
        _take_turn(conversation, role, (b for place, turn in group for b in _blocks(turn, place)))
    if turns[-1].role == "assistant":
        param = f"messages[{len(turns) - 1}].role"
        message = f"Invalid value for '{param}': the last turn cannot be the assistant's (prefill)."
        raise invalid(message, param, "unsupported_value")
    return conversation


def _blocks(turn: Turn, place: int) -> Iterator[tuple[str, AnyBlock]]:
    """The blocks of a turn and their paths."""
    content, param = turn.content, f"messages[{place}].content"
    if isinstance(content, str):
        yield param, TextBlock(type="text", text=content)
        return
    if not isinstance(content, list) or not content:
        message = f"Invalid type for '{param}': it must be a string or a list of blocks."
        raise invalid(message, param, "invalid_type")
    allowed = _ALLOWED[turn.role]
    for number, block in enumerate(content):
        kind = block.get("type") if isinstance(block, dict) else None
        model = allowed.get(kind) if isinstance(kind, str) else None
        if model is None:
            field = f"{param}[{number}].type"
            known = " or ".join(f"'{name}'" for name in allowed)
            message = f"Invalid value for '{field}': only blocks of type {known} are supported."
            raise invalid(message, field, "unsupported_value")
        block = parse_part(model, block, "messages", place, "content", number)
        yield f"{param}[{number}]", block


def _take_turn(
    conversation: Conversation, role: str, blocks: Iterable[tuple[str, AnyBlock]]
) -> None:
    """Texts in a row are one message, before what follows them."""
    texts: list[str] = []
    for param, block in blocks:
        if isinstance(block, TextBlock):
            texts.append(block.text)
            continue
        _say(conversation, role, texts)
        if isinstance(block, ToolUseBlock):
            conversation.call(block.id, block.name, block.input)
        else:
            conversation.answer(block.tool_use_id, block.text(param))
    _say(conversation, role, texts)


def _say(conversation: Conversation, role: str, texts: list[str]) -> None:
    if texts:
        conversation.say(role, "\n".join(texts))
        texts.clear()


def text_of(value: Any, param: str) -> str:
    """A string, or the texts of a list of blocks, which may be empty."""
    if value == []:
        return ""
    return value if isinstance(value, str) else join_parts(value, param, TEXTS, separator="\n")
