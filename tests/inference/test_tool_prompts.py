"""Conversations with tools, for templates that know them and for those that do not."""

import json
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from inference.constraints import _grammar_of_calls
from inference.conversation import read_arguments, template_call
from inference.engine.codec import Chat
from inference.engine.wire.engine_pb2 import EngineInfo
from inference.spec import ChatMessage, ChatPrompt, Tool, ToolUse
from inference.tool_calls import CallBegun, CallReader
from inference.tool_prompts import CALL, adapt, calls_several, format_of, tools_json
from tests.inference.engine.chat_templates import TEMPLATES, make_codec

WEATHER = Tool(
    "weather", "Tells it.", '{"type": "object", "properties": {"city": {}}}', True, "tools"
)
CALLS = json.dumps(
    {
        "tool_calls": [
            {
                "id": "call_0123456789",
                "type": "function",
                "function": {"name": "weather", "arguments": {"city": "Zürich"}},
            }
        ]
    }
)
RESULT = json.dumps({"tool_call_id": "call_0123456789"})
TALK = (
    ChatMessage("user", "How is it?"),
    ChatMessage("assistant", "", extra_json=CALLS),
    ChatMessage("tool", "sunny", extra_json=RESULT),
)


def test_a_template_without_tools_gets_plain_messages() -> None:
    adapted = adapt(ChatPrompt(TALK, (WEATHER,)), "")
    assert adapted.tools == ()
    assert [m.role for m in adapted.messages] == ["system", "user", "assistant", "user"]
    assert all(m.extra_json == "" for m in adapted.messages)
    system, _, call, result = (m.content for m in adapted.messages)
    assert '"name": "weather", "description": "Tells it."' in system
    assert system.endswith(CALL)
    assert result == "<tool_response>\nsunny\n</tool_response>"
    reader = CallReader(format_of(""), required=True)
    assert reader.feed(call)[0] == CallBegun(0, "weather")
    assert "Zürich" in call


def test_a_call_keeps_its_name_whatever_that_is() -> None:
    call = template_call("c", "NAME_ARGUMENTS", {"a": 1})
    talk = (ChatMessage("assistant", "", extra_json=json.dumps({"tool_calls": [call]})),)
    [message] = adapt(ChatPrompt(talk), "").messages
    assert message.content == CALL.replace("NAME", "NAME_ARGUMENTS").replace(
        ": ARGUMENTS", ': {"a": 1}'
    )


@pytest.mark.parametrize("role", ["system", "developer"])
def test_the_tools_are_described_after_what_the_system_says(role: str) -> None:
    messages = (ChatMessage(role, "Be brief."), *TALK)
    adapted = adapt(ChatPrompt(messages, (WEATHER,)), "")
    assert adapted.messages[0].content.startswith("Be brief.\n\nYou can call tools.")
    assert len(adapted.messages) == 4


def test_a_conversation_without_tools_is_left_alone() -> None:
    messages = (ChatMessage("system", "Be brief."), ChatMessage("user", "Hello"))
    assert adapt(ChatPrompt(messages), "").messages == messages


def test_every_family_renders_tools_calls_and_results() -> None:
    for family, template in TEMPLATES.items():
        prompt = adapt(ChatPrompt(TALK, (WEATHER,)), family)
        rendered = rendered_by(template, prompt)
        assert '"description": "Tells it."' in rendered
        assert "Zürich" in rendered
        assert "tool\nsunny" in rendered


def test_what_a_family_calls_at_once_its_template_takes_back() -> None:
    """Llama's refuses several calls in a message: made by default, they would be the last ones."""
    [call] = json.loads(CALLS)["tool_calls"]
    twice = json.dumps({"tool_calls": [call, call]})
    prompt = ChatPrompt((TALK[0], ChatMessage("assistant", "", extra_json=twice)), (WEATHER,))
    for family, template in TEMPLATES.items():
        refused = pytest.raises(ValueError, match="single tool-calls")
        with nullcontext() if calls_several(family) else refused:
            rendered_by(template, adapt(prompt, family))
    assert not calls_several("")


@pytest.mark.parametrize("family", TEMPLATES)
@pytest.mark.parametrize("asked", [None, True, False])
def test_several_calls_are_allowed_where_they_are_asked_for_or_made_for(
    family: str, asked: bool | None
) -> None:
    link: Any = SimpleNamespace(info=EngineInfo(tool_format=family))
    use = ToolUse((0,), required=True, parallel=asked)
    grammar = _grammar_of_calls((WEATHER,), use, link, None)
    several = family != "llama" if asked is None else asked
    assert (f"({format_of(family).following} call)*" in grammar.source) is several


def test_every_family_is_shown_a_call_that_was_cut() -> None:
    """As a string, in the JSON that its template writes."""
    arguments = read_arguments('{"city": "Züri')
    cut = json.dumps({"tool_calls": [template_call("call_0", "weather", arguments)]})
    talk = (TALK[0], ChatMessage("assistant", "", extra_json=cut))
    for family, template in TEMPLATES.items():
        rendered = rendered_by(template, adapt(ChatPrompt(talk), family))
        assert json.dumps(arguments, ensure_ascii=False) in rendered, family
    plain = adapt(ChatPrompt(talk), "").messages[1].content
    assert '"arguments": {"city": "Züri' in plain


def test_a_template_that_wants_objects_alone_refuses_a_call_that_was_cut() -> None:
    wants = (
        "{% for message in messages %}{% for call in message.tool_calls or [] %}"
        "{% for name in call.function.arguments.keys() %}{{ name }}{% endfor %}"
        "{% endfor %}{% endfor %}"
    )
    for arguments, refused in (("{}", False), ("{", True)):
        call = template_call("c", "weather", read_arguments(arguments))
        extra = json.dumps({"tool_calls": [call]})
        prompt = ChatPrompt((ChatMessage("assistant", "", extra_json=extra),))
        with pytest.raises(ValueError, match="refused the messages") if refused else nullcontext():
            rendered_by(wants, prompt)


def rendered_by(template: str, prompt: ChatPrompt) -> str:
    messages = [
        {"role": m.role, "content": m.content, **json.loads(m.extra_json or "{}")}
        for m in prompt.messages
    ]
    tools = json.loads(tools_json(prompt.tools) or "[]")
    codec = make_codec(template)
    return codec.decode(codec.encode_chat(Chat(tuple(messages), tools=tuple(tools))))


def test_ids_are_shortened_where_the_template_insists_on_it() -> None:
    adapted = adapt(ChatPrompt(TALK, (WEATHER,)), "mistral")
    [call] = json.loads(adapted.messages[1].extra_json)["tool_calls"]
    answered = json.loads(adapted.messages[2].extra_json)["tool_call_id"]
    assert call["id"] == answered
    assert len(answered) == 9
    assert answered.isalnum()


def test_without_tools_nothing_is_handed_to_the_template() -> None:
    assert tools_json(()) == ""
