"""Snapshots: a conversation's link, and who may follow it."""

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from accounts import audit
from accounts.models import Membership, User
from inference.errors import invalid
from inference.sentences import Sentence
from playground import history
from playground.admission import SPENDERS
from playground.models import Audience, Conversation, Snapshot

MAX_LINKS = 20  # of a conversation

# What was measured and may be shown to strangers: neither the balance nor the request's id.
SHOWN = (
    "model", "prompt_tokens", "cached_tokens", "completion_tokens", "cost_nanos", "ttft_ms",
    "tokens_per_s", "duration_ms", "finish_reason", "outcome", "seed", "perplexity",
)  # fmt: skip


@transaction.atomic
def take(conversation: Conversation, audience: Audience) -> Snapshot:
    """A link to it as it stands now. Raises ServiceError (400) for one too many."""
    Conversation.objects.select_for_update().get(pk=conversation.pk)  # one after the other
    if conversation.snapshots.count() >= MAX_LINKS:
        said = Sentence(
            _("A conversation has at most %(most)s links; withdraw one first."), most=MAX_LINKS
        )
        raise invalid(said, None, "too_many_links")
    snapshot = Snapshot.objects.create(
        conversation=conversation,
        organisation_id=conversation.organisation_id,
        audience=audience,
        content=content_of(conversation),
    )
    if audience == Audience.ANYONE:
        _note(snapshot, "made")
    return snapshot


@transaction.atomic
def show_to(found: QuerySet[Snapshot], audience: Audience) -> bool:
    """Who may read it; whether it is there. What it shows never changes."""
    for snapshot in found.exclude(audience=audience).select_for_update(of=("self",)):
        _note(snapshot, "made" if audience == Audience.ANYONE else "withdrawn")
    return found.update(audience=audience) > 0


@transaction.atomic
def withdraw(found: QuerySet[Snapshot]) -> bool:
    """Delete these links; whether there was one."""
    for snapshot in found.filter(audience=Audience.ANYONE).select_for_update(of=("self",)):
        _note(snapshot, "withdrawn")
    deleted, _by_model = found.delete()
    return deleted > 0


@transaction.atomic
def delete(conversation: Conversation) -> None:
    """With its links."""
    withdraw(conversation.snapshots.all())
    conversation.delete()


def _note(snapshot: Snapshot, what: str) -> None:
    """For the organisation's audit log: what the whole world may read, and its end."""
    audit.note(snapshot.organisation, {"public_link": (what, snapshot.id)})


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
