"""Database triggers that keep posted rows as they are: transfers and usage records.

They are made again after every migrate, since SQLite drops a table's triggers when Django
rebuilds it. A system check and `auditledger` complain when one is missing.
"""

from typing import Any

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

IMMUTABLE = ("billing_transfer", "billing_usagerecord")
VERBS = ("update", "delete")


def names() -> list[str]:
    return [f"{table}_no_{verb}" for table in IMMUTABLE for verb in VERBS]


def create_triggers(**_kwargs: Any) -> None:
    """Make every trigger, new; a receiver of post_migrate."""
    with connection.cursor() as cursor:
        for statement in _statements(connection):
            cursor.execute(statement)


def missing_triggers() -> list[str]:
    """Names of the triggers that the database lacks."""
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if connection.vendor == "sqlite"
        else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        present = {row[0] for row in cursor.fetchall()}
    return [name for name in names() if name not in present]


def _statements(database: BaseDatabaseWrapper) -> list[str]:
    if database.vendor == "sqlite":
        return _sqlite()
    return _postgresql()


def _sqlite() -> list[str]:
    statements = []
    for table in IMMUTABLE:
        for verb in VERBS:
            name = f"{table}_no_{verb}"
            statements += [
                f"DROP TRIGGER IF EXISTS {name}",
                (
                    f"CREATE TRIGGER {name} BEFORE {verb.upper()} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is immutable'); END"
                ),
            ]
    return statements


def _postgresql() -> list[str]:
    function = (
        "CREATE OR REPLACE FUNCTION parlance_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is immutable', TG_TABLE_NAME "
        "USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    statements = [function]
    for table in IMMUTABLE:
        for verb in VERBS:
            name = f"{table}_no_{verb}"
            statements += [
                f"DROP TRIGGER IF EXISTS {name} ON {table}",
                (
                    f"CREATE TRIGGER {name} BEFORE {verb.upper()} ON {table} "
                    f"FOR EACH ROW EXECUTE FUNCTION parlance_refuse()"
                ),
            ]
    return statements
