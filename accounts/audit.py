"""The audit log: what changed in an organisation, by whom. Recorded by django-auditlog.

Every entry names its organisation, so that it outlives the member or invitation it is about.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from auditlog.context import auditlog_value
from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.contrib.contenttypes.models import ContentType
from django.db.models import CharField, Func, QuerySet

from accounts.models import ApiKey, Invitation, Membership, Organisation


def register() -> None:
    """Called once when the app is ready. Secrets' hashes and use counters stay out of the log."""
    auditlog.register(Organisation, m2m_fields=set())
    auditlog.register(Membership)
    auditlog.register(Invitation, exclude_fields=["token_hash"])
    auditlog.register(ApiKey, exclude_fields=["key_hash", "last_used_at"])


def done_with(api_key_id: UUID) -> None:
    """What this request changes is recorded as done with this key: nobody is made up for it.

    The library keeps the actor's address beside the actor, who may be gone one day. A key's name
    stands there, looked up when there is something to record.
    """
    keys = ApiKey.objects.filter(pk=api_key_id)
    auditlog_value.get({})["actor_email"] = lambda: str(keys.get())


def noted(changed_rows: int, instance: Organisation | ApiKey, **changes: Any) -> bool:
    """Record a conditional UPDATE, which no signal sees, if it changed its row; whether it did."""
    if changed_rows:
        note(instance, {name: (getattr(instance, name), new) for name, new in changes.items()})
    return bool(changed_rows)


def note(instance: Organisation | ApiKey, changes: Mapping[str, tuple[object, object]]) -> None:
    """Record what changed, as it was and as it is."""
    LogEntry.objects.log_create(
        instance,
        force_log=True,
        action=LogEntry.Action.UPDATE,
        changes={name: [str(old), str(new)] for name, (old, new) in changes.items()},
    )


def invitations_since(organisation: Organisation, moment: datetime) -> int:
    """How many were sent, also those that were replaced since."""
    made = entries(organisation).filter(
        content_type=ContentType.objects.get_for_model(Invitation),
        action=LogEntry.Action.CREATE,
        timestamp__gte=moment,
    )
    return made.count()


class OrganisationOf(Func):
    """The organisation of an entry, by the expression of the table's index.

    A lookup through the field asks with a parameter for its name, which no index answers.
    """

    output_field = CharField()
    template = "JSON_EXTRACT(%(expressions)s, '$.organisation')"

    def as_postgresql(self, compiler: Any, connection: Any) -> Any:
        return self.as_sql(compiler, connection, template="(%(expressions)s ->> 'organisation')")


def entries(organisation: Organisation) -> QuerySet[LogEntry]:
    """What happened to the organisation, its members, invitations and keys; newest first."""
    kinds = ContentType.objects.get_for_models(Organisation, Membership, Invitation, ApiKey)
    found: QuerySet[LogEntry] = (
        LogEntry.objects.alias(organisation=OrganisationOf("additional_data"))
        .filter(content_type__in=kinds.values(), organisation=organisation.pk)
        .select_related("actor", "content_type")
        .order_by("-pk")
    )
    return found
