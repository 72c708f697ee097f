"""System checks: the triggers that keep posted rows are there; the table of tiers makes sense."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError, connection

from billing import tiers
from billing.triggers import missing_triggers


@register(Tags.database)
def check_triggers(
    app_configs: Sequence[Any] | None, databases: Sequence[str] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Run by `check --database default` and by migrate, once the tables exist."""
    if not databases:
        return []
    try:
        if "billing_transfer" not in connection.introspection.table_names():
            return []
        missing = missing_triggers()
    except DatabaseError:
        return []
    return [
        Error(
            f"Triggers are missing: {', '.join(missing)}.",
            hint="Run `manage.py migrate`, which makes them again.",
            id="billing.E001",
        )
    ] if missing else []  # fmt: skip


@register()
def check_tiers(app_configs: Sequence[Any] | None, **_kwargs: Any) -> list[CheckMessage]:
    try:
        tiers.table()
    except ValueError as error:
        return [Error(f"{error}.", hint="start:0:30000:20000000, say.", id="billing.E002")]
    return []
