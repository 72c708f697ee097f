"""The playground's page, and what its modules fetch beside the socket."""

from django.conf import settings
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.permissions import member_required
from inference import catalog
from playground import history, protocol
from playground.admission import SPENDERS
from playground.controls import PARAMETERS
from playground.models import Conversation, Message
from playground.snippets import snippets
from playground.texts import page_texts


@require_safe
@member_required(*SPENDERS)
def playground(request: HttpRequest) -> HttpResponse:
    """An empty chat, or the conversation that `?conversation=` names."""
    asked = request.GET.get("conversation", "")
    opened = history.as_json(_own(request, asked)) if asked else None
    context = {
        "entries": [entry for entry in catalog.all_models() if entry.is_chat],
        "chosen": opened["model"] if opened else request.GET.get("model", ""),
        "parameters": PARAMETERS,
        "starters": starters(),
        "history": _all_of(request)[: history.LISTED],
        "data": {
            "organisation": request.organisation.id,  # type: ignore[attr-defined]
            "conversation": opened,
            "code_url": reverse("playground_code"),
            "answers_url": reverse("playground_answer", args=["-"]).removesuffix("-/"),
            "conversations_url": reverse("playground_conversations"),
            "requests_url": reverse("requests"),
            "billing_url": reverse("billing"),
            "texts": page_texts(),
        },
    }
    return render(request, "playground/index.html", context)


def starters() -> list[str]:
    """What somebody may say who does not know what to say."""
    return [
        _("Tell me a short story about a robot who learns to paint."),
        _("What can I do with this service?"),
        _("Explain in three sentences what a token is."),
        _("Name three colours and something that has each of them."),
    ]


@require_POST
@member_required(*SPENDERS)
def code(request: HttpRequest) -> JsonResponse:
    """The run frame in the body as samples of code; the same frame the socket would take."""
    try:
        frame = protocol.parse(request.body.decode("utf-8", "replace"))
    except protocol.BadFrame as bad:
        return JsonResponse(protocol.error(bad.error), status=bad.error.status)
    if not isinstance(frame, protocol.Run):
        return JsonResponse({"error": {"message": "Only a run can be shown."}}, status=400)
    shown = snippets(frame, settings.BASE_URL)
    return JsonResponse(
        {"snippets": [{"name": s.name, "label": s.label, "code": s.code} for s in shown]}
    )


@require_safe
@member_required(*SPENDERS)
def conversations(request: HttpRequest) -> HttpResponse:
    """The list in the sidebar, as a fragment."""
    context = {"history": _all_of(request)[: history.LISTED]}
    return render(request, "playground/_history.html", context)


@require_safe
@member_required(*SPENDERS)
def conversation(request: HttpRequest, conversation_id: str) -> JsonResponse:
    return JsonResponse(history.as_json(_own(request, conversation_id)))


@require_safe
@member_required(*SPENDERS)
def answer(request: HttpRequest, request_id: str) -> JsonResponse:
    """What was kept of one answer; null while there is nothing, since it may still be coming."""
    found = Message.objects.filter(conversation__in=_all_of(request), request_id=request_id).first()
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


@require_POST
@member_required(*SPENDERS)
def delete_conversation(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Rows and text are gone, not hidden."""
    _own(request, conversation_id).delete()
    return HttpResponse(status=204)


def _all_of(request: HttpRequest) -> QuerySet[Conversation]:
    assert request.user.pk is not None
    return history.conversations(request.user.pk, request.organisation.id)  # type: ignore[attr-defined]


def _own(request: HttpRequest, conversation_id: str) -> Conversation:
    """The member's own, in the organisation they work in; anything else is not there."""
    if "\0" in conversation_id:  # PostgreSQL would fail instead of finding nothing
        raise Http404
    return get_object_or_404(_all_of(request), pk=conversation_id)
