"""A kept request goes on in the playground: what was sent, and what was answered."""

import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import Membership, Organisation, Role, User
from billing.models import UsageRecord
from inference.log import bodies
from inference.log.bodies import Bodies
from playground.models import Conversation
from tests.portal.records import make_record

CHAT = {
    "model": "gpt-4o-mini",
    "messages": [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "Name "},
                                     {"type": "text", "text": "a colour."}]},
    ],
    "temperature": 0.5,
    "stop": "\n",
    "max_completion_tokens": 20,
    "stream": True,
    "metadata": {"job": "nightly"},
}  # fmt: skip
ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Red."}}]}


def keep(
    organisation: Organisation, body: Any = CHAT, answer: bytes | None = None, **fields: Any
) -> UsageRecord:
    organisation.keeps_bodies = True
    organisation.save(update_fields=["keeps_bodies"])
    record = make_record(organisation, **fields)
    asked, said = json.dumps(body).encode(), answer or json.dumps(ANSWER).encode()
    kept = Bodies(asked, said, len(asked), len(said))
    bodies.keep(organisation.id, record.request_id, kept)
    return record


def address(record: UsageRecord) -> str:
    return f"/portal/requests/{record.request_id}/playground/"


def test_it_goes_on_from_what_was_sent_and_answered(
    alice_client: Client, organisation: Organisation, alice: User
) -> None:
    record = keep(organisation)
    page = alice_client.get(f"/portal/requests/{record.request_id}/")
    assert address(record) in page.content.decode()
    went = alice_client.post(address(record))
    conversation = Conversation.objects.get()
    assert went["Location"] == f"/playground/?conversation={conversation.pk}"
    assert conversation.user == alice
    assert conversation.model == "starter"
    assert conversation.parameters == {"temperature": 0.5, "stop": ["\n"], "max_tokens": 20}
    assert [(message.role, message.content) for message in conversation.messages.all()] == [
        ("system", "Be short."),
        ("user", "Name a colour."),
        ("assistant", "Red."),
    ]
    assert "Name a colour." in alice_client.get(went["Location"]).content.decode()


@pytest.mark.parametrize("answer", [ANSWER, {"choices": []}])
def test_it_opens_as_one_conversation_until_that_goes_on(
    alice_client: Client, bob_client: Client, organisation: Organisation, bob: User, answer: Any
) -> None:
    record = keep(organisation, answer=json.dumps(answer).encode())
    first, again = (alice_client.post(address(record))["Location"] for _ in range(2))
    assert first == again
    [conversation] = Conversation.objects.all()
    same_words = keep(organisation, answer=json.dumps({**answer, "id": "another"}).encode())
    alice_client.post(address(same_words))
    num_copies = 2 if answer is ANSWER else 1  # where both were answered, each has its own numbers
    assert Conversation.objects.count() == num_copies
    conversation.messages.create(position=9, role="user", content="And another?")
    assert alice_client.post(address(record))["Location"] not in (first, again)
    bob_client.post(address(record))
    assert Conversation.objects.filter(user=bob).count() == 1


def test_a_streamed_answer_is_put_together(
    alice_client: Client, organisation: Organisation
) -> None:
    chunks = [
        {"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("Re", "d\u2028.")
    ]
    written = [json.dumps(chunk, ensure_ascii=False) for chunk in [*chunks, {"choices": []}]]
    lines = [f"data: {chunk}\n\n" for chunk in written]
    stream = ("".join(lines) + "data: [DONE]\n\n").encode()
    alice_client.post(address(keep(organisation, answer=stream, stream=True)))
    assert Conversation.objects.get().messages.last().content == "Red\u2028."  # type: ignore[union-attr]


TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": None, "parameters": {"type": "object"}},
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
ASKED_TOOLS = {
    **CHAT,
    "tools": [TOOL],
    "tool_choice": "required",
    "messages": [
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "no", "tool_call_id": "call_1"},
    ],
}  # fmt: skip


@pytest.mark.parametrize("streamed", [False, True])
def test_a_chat_with_tools_keeps_its_tools_and_calls(
    alice_client: Client, organisation: Organisation, streamed: bool
) -> None:
    second = {"id": "call_2", "type": "function"}
    whole = second | {"function": {"name": "weather", "arguments": '{"a": 1}'}}
    if streamed:
        parts = [second | {"index": 0, "function": {"name": "weather", "arguments": '{"a"'}},
                 {"index": 0, "function": {"arguments": ": 1}"}}]  # fmt: skip
        chunks = [{"choices": [{"index": 0, "delta": {"tool_calls": [part]}}]} for part in parts]
        answer = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode()
    else:
        message = {"role": "assistant", "content": None, "tool_calls": [whole]}
        answer = json.dumps({"choices": [{"index": 0, "message": message}]}).encode()
    alice_client.post(address(keep(organisation, ASKED_TOOLS, answer, stream=streamed)))
    conversation = Conversation.objects.get()
    assert conversation.parameters["tools"][0]["function"]["name"] == "weather"
    assert conversation.parameters["tool_choice"] == "required"
    assert [
        (message.role, message.content, message.tool_calls, message.tool_call_id)
        for message in conversation.messages.all()
    ] == [
        ("user", "Rain?", [], ""),
        ("assistant", "", [CALL], ""),
        ("tool", "no", [], "call_1"),
        ("assistant", "", [whole], ""),
    ]


COMPLETION = {
    "model": "starter", "prompt": ["Once upon"], "max_tokens": 7, "logprobs": 2, "echo": True,
    "response_format": {"type": "json_object"},
}  # fmt: skip


def test_a_completion_opens_as_one(alice_client: Client, organisation: Organisation) -> None:
    answer = json.dumps({"choices": [{"index": 0, "text": "Once upon a time"}]}).encode()
    record = keep(organisation, COMPLETION, answer, endpoint="completions")
    went = alice_client.post(address(record))
    conversation = Conversation.objects.get()
    assert conversation.mode == "completion"
    assert conversation.parameters == {
        "max_tokens": 7, "logprobs": True, "top_logprobs": 2,
        "response_format": {"type": "json_object"},
    }  # fmt: skip
    asked, answered = conversation.messages.all()
    assert (asked.content, answered.content) == ("Once upon", " a time")
    assert answered.request_id == record.request_id
    assert answered.measured["cost_nanos"] == record.cost_nanos
    assert answered.measured["completion_tokens"] == 30
    assert alice_client.get(went["Location"]).status_code == 200


def test_what_the_playground_cannot_say_is_named(
    alice_client: Client, organisation: Organisation
) -> None:
    record = keep(organisation, {**CHAT, "n": 2, "logit_bias": {"5": 1}, "user": "u"})
    page = alice_client.post(address(record), follow=True).content.decode()
    assert "this part of the request: logit_bias, n." in page
    assert Conversation.objects.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"tools": [{"type": "function", "function": {"name": "with spaces"}}]},
        {"tools": "none"},
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        {"messages": [{"role": "tool", "content": "4"}]},
        {"messages": "hello"},
        {"messages": ["hello"]},
        {"temperature": "hot"},
        {"response_format": "json"},
    ],
)
def test_what_the_playground_cannot_show_is_refused_in_words(
    alice_client: Client, organisation: Organisation, changes: dict[str, Any]
) -> None:
    record = keep(organisation, {**CHAT, **changes})
    page = alice_client.post(address(record), follow=True)
    assert "The playground cannot show this request" in page.content.decode()
    assert not Conversation.objects.exists()


@pytest.mark.parametrize("prompt", [["a", "b"], [1, 2], "", None])
def test_a_completion_of_other_than_one_text_is_refused(
    alice_client: Client, organisation: Organisation, prompt: Any
) -> None:
    record = keep(organisation, {**COMPLETION, "prompt": prompt}, endpoint="completions")
    alice_client.post(address(record))
    assert not Conversation.objects.exists()


def test_other_endpoints_and_what_is_not_kept_are_not_offered(
    alice_client: Client, organisation: Organisation
) -> None:
    for record in (keep(organisation, endpoint="embeddings"), make_record(organisation)):
        assert (
            address(record)
            not in alice_client.get(f"/portal/requests/{record.request_id}/").content.decode()
        )
        alice_client.post(address(record))
    assert not Conversation.objects.exists()


def test_strangers_find_nothing_and_viewers_may_not(
    alice_client: Client, charlie_client: Client, organisation: Organisation, alice: User
) -> None:
    record = keep(organisation)
    assert charlie_client.post(address(record)).status_code == 404
    assert alice_client.get(address(record)).status_code == 405
    Membership.objects.filter(user=alice).update(role=Role.VIEWER)
    assert alice_client.post(address(record)).status_code == 403
    assert not Conversation.objects.exists()
