"""Snapshots: a conversation's link, and who may follow it."""

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import Membership, User
from playground import history
from playground.admission import SPENDERS
from playground.models import Audience, Conversation, Snapshot

# What was measured and may be shown to strangers: neither the balance nor the request's id.
SHOWN = (
    "model", "prompt_tokens", "cached_tokens", "completion_tokens", "cost_nanos", "ttft_ms",
    "tokens_per_s", "duration_ms", "finish_reason", "outcome", "seed", "perplexity",
)  # fmt: skip


def take(conversation: Conversation, audience: Audience) -> Snapshot:
    return Snapshot.objects.create(
        conversation=conversation,
        organisation_id=conversation.organisation_id,
        audience=audience,
        content=content_of(conversation),
    )


def content_of(conversation: Conversation) -> dict[str, Any]:
    whole = history.as_json(conversation)
    messages = []
    for message in whole["messages"]:
        measured = message.pop("measured")
        del message["request_id"]
        message["measured"] = {name: measured[name] for name in SHOWN if name in measured}
        messages.append(message)
    kept = {name: whole[name] for name in ("title", "mode", "model", "parameters")}
    return kept | {"messages": messages}


def readable(reader: User | AnonymousUser) -> QuerySet[Snapshot]:
    """Those that anyone may read, and those of the reader's organisations.

    Only its maker can withdraw a link, in the playground: it rests while they may not go there.
    """
    maker = Membership.objects.filter(
        organisation=OuterRef("organisation"), user=OuterRef("conversation__user"),
        role__in=SPENDERS, user__is_active=True,
    )  # fmt: skip
    allowed = Q(audience=Audience.ANYONE)
    if reader.is_authenticated:
        allowed |= Q(organisation__memberships__user=reader)
    found = Snapshot.objects.filter(allowed, Exists(maker), organisation__suspended_at=None)
    return found.distinct()
