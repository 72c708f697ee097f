"""Puts tools, their calls and their results into a conversation as the model's template wants them.

A template that knows tools gets them as they are. For any other they become plain messages: a
system message describes the tools and the form of a call, calls are text of the assistant, and
results come from the user.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from inference.engine.tool_formats import FORMATS, HERMES, NAME, ToolFormat
from inference.spec import ChatMessage, ChatPrompt, Tool

BEFORE, AFTER = f"{HERMES.trigger}\n{HERMES.head}", f"{HERMES.tail}\n</tool_call>"
CALL = f"{BEFORE}ARGUMENTS{AFTER}"
INTRODUCTION = (
    "You can call tools. Each line describes one of them as JSON, with a JSON schema of its "
    "arguments:"
)
FORM = (
    "To call a tool, answer with its name and its arguments as JSON, in this form and with nothing "
    "after it:"
)


def format_of(name: str) -> ToolFormat:
    """The form in which a model of this family calls tools; the family is the engine's word."""
    return FORMATS.get(name, HERMES)


def calls_several(name: str) -> bool:
    """Whether models of this family were made to call several tools at once."""
    return name in FORMATS and not FORMATS[name].single


def adapt(prompt: ChatPrompt, family: str) -> ChatPrompt:
    """The conversation for templates of this family; without tools in it, for the other ones."""
    form = FORMATS.get(family)
    if form is None:
        messages = tuple(_as_plain(message) for message in prompt.messages)
        if prompt.tools:
            messages = _introduce(prompt.tools, messages)
        return ChatPrompt(messages)
    if form.short_ids:
        return replace(prompt, messages=tuple(_with_short_ids(m) for m in prompt.messages))
    return prompt


def tools_json(tools: Iterable[Tool]) -> str:
    """The tools as templates take them; empty when there are none."""
    described = [describe(tool) for tool in tools]
    return json.dumps(described, ensure_ascii=False) if described else ""


def describe(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = json.loads(tool.parameters)
    return {"type": "function", "function": function}


def _introduce(
    tools: tuple[Tool, ...], messages: tuple[ChatMessage, ...]
) -> tuple[ChatMessage, ...]:
    """Describe the tools at the end of the first system message, or in one of their own."""
    lines = [json.dumps(describe(tool)["function"], ensure_ascii=False) for tool in tools]
    text = "\n".join([INTRODUCTION, *lines, FORM, CALL])
    if messages and messages[0].role in {"system", "developer"}:
        first = replace(messages[0], content=f"{messages[0].content}\n\n{text}")
        return (first, *messages[1:])
    return (ChatMessage("system", text), *messages)


def _as_plain(message: ChatMessage) -> ChatMessage:
    if message.role == "tool":
        content = f"<tool_response>\n{message.content}\n</tool_response>"
        return ChatMessage("user", content)
    calls = _extra(message).get("tool_calls")
    if not calls:
        return message
    written = [_written(call["function"]) for call in calls]
    content = "\n".join([*filter(None, [message.content]), *written])
    return replace(message, content=content, extra_json="")


def _written(function: dict[str, Any]) -> str:
    arguments = function["arguments"]
    if not isinstance(arguments, str):  # which a model wrote, and did not end
        arguments = json.dumps(arguments, ensure_ascii=False)
    return BEFORE.replace(NAME, function["name"]) + arguments + AFTER


def _with_short_ids(message: ChatMessage) -> ChatMessage:
    extra = _extra(message)
    for call in extra.get("tool_calls", ()):
        call["id"] = _short(call["id"])
    if "tool_call_id" in extra:
        extra["tool_call_id"] = _short(extra["tool_call_id"])
    return replace(message, extra_json=json.dumps(extra)) if extra else message


def _extra(message: ChatMessage) -> dict[str, Any]:
    extra: dict[str, Any] = json.loads(message.extra_json) if message.extra_json else {}
    return extra


def _short(call_id: str) -> str:
    return hashlib.sha256(call_id.encode()).hexdigest()[:9]
