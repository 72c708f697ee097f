"""A kept request as a conversation of the playground, to go on from or to try again.

What was sent becomes the conversation's messages and parameters; the answer, where it is kept
whole, its last message, with what it measured. Opening costs nothing.
"""

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import flows
from accounts.permissions import member_required
from billing.models import UsageRecord
from inference.log import bodies
from playground import history
from playground.models import Conversation, Message, Mode
from portal.pages import kept_runs
from portal.pages.kept_runs import KeptRun
from portal.pages.requests import BODY_READERS, speed_of


@require_POST
@member_required(*BODY_READERS)
def request_reopen(request: HttpRequest, request_id: str) -> HttpResponse:
    organisation = request.organisation  # type: ignore[attr-defined]
    mine = UsageRecord.objects.filter(organisation=organisation)
    record = get_object_or_404(mine, request_id=request_id)
    try:
        run = kept_runs.read(record, bodies.read(record.organisation_id, record.request_id))
    except ValueError:
        said = _(
            "The playground cannot show this request: it takes only chats and completions in plain "
            "text, with the settings it has."
        )
        messages.error(request, said)
        return redirect("request_detail", request_id)
    if run.left_out:
        said = _("The playground has no setting for this part of the request: %(fields)s.")
        messages.warning(request, said % {"fields": ", ".join(run.left_out)})
    user_id = request.user.pk
    assert user_id is not None
    conversation = save(user_id, record, run)
    return redirect(f"{reverse('playground')}?conversation={conversation.pk}")


@transaction.atomic
def save(user_id: int, record: UsageRecord, run: KeptRun) -> Conversation:
    """The copy of it, one for each person until they go on with that, which costs them something.

    Raises Http404 when the organisation was deleted in this moment.
    """
    if not flows.lock(record.organisation_id):  # and no other copy is made meanwhile
        raise Http404
    frame = run.frame
    conversation = Conversation(
        organisation_id=record.organisation_id,
        user_id=user_id,
        title=history.title_of(frame) or record.request_id,
        mode=Mode.COMPLETION if frame.messages is None else Mode.CHAT,
        model=frame.model,
        parameters=frame.parameters.model_dump(by_alias=True, exclude_defaults=True),
    )
    rows = history.rows_of(conversation, history.messages_of(frame))
    if run.answered:
        counted = measured(record, frame.parameters.seed)
        answer = history.Answer(record.request_id, run.text, run.tool_calls, counted)
        rows.append(history.answer_row(conversation, len(rows), answer))
    if (same := like(conversation, rows)) is not None:
        return same
    conversation.save()
    Message.objects.bulk_create(rows)
    return conversation


def like(wanted: Conversation, rows: list[Message]) -> Conversation | None:
    """One of the same person that says the same already."""
    named = {name: getattr(wanted, name) for name in ("title", "mode", "model", "parameters")}
    mine = history.conversations(wanted.user_id, wanted.organisation_id).filter(**named)
    alike = mine.annotate(num_messages=Count("messages")).filter(num_messages=len(rows))
    alike = alike.prefetch_related("messages")
    said = [spoken(row) for row in rows]
    for each in alike:
        if [spoken(row) for row in each.messages.all()] == said:
            return each
    return None


def spoken(row: Message) -> tuple[object, ...]:
    return *history.said_by(row), row.tool_call_id, row.request_id


def measured(record: UsageRecord, seed: int | None) -> dict[str, Any]:
    """What the record says, as the playground keeps it of its own answers."""
    return {
        "request_id": record.request_id,
        "model": record.model,
        "prompt_tokens": record.uncached_tokens + record.cached_tokens,
        "cached_tokens": record.cached_tokens,
        "completion_tokens": record.output_tokens,
        "cost_nanos": record.cost_nanos,
        "ttft_ms": record.ttft_ms,
        "tokens_per_s": speed_of(record),
        "duration_ms": record.duration_ms,
        "finish_reason": record.finish_reason,
        "outcome": record.outcome,
        "seed": seed,
    }
