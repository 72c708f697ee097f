"""The audit log: what changed in an organisation, by whom. Recorded by django-auditlog."""

from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, QuerySet

from accounts.models import ApiKey, Invitation, Membership, Organisation


def register() -> None:
    """Called once when the app is ready. Secrets' hashes and use counters stay out of the log."""
    auditlog.register(Organisation, m2m_fields=set())
    auditlog.register(Membership)
    auditlog.register(Invitation, exclude_fields=["token_hash"])
    auditlog.register(ApiKey, exclude_fields=["key_hash", "last_used_at"])


def entries(organisation: Organisation) -> QuerySet[LogEntry]:
    """What happened to the organisation, its members, invitations and keys; newest first."""
    found = Q(
        content_type=ContentType.objects.get_for_model(Organisation), object_pk=organisation.pk
    )
    for model in (Membership, Invitation, ApiKey):
        rows = model._default_manager.filter(organisation=organisation).values_list("pk", flat=True)
        found |= Q(
            content_type=ContentType.objects.get_for_model(model),
            object_pk__in=[str(pk) for pk in rows],
        )
    return LogEntry.objects.filter(found).select_related("actor", "content_type").order_by("-pk")
