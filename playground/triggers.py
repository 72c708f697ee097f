"""What a link shows stays as it is, by triggers of the database: only who may follow it changes.

So do the versions of presets. Both may be deleted.
"""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, register

from portal.lib import frozen
from portal.lib.frozen import Frozen

RULES = (
    Frozen(
        "playground_snapshot",
        "update",
        ("id", "conversation_id", "organisation_id", "content", "created_at"),
    ),
    Frozen("playground_presetversion", "update"),
)


def create_triggers(**_kwargs: Any) -> None:
    """A receiver of post_migrate."""
    frozen.create(RULES)


@register(Tags.database)
def check_triggers(
    app_configs: Sequence[Any] | None, databases: Sequence[str] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    return frozen.complaints(RULES, databases, "playground.E001")
