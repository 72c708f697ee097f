"""The playground's page, and what its modules fetch beside the socket."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.permissions import member_required
from inference import catalog
from inference.models import ModelKind
from playground import history, presets, protocol
from playground.admission import SPENDERS
from playground.controls import PARAMETERS
from playground.conversation_views import conversations_of, own_conversation
from playground.gallery import gallery
from playground.preset_views import own_version, raw_body
from playground.snapshot_views import readable_snapshot
from playground.snippets import snippets
from playground.texts import page_texts


@require_safe
@member_required(*SPENDERS)
def playground(request: HttpRequest) -> HttpResponse:
    """An empty chat, or what the address names: a conversation, a preset, a snapshot."""
    opened = opened_by(request)
    offered = catalog.models_offered_to(request.organisation.id)  # type: ignore[attr-defined]
    entries = [entry for entry in offered if entry.kind == ModelKind.TEXT]
    asked = opened["model"] if opened else request.GET.get("model")
    context = {
        "entries": entries,
        "chosen": min(
            entries,
            key=lambda entry: (entry.name != asked, entry.paused or not entry.is_chat),
            default=None,
        ),
        "parameters": PARAMETERS,
        "starters": starters(),
        **history.listed(conversations_of(request)),
        "data": {
            "organisation": request.organisation.id,  # type: ignore[attr-defined]
            "member": request.user.pk,
            "conversation": opened,
            "max_frame_bytes": protocol.MAX_FRAME_BYTES,
            "code_url": reverse("playground_code"),
            "presets_url": reverse("playground_presets"),
            "snapshots_url": reverse("playground_snapshot_change", args=["-"]).removesuffix("-/"),
            "gallery": gallery(),
            "answers_url": reverse("playground_answer", args=["-"]).removesuffix("-/"),
            "conversations_url": reverse("playground_conversations"),
            "requests_url": reverse("requests"),
            "billing_url": reverse("billing"),
            "texts": page_texts(),
        },
    }
    return render(request, "playground/index.html", context)


def opened_by(request: HttpRequest) -> dict[str, Any] | None:
    """What the page begins with. Raises Http404 for what is not there, or not theirs."""
    if asked := request.GET.get("conversation"):
        return history.as_json(own_conversation(request, asked))
    if asked := request.GET.get("preset"):
        return {"id": "", **presets.as_json(own_version(request, asked))["content"]}
    if asked := request.GET.get("snapshot"):
        return {"id": "", **readable_snapshot(request, asked).content}
    return None


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
        frame = protocol.parse(raw_body(request).decode("utf-8", "replace"))
    except protocol.BadFrame as bad:
        return JsonResponse(protocol.error(bad.error), status=bad.error.status)
    if not isinstance(frame, protocol.Run):
        return JsonResponse({"error": {"message": "Only a run can be shown."}}, status=400)
    shown = snippets(frame, settings.BASE_URL)
    return JsonResponse(
        {"snippets": [{"name": s.name, "label": s.label, "code": s.code} for s in shown]}
    )
