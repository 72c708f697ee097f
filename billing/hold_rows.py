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
from datetime import UTC, date, datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from billing import pulse
from billing.models import Account, HoldState


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

# A process whose clock is behind finds the month that has begun already, and counts on it.
_SPENT = "CASE WHEN spend_month >= %(month)s THEN spent_nanos ELSE 0 END"
# Its charge is of the month before, which nobody counts any more.
_SPEND = (
    " spent_nanos = CASE WHEN spend_month > %(month)s THEN spent_nanos"
    " WHEN spend_month = %(month)s THEN spent_nanos + %(cost)s ELSE %(cost)s END,"
    " spend_month = CASE WHEN spend_month > %(month)s THEN spend_month ELSE %(month)s END"
)

# --- Accounts --------------------------------------------------------------------------------

_COLUMNS = (
    "id, credits_posted, debits_posted, debits_pending, credit_line_nanos,"
    f" {_SPENT}, monthly_cap_nanos"
)
_TOTALS = f"SELECT {_COLUMNS} FROM billing_account WHERE organisation_id = %(organisation)s"  # noqa: S608
_RESERVE = (
    "UPDATE billing_account SET debits_pending = debits_pending + %(amount)s"  # noqa: S608
    " WHERE organisation_id = %(organisation)s"
    " AND credits_posted >= debits_posted + debits_pending - credit_line_nanos + %(amount)s"
    " AND (monthly_cap_nanos IS NULL"
    f" OR monthly_cap_nanos >= {_SPENT} + debits_pending + %(amount)s)"
    f" RETURNING {_COLUMNS}"
)
_UNRESERVE = (
    "UPDATE billing_account SET debits_pending = debits_pending - %(amount)s,"  # noqa: S608
    f" debits_posted = debits_posted + %(cost)s,{_SPEND} WHERE id = %(account)s"
    f" RETURNING {_COLUMNS}"
)


def totals(organisation_id: str, month: date) -> Totals:
    """Raises Account.DoesNotExist."""
    row = _read(_TOTALS, organisation=organisation_id, month=month)
    if row is None:
        raise Account.DoesNotExist(f"{organisation_id} has no account")
    return Totals(*row)


def reserve(organisation_id: str, month: date, amount_nanos: int) -> Totals | None:
    """Add to the account's pending debits; None: its credit or its cap is too small."""
    row = _read(_RESERVE, organisation=organisation_id, month=month, amount=amount_nanos)
    return None if row is None else Totals(*row)


def unreserve(account_id: int, month: date, amount_nanos: int, cost_nanos: int) -> Totals:
    """Take a hold's amount from the pending debits and add its cost to the posted ones."""
    row = _read(_UNRESERVE, account=account_id, month=month, amount=amount_nanos, cost=cost_nanos)
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
_UNDER_CAP = f" AND %(cap)s >= {_SPENT} + pending_nanos + %(amount)s"
_UNRESERVE_OF_KEY = (
    "UPDATE billing_keyspend SET"  # noqa: S608
    f" pending_nanos = pending_nanos - %(amount)s,{_SPEND}{_COUNTED}"
)


def reserve_of_key(api_key_id: UUID, month: date, amount_nanos: int, cap_nanos: int | None) -> bool:
    """Add to what the key holds; False when there is no such row or the cap does not allow it."""
    if cap_nanos is None:
        return _write(_RESERVE_OF_KEY, key=api_key_id, amount=amount_nanos) == 1
    statement = _RESERVE_OF_KEY + _UNDER_CAP
    return _write(statement, key=api_key_id, month=month, amount=amount_nanos, cap=cap_nanos) == 1


def unreserve_of_key(api_key_id: UUID, month: date, amount_nanos: int, cost_nanos: int) -> None:
    _write(_UNRESERVE_OF_KEY, key=api_key_id, month=month, amount=amount_nanos, cost=cost_nanos)


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
