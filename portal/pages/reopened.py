"""A kept chat request as a conversation of the playground, to go on from or to try again.

What was sent becomes the conversation's messages and parameters, read as strictly as a frame of the
playground is; the answer, where it is kept whole, its last message. Opening costs nothing.
"""

import json
from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.permissions import member_required
from billing.models import UsageRecord
from inference.log import bodies
from inference.log.bodies import Bodies
from playground import protocol
from playground.models import Conversation, Message
from playground.protocol import Run
from portal.pages.requests import BODY_READERS, CHAT

# Of a request's body; what else it names (`stream`, `metadata`) is no matter of a conversation.
PARAMETERS = (
    "temperature", "top_p", "top_k", "min_p", "max_tokens", "stop", "presence_penalty",
    "frequency_penalty", "repetition_penalty", "seed",
)  # fmt: skip
TITLE_CHARS = 80


@require_POST
@member_required(*BODY_READERS)
def request_reopen(request: HttpRequest, request_id: str) -> HttpResponse:
    organisation = request.organisation  # type: ignore[attr-defined]
    mine = UsageRecord.objects.filter(organisation=organisation)
    record = get_object_or_404(mine, request_id=request_id)
    kept = bodies.read(record.organisation_id, record.request_id)
    try:
        frame = frame_of(record, kept)
    except ValueError:
        said = _("The playground cannot show this request: it takes chats of plain texts alone.")
        messages.error(request, said)
        return redirect("request_detail", request_id)
    assert kept is not None
    user_id = request.user.pk
    assert user_id is not None
    conversation = save(user_id, record, frame, answer_of(kept, streamed=record.stream))
    return redirect(f"{reverse('playground')}?conversation={conversation.pk}")


def frame_of(record: UsageRecord, kept: Bodies | None) -> Run:
    """What the playground would have sent. Raises ValueError for what it could not have."""
    if record.endpoint != CHAT or kept is None or len(kept.request) != kept.request_bytes:
        raise ValueError("It is not kept whole, or no chat.")
    body = json.loads(kept.request)
    if not isinstance(body, dict) or body.get("tools"):
        raise ValueError("Tools are not of plain texts.")
    given = {name: body[name] for name in PARAMETERS if body.get(name) is not None}
    if "max_completion_tokens" in body:
        given.setdefault("max_tokens", body["max_completion_tokens"])
    if isinstance(given.get("stop"), str):
        given["stop"] = [given["stop"]]
    frame = {
        "type": "run",
        "id": "reopened",
        "model": record.model,
        "messages": [plain(message) for message in body.get("messages") or ()],
        "parameters": given,
    }
    try:
        run = protocol.parse(json.dumps(frame))
    except protocol.BadFrame as bad:
        raise ValueError(bad.error.message) from None
    assert isinstance(run, Run)
    return run


def plain(message: Any) -> dict[str, Any]:
    """Role and text of a message in OpenAI's form. Raises ValueError when it is more than that."""
    if not isinstance(message, dict) or message.get("tool_calls"):
        raise ValueError("It is no plain message.")
    content = message.get("content")
    if isinstance(content, list):  # of parts
        if any(not isinstance(part, dict) or part.get("type") != "text" for part in content):
            raise ValueError("A part is no text.")
        content = "".join(part.get("text", "") for part in content)
    role = "system" if message.get("role") == "developer" else message.get("role")
    return {"role": role, "content": content}


def answer_of(kept: Bodies, *, streamed: bool) -> str:
    """The text of the first choice; nothing when the answer was cut, or was none."""
    if len(kept.answer) != kept.answer_bytes:
        return ""
    try:
        parts = events(kept.answer) if streamed else iter([json.loads(kept.answer)])
        return "".join(said_in(part) for part in parts)
    except (ValueError, AttributeError, LookupError, TypeError):
        return ""


def events(answer: bytes) -> Iterator[Any]:
    """The JSON of each server-sent event."""
    for line in answer.decode().splitlines():
        data = line.removeprefix("data:").strip()
        if line.startswith("data:") and data != "[DONE]":
            yield json.loads(data)


def said_in(part: Any) -> str:
    """The text that a completion or a chunk of one has in its first choice."""
    for choice in part.get("choices", ()):
        if choice["index"] == 0:
            message = choice.get("message") or choice.get("delta") or {}
            return message.get("content") or ""
    return ""


@transaction.atomic
def save(user_id: int, record: UsageRecord, frame: Run, answer: str) -> Conversation:
    said = [(message.role, message.content) for message in frame.messages or ()]
    first = next((text for role, text in said if role == "user"), record.request_id)
    if answer:
        said.append(("assistant", answer))
    conversation = Conversation.objects.create(
        organisation_id=record.organisation_id,
        user_id=user_id,
        title=" ".join(first.split())[:TITLE_CHARS] or record.request_id,
        model=frame.model,
        parameters=frame.parameters.model_dump(by_alias=True, exclude_defaults=True),
    )
    Message.objects.bulk_create(
        Message(conversation=conversation, position=position, role=role, content=text)
        for position, (role, text) in enumerate(said)
    )
    return conversation
