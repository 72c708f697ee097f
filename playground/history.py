"""Conversations on the server: whose they are, how a finished run is written, and reading them.

A run writes once, at its end, in one transaction: the messages as its frame gave them and the
answer with what it measured. What earlier answers measured is carried over by their text, since a
client may edit messages but never what the server counted.
"""

import json
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from accounts import flows
from inference.errors import ServiceError
from playground import messages
from playground.models import Conversation, Message, Mode, new_conversation_id
from playground.protocol import Run

NEW = "new"
TITLE_CHARS = 80
LISTED = 50
MAX_WORDS = 8

# Answers by role and text, in their order: two that say the same were two requests.
Earlier = defaultdict[tuple[str, str, str], deque[Message]]


@dataclass(frozen=True, slots=True)
class Answer:
    request_id: str
    text: str
    tool_calls: list[dict[str, Any]]
    measured: dict[str, Any]


def conversations(user_id: int, organisation_id: str) -> QuerySet[Conversation]:
    """Those of one person in one organisation, the newest first; nobody else sees them."""
    mine = Conversation.objects.filter(user_id=user_id, organisation_id=organisation_id)
    return mine.order_by("-updated_at")


def search(found: QuerySet[Conversation], words: str) -> QuerySet[Conversation]:
    """Those with every word somewhere in the title or in a message."""
    for word in words.split()[:MAX_WORDS]:
        said = Message.objects.filter(conversation=OuterRef("pk"), content__icontains=word)
        found = found.filter(Q(title__icontains=word) | Exists(said))
    return found


def listed(found: QuerySet[Conversation]) -> dict[str, Any]:
    """What the list at the side shows of them, and whether these are not all."""
    first = list(found.defer("parameters")[: LISTED + 1])  # of each up to a megabyte
    return {"history": first[:LISTED], "listed": LISTED, "has_more": len(first) > LISTED}


def choose(run: Run, user_id: int, organisation_id: str) -> str:
    """The id to save into: a new one, or the member's own. Raises ServiceError (404)."""
    if run.conversation == NEW:
        return new_conversation_id()
    asked = conversations(user_id, organisation_id).filter(pk=run.conversation).first()
    if asked is None:
        message = _("There is no such conversation.")
        raise ServiceError(
            404, "invalid_request_error", "conversation_not_found", message, "conversation"
        )
    return asked.pk if _goes_on(asked, run) else new_conversation_id()


def _goes_on(conversation: Conversation, run: Run) -> bool:
    """Whether its last answer is one that the sender knows of, where it says which it knows.

    Another tab may have gone on with the conversation: what it got must not be written over.
    """
    last = conversation.messages.exclude(request_id="").last()
    return not run.after or last is None or last.request_id == run.after


def save(conversation_id: str, user_id: int, organisation_id: str, run: Run, answer: Answer) -> str:
    """Make the conversation say what the run sent and got; the id of the one that does.

    A conversation that was deleted while its answer streamed stays deleted, and nothing is kept;
    one that went on in another tab meanwhile stays as it is, and the run is one of its own. Of a
    deleted organisation nothing is kept either.
    """
    with transaction.atomic():
        if not flows.lock(organisation_id):  # else a deletion waits, and takes along what is kept
            return ""
        mine = conversations(user_id, organisation_id).select_for_update()
        conversation = mine.filter(pk=conversation_id).first()
        if conversation is None and run.conversation == conversation_id:
            return ""
        if conversation is not None and not _goes_on(conversation, run):
            conversation, conversation_id = None, new_conversation_id()
        if conversation is None:
            conversation = Conversation(
                id=conversation_id,
                user_id=user_id,
                organisation_id=organisation_id,
                title=title_of(run),
            )
        conversation.model = run.model
        conversation.mode = Mode.COMPLETION if run.messages is None else Mode.CHAT
        conversation.parameters = run.parameters.model_dump(by_alias=True, exclude_defaults=True)
        conversation.save()
        earlier: Earlier = defaultdict(deque)
        for message in Message.objects.filter(conversation=run.conversation).exclude(request_id=""):
            earlier[said_by(message)].append(message)
        conversation.messages.all().delete()
        Message.objects.bulk_create(_messages(conversation, run, earlier, answer))
        return conversation.id


def _messages(
    conversation: Conversation,
    run: Run,
    earlier: Earlier,
    answer: Answer,
) -> list[Message]:
    rows = rows_of(conversation, messages_of(run))
    for row in rows:
        same = earlier[said_by(row)]
        if same:
            known = same.popleft()
            row.request_id, row.measured = known.request_id, known.measured
    return [*rows, answer_row(conversation, len(rows), answer)]


def rows_of(conversation: Conversation, sent: Sequence[messages.Message]) -> list[Message]:
    return [
        Message(
            conversation=conversation,
            position=position,
            role=message.role,
            content=message.content,
            tool_calls=[call.model_dump() for call in message.tool_calls],
            tool_call_id=message.tool_call_id or "",
        )
        for position, message in enumerate(sent)
    ]


def answer_row(conversation: Conversation, position: int, answer: Answer) -> Message:
    return Message(
        conversation=conversation,
        position=position,
        role="assistant",
        content=answer.text,
        tool_calls=answer.tool_calls,
        request_id=answer.request_id,
        measured=answer.measured,
    )


def messages_of(run: Run) -> list[messages.Message]:
    """Those of a chat; the text that a completion goes on with stands for a person's message."""
    if run.messages is None:
        return [messages.Message(role="user", content=run.prompt or "")]
    return run.messages


def said_by(message: Message) -> tuple[str, str, str]:
    return message.role, message.content, json.dumps(message.tool_calls, sort_keys=True)


def title_of(run: Run) -> str:
    """The beginning of what the person said first."""
    said = [message.content for message in messages_of(run) if message.role == "user"]
    words = " ".join(said[0].split()) if said else ""
    return words if len(words) <= TITLE_CHARS else words[: TITLE_CHARS - 1].rstrip() + "…"


def as_json(conversation: Conversation) -> dict[str, Any]:
    """What the page, and whoever exports it, needs of a conversation."""
    return {
        "id": conversation.id,
        "title": conversation.title,
        "mode": conversation.mode,
        "model": conversation.model,
        "parameters": conversation.parameters,
        "created_at": conversation.created_at.isoformat(),
        "updated_at": conversation.updated_at.isoformat(),
        "messages": [
            {
                "role": message.role,
                "content": message.content,
                "tool_calls": message.tool_calls,
                "tool_call_id": message.tool_call_id,
                "request_id": message.request_id,
                "measured": message.measured,
            }
            for message in conversation.messages.all()
        ],
    }


def spell_cost(measured: dict[str, Any]) -> str:
    names = ("prompt_tokens", "completion_tokens", "cost_nanos")
    asked, made, cost = (measured.get(name, 0) for name in names)
    return f"{asked} tokens in, {made} tokens out, ${cost // 10**9}.{cost % 10**9:09}"


def as_markdown(conversation: Conversation) -> str:
    """The conversation to read, with the price of each answer."""
    parts = [f"# {conversation.title}", f"Model: `{conversation.model}`"]
    if conversation.parameters:
        shown = json.dumps(conversation.parameters, ensure_ascii=False, indent=2)
        parts.append(f"```json\n{shown}\n```")
    for message in conversation.messages.all():
        parts.append(f"## {message.role.capitalize()}")
        if message.content:
            parts.append(message.content)
        for call in message.tool_calls:
            function = call["function"]
            parts.append(f"```json\n{function['name']}({function['arguments']})\n```")
        if message.measured:
            parts.append(f"*{spell_cost(message.measured)}*")
    return "\n\n".join(parts) + "\n"
