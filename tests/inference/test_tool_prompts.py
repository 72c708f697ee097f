"""Conversations with tools, for templates that know them and for those that do not."""

import json
from contextlib import nullcontext

import pytest

from inference.conversation import read_arguments, template_call
from inference.engine.codec import Chat
from inference.spec import ChatMessage, ChatPrompt, Tool
from inference.tool_calls import CallBegun, CallReader
from inference.tool_prompts import CALL, adapt, format_of, tools_json
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
