"""Index the audit log by organisation, which stands inside a field of JSON.

The table is django-auditlog's, so the index is in no model's Meta. `accounts.audit.OrganisationOf`
is the same expression.
"""

from typing import Any

from django.db import migrations

NAME = "audit_of_organisation"
ORGANISATION = {
    "postgresql": "(additional_data ->> 'organisation')",
    "sqlite": "JSON_EXTRACT(additional_data, '$.organisation')",
}


def create(_apps: Any, editor: Any) -> None:
    organisation = ORGANISATION[editor.connection.vendor]
    editor.execute(f"CREATE INDEX {NAME} ON auditlog_logentry ({organisation}, id)")


def drop(_apps: Any, editor: Any) -> None:
    editor.execute(f"DROP INDEX IF EXISTS {NAME}")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0008_multiplier"), ("auditlog", "0017_add_actor_email")]

    operations = [migrations.RunPython(create, drop)]
