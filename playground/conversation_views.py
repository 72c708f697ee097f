"""The kept conversations of a person: the list, its search, one of them, its export, its end."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST, require_safe

from accounts.permissions import member_required
from playground import history, snapshots
from playground.admission import SPENDERS
from playground.models import Conversation, Message


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
def export(request: HttpRequest, conversation_id: str, form: str) -> HttpResponse:
    """A file of the conversation: JSON with everything, or Markdown to read."""
    conversation = own_conversation(request, conversation_id)
    if form == "json":
        return download(history.as_json(conversation), f"{conversation.id}.json")
    return download(history.as_markdown(conversation), f"{conversation.id}.md")


@require_safe
@member_required(*SPENDERS)
def export_all(request: HttpRequest, form: str) -> HttpResponse:
    """The same of every conversation of the member's in this organisation, the newest first."""
    found = conversations_of(request).prefetch_related("messages")
    if form == "json":
        whole = {"conversations": [history.as_json(each) for each in found]}
        return download(whole, "conversations.json")
    text = "\n---\n\n".join(history.as_markdown(each) for each in found)
    return download(text, "conversations.md")


def download(content: dict[str, Any] | str, name: str) -> HttpResponse:
    """JSON of an object, or Markdown, as a file."""
    if isinstance(content, str):
        response = HttpResponse(content, content_type="text/markdown; charset=utf-8")
    else:
        options = {"ensure_ascii": False, "indent": 2}
        response = JsonResponse(content, json_dumps_params=options)
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
