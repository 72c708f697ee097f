"""The kept conversations of a person: the list, its search, one of them, its export, its end."""

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST, require_safe

from accounts.permissions import member_required
from playground import history
from playground.admission import SPENDERS
from playground.models import Conversation, Message


@require_safe
@member_required(*SPENDERS)
def conversations(request: HttpRequest) -> HttpResponse:
    """The list in the sidebar, as a fragment; `?q=` names words that have to be there."""
    words = request.GET.get("q", "").replace("\0", "")
    found = history.search(conversations_of(request), words)
    context = {"history": found[: history.LISTED], "words": words}
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
        options = {"ensure_ascii": False, "indent": 2}
        response: HttpResponse = JsonResponse(
            history.as_json(conversation), json_dumps_params=options
        )
    else:
        text = history.as_markdown(conversation)
        response = HttpResponse(text, content_type="text/markdown; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{conversation.id}.{form}"'
    return response


@require_POST
@member_required(*SPENDERS)
def delete_conversation(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Rows and text are gone, not hidden."""
    own_conversation(request, conversation_id).delete()
    return HttpResponse(status=204)


def conversations_of(request: HttpRequest) -> QuerySet[Conversation]:
    assert request.user.pk is not None
    return history.conversations(request.user.pk, request.organisation.id)  # type: ignore[attr-defined]


def own_conversation(request: HttpRequest, conversation_id: str) -> Conversation:
    """The member's own, in the organisation they work in; anything else is not there."""
    if "\0" in conversation_id:  # PostgreSQL would fail instead of finding nothing
        raise Http404
    return get_object_or_404(conversations_of(request), pk=conversation_id)
