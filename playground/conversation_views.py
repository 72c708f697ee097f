"""The kept conversations of a person: the list, its search, one of them, its export, its end."""

import json
from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST, require_safe

from accounts.permissions import member_required
from playground import history, snapshots
from playground.admission import SPENDERS
from playground.models import Conversation, Message

EXPORTED_AT_ONCE = 10  # conversations in memory, which may have megabytes each


@require_safe
@member_required(*SPENDERS)
def conversations(request: HttpRequest) -> HttpResponse:
    """The list in the sidebar, as a fragment; `?q=` names words that have to be there."""
    words = request.GET.get("q", "").replace("\0", "")
    found = history.search(conversations_of(request), words)
    context = {**history.listed(found), "words": words}
    return render(request, "playground/_history.html", context)


@require_safe
@member_required(*SPENDERS)
def conversation(request: HttpRequest, conversation_id: str) -> JsonResponse:
    return JsonResponse(history.as_json(own_conversation(request, conversation_id)))


@require_safe
@member_required(*SPENDERS)
def answer(request: HttpRequest, request_id: str) -> JsonResponse:
    """What was kept of one answer; null while there is nothing, since it may still be coming."""
    found = Message.objects.filter(
        conversation__in=conversations_of(request), request_id=request_id
    ).first()
    if found is None:
        return JsonResponse({"answer": None})
    return JsonResponse(
        {
            "answer": {
                "conversation": found.conversation_id,
                "content": found.content,
                "tool_calls": found.tool_calls,
                "summary": found.measured,
            }
        }
    )


@require_safe
@member_required(*SPENDERS)
def export(request: HttpRequest, conversation_id: str, form: str) -> HttpResponseBase:
    """A file of the conversation: JSON with everything, or Markdown to read."""
    conversation = own_conversation(request, conversation_id)
    return download(HttpResponse(spell(conversation, form)), f"{conversation.id}.{form}")


@require_safe
@member_required(*SPENDERS)
def export_all(request: HttpRequest, form: str) -> HttpResponseBase:
    """The same of every conversation of the member's in this organisation, the newest first."""
    found = conversations_of(request).prefetch_related("messages")
    return download(StreamingHttpResponse(spell_all(found, form)), f"conversations.{form}")


async def spell_all(found: QuerySet[Conversation], form: str) -> AsyncIterator[str]:
    """Bit by bit: all that a member ever said may be more than this process has room for.

    Each time with a query of its own: what stays open keeps SQLite's log from being folded for as
    long as somebody reads. Spelled in a thread, since megabytes of JSON take seconds.
    """
    keys = [key async for key in found.values_list("pk", flat=True)]
    if form == "json":
        yield '{"conversations": [\n'
    between = ""
    for begin in range(0, len(keys), EXPORTED_AT_ONCE):
        some = found.filter(pk__in=keys[begin : begin + EXPORTED_AT_ONCE])
        for spelled in await sync_to_async(spell_some)(some, form):
            yield between + spelled
            between = ",\n" if form == "json" else "\n---\n\n"
    if form == "json":
        yield "\n]}\n"


def spell_some(some: QuerySet[Conversation], form: str) -> list[str]:
    return [spell(each, form) for each in some]


def spell(conversation: Conversation, form: str) -> str:
    if form == "md":
        return history.as_markdown(conversation)
    return json.dumps(history.as_json(conversation), ensure_ascii=False, indent=2)


def download(response: HttpResponseBase, name: str) -> HttpResponseBase:
    """As a file."""
    kind = "application/json" if name.endswith(".json") else "text/markdown; charset=utf-8"
    response["Content-Type"] = kind
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@require_POST
@member_required(*SPENDERS)
def delete_conversation(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Rows and text are gone, not hidden."""
    snapshots.delete(own_conversation(request, conversation_id))
    return HttpResponse(status=204)


def conversations_of(request: HttpRequest) -> QuerySet[Conversation]:
    assert request.user.pk is not None
    return history.conversations(request.user.pk, request.organisation.id)  # type: ignore[attr-defined]


def own_conversation(request: HttpRequest, conversation_id: str) -> Conversation:
    """The member's own, in the organisation they work in; anything else is not there."""
    if "\0" in conversation_id:  # PostgreSQL would fail instead of finding nothing
        raise Http404
    return get_object_or_404(conversations_of(request), pk=conversation_id)
