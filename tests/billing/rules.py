"""The queries of docs/billing.md, each 0 as long as its rule holds."""

import re

from django.db import connection

from tests.environment import REPOSITORY

TEXT = (REPOSITORY / "docs" / "billing.md").read_text()
SQL = re.findall(r"```sql\n(.*?)\n```", TEXT, re.DOTALL)


def flat(query: str) -> str:
    return " ".join(query.split())


def broken() -> list[str]:
    """Those that are not 0, each in one line."""
    return [flat(query) for query in SQL if _number(query)]


def _number(query: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return int(cursor.fetchone()[0])
