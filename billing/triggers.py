"""Posted rows stay as they are: transfers and usage records, by triggers of the database."""

from typing import Any

from portal.lib import frozen
from portal.lib.frozen import Frozen

RULES = (
    Frozen("billing_transfer", "update"),
    Frozen("billing_transfer", "delete"),
    Frozen("billing_usagerecord", "update"),
    Frozen("billing_usagerecord", "delete"),
)


def names() -> list[str]:
    return [rule.name for rule in RULES]


def create_triggers(**_kwargs: Any) -> None:
    """A receiver of post_migrate."""
    frozen.create(RULES)


def missing_triggers() -> list[str]:
    return frozen.missing(RULES)
