"""Database triggers that refuse to change or delete rows, or to change some columns of them.

They are made again after every migrate, since SQLite drops a table's triggers when Django
rebuilds it. A system check complains when one is missing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from django.core.checks import CheckMessage, Error
from django.db import DatabaseError, connection


@dataclass(frozen=True, slots=True)
class Frozen:
    """What must not happen to a table's rows."""

    table: str
    verb: Literal["update", "delete"]
    columns: tuple[str, ...] = ()  # of an update; empty: any

    @property
    def name(self) -> str:
        return f"{self.table}_no_{self.verb}"

    @property
    def event(self) -> str:
        verb = self.verb.upper()
        return f"{verb} OF {', '.join(self.columns)}" if self.columns else verb


def create(rules: Iterable[Frozen]) -> None:
    """Make every trigger, new."""
    statements = _sqlite(rules) if connection.vendor == "sqlite" else _postgresql(rules)
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def missing(rules: Iterable[Frozen]) -> list[str]:
    """Names of the triggers that the database lacks."""
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if connection.vendor == "sqlite"
        else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        present = {row[0] for row in cursor.fetchall()}
    return [rule.name for rule in rules if rule.name not in present]


def complaints(
    rules: Sequence[Frozen], databases: Sequence[str] | None, error_id: str
) -> list[CheckMessage]:
    """What a system check answers: nothing before the tables exist, or without a database."""
    if not databases:
        return []
    try:
        if rules[0].table not in connection.introspection.table_names():
            return []
        absent = missing(rules)
    except DatabaseError:
        return []
    return [
        Error(
            f"Triggers are missing: {', '.join(absent)}.",
            hint="Run `manage.py migrate`, which makes them again.",
            id=error_id,
        )
    ] if absent else []  # fmt: skip


def _sqlite(rules: Iterable[Frozen]) -> list[str]:
    statements = []
    for rule in rules:
        statements += [
            f"DROP TRIGGER IF EXISTS {rule.name}",
            (
                f"CREATE TRIGGER {rule.name} BEFORE {rule.event} ON {rule.table} "
                f"BEGIN SELECT RAISE(ABORT, '{rule.table} is immutable'); END"
            ),
        ]
    return statements


def _postgresql(rules: Iterable[Frozen]) -> list[str]:
    function = (
        "CREATE OR REPLACE FUNCTION parlance_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is immutable', TG_TABLE_NAME "
        "USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    statements = [function]
    for rule in rules:
        statements += [
            f"DROP TRIGGER IF EXISTS {rule.name} ON {rule.table}",
            (
                f"CREATE TRIGGER {rule.name} BEFORE {rule.event} ON {rule.table} "
                f"FOR EACH ROW EXECUTE FUNCTION parlance_refuse()"
            ),
        ]
    return statements
