"""The rows of a request's hold, in SQL: what `billing.ledger` does twice for every request.

The ORM needs some hundred microseconds to put a statement together that the database runs in ten,
and these two transactions were most of what a request cost around the engine. So the statements
are written out here, the same for SQLite and PostgreSQL, and go to the driver's cursor: Django's
own, with its log of queries, took as long as the statement. Nor are rows made model instances, nor
do their values pass through the models' fields, which takes longer than to write them.
Only `billing.ledger` may call this module; the rules about money are there, and in constraints.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from billing import pulse
from billing.models import Account, HoldState
from billing.months import following, month_of


@dataclass(frozen=True, slots=True)
class ClosedHold:
    """What is read of a hold when it ends."""

    request_id: str
    account_id: int
    organisation_id: str
    api_key_id: UUID | None
    amount_nanos: int
    context: dict[str, Any]
    revenue_account_id: int | None  # of the house; None before its first revenue


@dataclass(frozen=True, slots=True)
class Totals:
    """An organisation's account: sums of its transfers and open holds, its line, its cap if any."""

    account_id: int
    credits_posted: int
    debits_posted: int
    debits_pending: int
    credit_line_nanos: int
    spent_nanos: int  # in the month that was asked for
    cap_nanos: int | None


# --- What is spent in a month ----------------------------------------------------------------

# How far behind the others a process's clock may be and still find the month that has begun there.
CLOCKS_DIFFER = timedelta(hours=1)


def _spent(records: str) -> str:
    """What is spent: as the row says, or counted, where the row is of another month.

    That is the first charge of each month, which finds none, and whatever a clock that was set
    forward or back makes of it.
    """
    return (
        "CASE WHEN spend_month BETWEEN %(month)s AND %(latest)s THEN spent_nanos ELSE"  # noqa: S608
        " (SELECT CAST(COALESCE(SUM(cost_nanos), 0) AS BIGINT) FROM billing_usagerecord"
        f" WHERE {records} AND created_at >= %(month)s AND created_at < %(following)s) END"
    )


def _spend(records: str) -> str:
    """Count a charge. Of a clock that is behind it is of the month before, and counts no more."""
    behind = "spend_month > %(month)s AND spend_month <= %(latest)s"
    return (
        f" spent_nanos = CASE WHEN {behind} THEN spent_nanos"
        f" ELSE {_spent(records)} + %(cost)s END,"
        f" spend_month = CASE WHEN {behind} THEN spend_month ELSE %(month)s END"
    )


def _dates(now: datetime) -> dict[str, date]:
    month = month_of(now)
    return {
        "month": month,
        "latest": month_of(now + CLOCKS_DIFFER),
        "following": following(month),
    }


# --- Accounts --------------------------------------------------------------------------------

_RECORDS = "organisation_id = billing_account.organisation_id"
_SPENT = _spent(_RECORDS)
_COLUMNS = (
    "id, credits_posted, debits_posted, debits_pending, credit_line_nanos,"
    f" {_SPENT}, monthly_cap_nanos"
)
_TOTALS = f"SELECT {_COLUMNS} FROM billing_account WHERE organisation_id = %(organisation)s"  # noqa: S608
_RESERVE = (
    "UPDATE billing_account SET debits_pending = debits_pending + %(amount)s"  # noqa: S608
    " WHERE organisation_id = %(organisation)s"
    " AND credits_posted >= debits_posted + debits_pending - credit_line_nanos + %(amount)s"
    " AND (monthly_cap_nanos IS NULL OR %(amount)s = 0"
    f" OR monthly_cap_nanos >= {_SPENT} + debits_pending + %(amount)s)"
    f" RETURNING {_COLUMNS}"
)
_UNRESERVE = (
    "UPDATE billing_account SET debits_pending = debits_pending - %(amount)s,"  # noqa: S608
    f" debits_posted = debits_posted + %(cost)s,{_spend(_RECORDS)} WHERE id = %(account)s"
    f" RETURNING {_COLUMNS}"
)


def totals(organisation_id: str, now: datetime) -> Totals:
    """Raises Account.DoesNotExist."""
    row = _read(_TOTALS, organisation=organisation_id, **_dates(now))
    if row is None:
        raise Account.DoesNotExist(f"{organisation_id} has no account")
    return Totals(*row)


def reserve(organisation_id: str, now: datetime, amount_nanos: int) -> Totals | None:
    """Add to the account's pending debits; None: its credit or its cap is too small."""
    row = _read(_RESERVE, organisation=organisation_id, amount=amount_nanos, **_dates(now))
    return None if row is None else Totals(*row)


def unreserve(account_id: int, now: datetime, amount_nanos: int, cost_nanos: int) -> Totals:
    """Take a hold's amount from the pending debits and add its cost to the posted ones."""
    amounts = {"amount": amount_nanos, "cost": cost_nanos}
    row = _read(_UNRESERVE, account=account_id, **amounts, **_dates(now))
    assert row is not None, "an account with holds stays"
    return Totals(*row)


# --- Keys ------------------------------------------------------------------------------------

# A rotated key and its successors have one cap, and one row in which all they spend counts.
_COUNTED = (
    " WHERE id ="
    " (SELECT COALESCE(counts_in_id, id) FROM billing_keyspend WHERE api_key_id = %(key)s)"
)
_RESERVE_OF_KEY = (
    f"UPDATE billing_keyspend SET pending_nanos = pending_nanos + %(amount)s{_COUNTED}"  # noqa: S608
)
_RECORDS_OF_KEY = (
    "api_key_id IN (SELECT own.api_key_id FROM billing_keyspend own"
    " WHERE own.id = billing_keyspend.id OR own.counts_in_id = billing_keyspend.id)"
)
_SPENT_OF_KEY = _spent(_RECORDS_OF_KEY)
_UNDER_CAP = f" AND (%(amount)s = 0 OR %(cap)s >= {_SPENT_OF_KEY} + pending_nanos + %(amount)s)"
_UNRESERVE_OF_KEY = (
    "UPDATE billing_keyspend SET"  # noqa: S608
    f" pending_nanos = pending_nanos - %(amount)s,{_spend(_RECORDS_OF_KEY)}{_COUNTED}"
)
_TOTALS_OF_KEY = f"SELECT {_SPENT_OF_KEY}, pending_nanos FROM billing_keyspend{_COUNTED}"  # noqa: S608


def totals_of_key(api_key_id: UUID, now: datetime) -> tuple[int, int]:
    """What is spent in this month and what is held, in nanos, where it counts."""
    row = _read(_TOTALS_OF_KEY, key=api_key_id, **_dates(now))
    assert row is not None, "a key that is held for has a row"
    spent, pending = row
    return spent, pending


def reserve_of_key(
    api_key_id: UUID, now: datetime, amount_nanos: int, cap_nanos: int | None
) -> bool:
    """Add to what the key holds; False when there is no such row or the cap does not allow it."""
    if cap_nanos is None:
        return _write(_RESERVE_OF_KEY, key=api_key_id, amount=amount_nanos) == 1
    statement = _RESERVE_OF_KEY + _UNDER_CAP
    amounts = {"amount": amount_nanos, "cap": cap_nanos}
    return _write(statement, key=api_key_id, **amounts, **_dates(now)) == 1


def unreserve_of_key(api_key_id: UUID, now: datetime, amount_nanos: int, cost_nanos: int) -> None:
    amounts = {"amount": amount_nanos, "cost": cost_nanos}
    _write(_UNRESERVE_OF_KEY, key=api_key_id, **amounts, **_dates(now))


# --- Holds -----------------------------------------------------------------------------------

_HOLD = (
    "request_id, account_id,"
    " (SELECT organisation_id FROM billing_account WHERE id = billing_hold.account_id),"
    " api_key_id, amount_nanos, context,"
    " (SELECT id FROM billing_account WHERE kind = 'revenue' AND organisation_id IS NULL)"
)
_OPEN = (
    "INSERT INTO billing_hold (request_id, account_id, api_key_id, amount_nanos, state, owner,"  # noqa: S608
    " lease, lease_until, context, created_at)"
    " VALUES (%(request)s, %(account)s, %(key)s, %(amount)s, 'open', %(owner)s,"
    f" {pulse.NUMBER} + %(beats)s, %(until)s, %(context)s, %(now)s)"
)
_READ = f"SELECT {_HOLD} FROM billing_hold WHERE request_id = %(request)s"  # noqa: S608
_CLOSE = (
    "UPDATE billing_hold SET state = %(state)s, closed_at = %(now)s"
    " WHERE request_id = %(request)s AND state = 'open'"
)
_LEASE_OVER = f" AND lease <= {pulse.NUMBER}"
_CLOSED = f" RETURNING {_HOLD}"


def open_hold(
    request_id: str,
    account_id: int,
    api_key_id: UUID | None,
    amount_nanos: int,
    *,
    owner: str,
    lease_until: datetime,
    context: dict[str, Any],
    now: datetime,
) -> None:
    """Note what was reserved; its lease begins with the beat that it is."""
    _write(
        _OPEN, request=request_id, account=account_id, key=api_key_id, amount=amount_nanos,
        owner=owner, beats=pulse.beats_of_a_lease(), until=lease_until, context=context, now=now,
    )  # fmt: skip


def close(
    request_id: str, state: HoldState, now: datetime, *, if_lease_is_over: bool = False
) -> ClosedHold | None:
    """Take an open hold to its end; None when somebody else has, or its lease was renewed."""
    statement = _CLOSE + _LEASE_OVER + _CLOSED if if_lease_is_over else _CLOSE + _CLOSED
    row = _read(statement, request=request_id, state=state.value, now=now)
    return None if row is None else _hold(row)


def read(request_id: str) -> ClosedHold:
    """The hold of a request. There must be one."""
    row = _read(_READ, request=request_id)
    assert row is not None, f"{request_id} has no hold"
    return _hold(row)


def _hold(row: tuple[Any, ...]) -> ClosedHold:
    request_id, account_id, organisation_id, key, amount, context, revenue = row
    return ClosedHold(
        request_id=request_id,
        account_id=account_id,
        organisation_id=organisation_id,
        api_key_id=UUID(key) if isinstance(key, str) else key,
        amount_nanos=amount,
        context=json.loads(context),
        revenue_account_id=revenue,
    )


# --- Posting ---------------------------------------------------------------------------------


def insert(model: type[Model], values: Mapping[str, Any]) -> None:
    """Insert a row; what is not in `values` is as its field says. Its key is not read back."""
    statement, defaults = _insertion(model, frozenset(values))
    _write(statement, **values, **defaults)


@cache
def _insertion(model: type[Model], named: frozenset[str]) -> tuple[str, dict[str, Any]]:
    """The statement, and the values of the columns that are not named."""
    fields = [field for field in model._meta.local_concrete_fields if not field.db_returning]
    rest = [field for field in fields if field.attname not in named]
    assert not any(field.has_default() and callable(field.default) for field in rest)
    columns = ", ".join(str(field.column) for field in fields)
    places = ", ".join(f"%({field.attname})s" for field in fields)
    statement = f"INSERT INTO {model._meta.db_table} ({columns}) VALUES ({places})"  # noqa: S608
    return statement, {field.attname: field.get_default() for field in rest}


# --- Statements ------------------------------------------------------------------------------


def _write(statement: str, **values: Any) -> int:
    """How many rows it changed."""
    return _execute(statement, values)[0]


def _read(statement: str, **values: Any) -> tuple[Any, ...] | None:
    """The row that it finds or changes; there is one at most."""
    rows = _execute(statement, values)[1]
    return rows[0] if rows else None


def _execute(statement: str, values: Mapping[str, Any]) -> tuple[int, list[tuple[Any, ...]]]:
    """How many rows it changed, and those that it returns. Raises Django's database errors."""
    database = connections[DEFAULT_DB_ALIAS]  # itself: its proxy looks it up for every attribute
    if not database.in_atomic_block:
        database.ensure_connection()
    database.validate_no_broken_transaction()
    adapted = {
        name: value if type(value) in _PLAIN else _adapted(value, database)
        for name, value in values.items()
    }
    with database.wrap_database_errors:
        cursor = database.connection.cursor()
        cursor.execute(_spelled(statement, database.vendor), adapted)
        return cursor.rowcount, cursor.fetchall() if cursor.description else []


@cache
def _spelled(statement: str, vendor: str) -> str:
    """With the driver's sign for the place of a value."""
    return re.sub(r"%\((\w+)\)s", r":\1", statement) if vendor == "sqlite" else statement


_PLAIN = frozenset({int, str, bool, type(None)})  # both drivers know them


def _adapted(value: Any, database: BaseDatabaseWrapper) -> Any:
    """As the model's field would: SQLite has neither dates nor UUIDs, and JSON is text to it."""
    if isinstance(value, dict):
        return database.ops.adapt_json_value(value, None)
    if database.vendor != "sqlite":
        return value
    if isinstance(value, datetime):
        return str(value.astimezone(UTC).replace(tzinfo=None))
    if isinstance(value, date):
        return str(value)
    return value.hex if isinstance(value, UUID) else value
