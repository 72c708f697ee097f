"""System checks: the triggers that keep posted rows are there; the table of tiers makes sense."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register

from billing import tiers
from billing.triggers import RULES
from portal.lib import frozen


@register(Tags.database)
def check_triggers(
    app_configs: Sequence[Any] | None, databases: Sequence[str] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Run by `check --database default` and by migrate, once the tables exist."""
    return frozen.complaints(RULES, databases, "billing.E001")


@register()
def check_tiers(app_configs: Sequence[Any] | None, **_kwargs: Any) -> list[CheckMessage]:
    """Every request asks for its tier: a table that makes no sense would refuse all of them."""
    try:
        tiers.table()
    except ValueError as error:
        return [Error(f"{error}.", hint="start:0:30000:20000000, say.", id="billing.E002")]
    return []
