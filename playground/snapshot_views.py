"""Links to snapshots: made and withdrawn by who owns the conversation, read by whom they allow."""

from typing import Any, Literal

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.permissions import member_required
from inference.errors import ServiceError
from playground import protocol, snapshots
from playground.admission import SPENDERS
from playground.conversation_views import conversations_of, own_conversation
from playground.models import Audience, Snapshot
from playground.preset_views import read_body
from playground.strict import Part


class Sharing(Part):
    audience: Literal["organisation", "anyone"]


@require_http_methods(["GET", "POST"])
@member_required(*SPENDERS)
def snapshot_list(request: HttpRequest, conversation_id: str) -> JsonResponse:
    """The links of one's own conversation; a POST makes one."""
    conversation = own_conversation(request, conversation_id)
    if request.method == "POST":
        try:
            sharing = read_body(request, Sharing)
            taken = snapshots.take(conversation, Audience(sharing.audience))
        except ServiceError as bad:
            return JsonResponse(protocol.error(bad), status=bad.status)
        return JsonResponse(described(request, taken), status=201)
    listed = [described(request, each) for each in conversation.snapshots.all()]
    return JsonResponse({"snapshots": listed})


@require_POST
@member_required(*SPENDERS)
def change_snapshot(request: HttpRequest, snapshot_id: str) -> HttpResponse:
    try:
        sharing = read_body(request, Sharing)
    except ServiceError as bad:
        return JsonResponse(protocol.error(bad), status=bad.status)
    found = own_snapshots(request, snapshot_id)
    changed = snapshots.show_to(found, Audience(sharing.audience))
    return HttpResponse(status=204) if changed else HttpResponse(status=404)


@require_POST
@member_required(*SPENDERS)
def delete_snapshot(request: HttpRequest, snapshot_id: str) -> HttpResponse:
    deleted = snapshots.withdraw(own_snapshots(request, snapshot_id))
    return HttpResponse(status=204) if deleted else HttpResponse(status=404)


@require_safe
def shared(request: HttpRequest, snapshot_id: str) -> HttpResponse:
    """The page behind a link. Who is not signed in is asked to, whether or not it exists."""
    try:
        snapshot = readable_snapshot(request, snapshot_id)
    except Http404:
        if request.user.is_authenticated:
            raise
        return redirect_to_login(request.get_full_path())
    context = {"snapshot": snapshot, "content": snapshot.content}
    response = render(request, "playground/shared.html", context)
    response["X-Robots-Tag"] = "noindex"
    return response


def readable_snapshot(request: HttpRequest, snapshot_id: str) -> Snapshot:
    """Raises Http404 unless the reader may read it."""
    if "\0" in snapshot_id:
        raise Http404
    return get_object_or_404(snapshots.readable(request.user), pk=snapshot_id)


def own_snapshots(request: HttpRequest, snapshot_id: str) -> Any:
    if "\0" in snapshot_id:
        raise Http404
    mine = Snapshot.objects.filter(conversation__in=conversations_of(request))
    return mine.filter(pk=snapshot_id)


def described(request: HttpRequest, snapshot: Snapshot) -> dict[str, Any]:
    path = reverse("playground_shared", args=[snapshot.id])
    return {
        "id": snapshot.id,
        "url": request.build_absolute_uri(path),
        "audience": snapshot.audience,
        "created_at": snapshot.created_at.isoformat(),
    }
