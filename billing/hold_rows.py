"""The rows of a request's hold, in SQL: what `billing.ledger` does twice for every request.

The ORM needs some hundred microseconds to put a statement together that the database runs in ten,
and these two transactions were most of what a request cost around the engine. So the statements
are written out here, the same for SQLite and PostgreSQL, and go to the driver's cursor: Django's
own, with its log of queries, took as long as the statement. Values pass through the models' fields.
Only `billing.ledger` may call this module; the rules about money are there, and in constraints.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, JSONField, Model

from billing import pulse
from billing.models import Account, Hold, HoldState, KeySpend, Transfer, UsageRecord


@dataclass(frozen=True, slots=True)
class ClosedHold:
    """What is read of a hold when it ends."""

    request_id: str
    account_id: int
    organisation_id: str
    api_key_id: UUID | None
    amount_nanos: int
    context: dict[str, Any]
    created_at: datetime
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
_SPENT = "CASE WHEN spend_month >= %s THEN spent_nanos ELSE 0 END"
# Its charge is of the month before, which nobody counts any more.
_SPEND = (
    " spent_nanos = CASE WHEN spend_month > %s THEN spent_nanos"
    " WHEN spend_month = %s THEN spent_nanos + %s ELSE %s END,"
    " spend_month = CASE WHEN spend_month > %s THEN spend_month ELSE %s END"
)


def _spend(month: Any, cost_nanos: int) -> tuple[Any, ...]:
    """The values of `_SPEND`."""
    return month, month, cost_nanos, cost_nanos, month, month


# --- Accounts --------------------------------------------------------------------------------

_COLUMNS = (
    "id, credits_posted, debits_posted, debits_pending, credit_line_nanos,"
    f" {_SPENT}, monthly_cap_nanos"
)
_TOTALS = f"SELECT {_COLUMNS} FROM billing_account WHERE organisation_id = %s"  # noqa: S608
_RESERVE = (
    "UPDATE billing_account SET debits_pending = debits_pending + %s"  # noqa: S608
    " WHERE organisation_id = %s"
    " AND credits_posted >= debits_posted + debits_pending - credit_line_nanos + %s"
    f" AND (monthly_cap_nanos IS NULL OR monthly_cap_nanos >= {_SPENT} + debits_pending + %s)"
    " RETURNING id"
)
_UNRESERVE = (
    "UPDATE billing_account SET debits_pending = debits_pending - %s,"  # noqa: S608
    f" debits_posted = debits_posted + %s,{_SPEND} WHERE id = %s RETURNING {_COLUMNS}"
)


def totals(organisation_id: str, month: date) -> Totals:
    """Raises Account.DoesNotExist."""
    rows = _read(_TOTALS, _month(month), organisation_id)
    if not rows:
        raise Account.DoesNotExist(f"{organisation_id} has no account")
    return Totals(*rows[0])


def reserve(organisation_id: str, month: date, amount_nanos: int) -> int | None:
    """Add to the account's pending debits and return its id; None: credit or cap is too small."""
    values = (amount_nanos, organisation_id, amount_nanos, _month(month), amount_nanos)
    rows = _read(_RESERVE, *values)
    return int(rows[0][0]) if rows else None


def unreserve(account_id: int, month: date, amount_nanos: int, cost_nanos: int) -> Totals:
    """Take a hold's amount from the pending debits and add its cost to the posted ones."""
    spent_in = _month(month)
    spend = _spend(spent_in, cost_nanos)
    (row,) = _read(_UNRESERVE, amount_nanos, cost_nanos, *spend, account_id, spent_in)
    return Totals(*row)


# --- Keys ------------------------------------------------------------------------------------

# A rotated key and its successors have one cap, and one row in which all they spend counts.
_COUNTED = (
    " WHERE id = (SELECT COALESCE(counts_in_id, id) FROM billing_keyspend WHERE api_key_id = %s)"
)
_RESERVE_OF_KEY = f"UPDATE billing_keyspend SET pending_nanos = pending_nanos + %s{_COUNTED}"  # noqa: S608
_UNDER_CAP = f" AND %s >= {_SPENT} + pending_nanos + %s"
_UNRESERVE_OF_KEY = (
    f"UPDATE billing_keyspend SET pending_nanos = pending_nanos - %s,{_SPEND}{_COUNTED}"  # noqa: S608
)


def reserve_of_key(api_key_id: UUID, month: date, amount_nanos: int, cap_nanos: int | None) -> bool:
    """Add to what the key holds; False when there is no such row or the cap does not allow it."""
    key = _prepare(KeySpend, "api_key_id", api_key_id)
    if cap_nanos is None:
        return _write(_RESERVE_OF_KEY, amount_nanos, key) == 1
    values = (amount_nanos, key, cap_nanos, _month(month), amount_nanos)
    return _write(_RESERVE_OF_KEY + _UNDER_CAP, *values) == 1


def unreserve_of_key(api_key_id: UUID, month: date, amount_nanos: int, cost_nanos: int) -> None:
    key = _prepare(KeySpend, "api_key_id", api_key_id)
    _write(_UNRESERVE_OF_KEY, amount_nanos, *_spend(_month(month), cost_nanos), key)


def _month(month: date) -> Any:
    return _prepare(KeySpend, "spend_month", month)


# --- Holds -----------------------------------------------------------------------------------

_HOLD = (
    "request_id, account_id,"
    " (SELECT organisation_id FROM billing_account WHERE id = billing_hold.account_id),"
    " api_key_id, amount_nanos, context, created_at,"
    " (SELECT id FROM billing_account WHERE kind = 'revenue' AND organisation_id IS NULL)"
)
_READ = f"SELECT {_HOLD} FROM billing_hold WHERE request_id = %s"  # noqa: S608
_CLOSE = (
    "UPDATE billing_hold SET state = %s, closed_at = %s WHERE request_id = %s AND state = 'open'"
)
_LEASE_OVER = f" AND lease <= {pulse.NUMBER}"
_CLOSED = f" RETURNING {_HOLD}"


def close(
    request_id: str, state: HoldState, now: datetime, *, if_lease_is_over: bool = False
) -> ClosedHold | None:
    """Take an open hold to its end; None when somebody else has, or its lease was renewed."""
    at = _prepare(Hold, "closed_at", now)
    if if_lease_is_over:
        rows = _read(_CLOSE + _LEASE_OVER + _CLOSED, str(state), at, request_id)
    else:
        rows = _read(_CLOSE + _CLOSED, str(state), at, request_id)
    return _hold(rows[0]) if rows else None


def read(request_id: str) -> ClosedHold:
    """The hold of a request. There must be one."""
    (row,) = _read(_READ, request_id)
    return _hold(row)


def _hold(row: tuple[Any, ...]) -> ClosedHold:
    request_id, account_id, organisation_id, key, amount, context, created_at, revenue = row
    return ClosedHold(
        request_id=request_id,
        account_id=account_id,
        organisation_id=organisation_id,
        api_key_id=_convert(Hold, "api_key_id", key),
        amount_nanos=amount,
        context=_convert(Hold, "context", context),
        created_at=_convert(Hold, "created_at", created_at),
        revenue_account_id=revenue,
    )


# --- Posting ---------------------------------------------------------------------------------


def insert(row: Hold | Transfer | UsageRecord) -> None:
    """Insert a new row with all of its fields; a key that the database makes is not read back."""
    statement, fields = _insertion(type(row))
    database = _database()
    values = []
    for name, field in fields:
        value = getattr(row, name)
        # What both databases know already; a JSON field would put quotes around it.
        if type(value) not in _PLAIN or isinstance(field, JSONField):
            value = field.get_db_prep_save(value, database)
        values.append(value)
    _write(statement, *values)


_PLAIN = frozenset({int, str, type(None)})


@cache
def _insertion(model: type[Model]) -> tuple[str, list[tuple[str, Field[Any, Any]]]]:
    fields = [field for field in model._meta.local_concrete_fields if field.db_returning is False]
    columns = ", ".join(str(field.column) for field in fields)
    places = ", ".join(["%s"] * len(fields))
    statement = f"INSERT INTO {model._meta.db_table} ({columns}) VALUES ({places})"  # noqa: S608
    return statement, [(field.attname, field) for field in fields]


# --- Statements ------------------------------------------------------------------------------


def _database() -> BaseDatabaseWrapper:
    """This thread's connection itself: its proxy would look it up again for every attribute."""
    return connections[DEFAULT_DB_ALIAS]


def _write(statement: str, *values: Any) -> int:
    """How many rows it changed."""
    return int(_execute(statement, values).rowcount)


def _read(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    database = _database()
    cursor = _execute(statement, values)
    with database.wrap_database_errors:
        return list(cursor.fetchall())


def _execute(statement: str, values: Sequence[Any]) -> Any:
    """The driver's cursor after the statement. Raises Django's database errors."""
    database = _database()
    database.validate_no_broken_transaction()
    database.ensure_connection()
    with database.wrap_database_errors:
        cursor = database.connection.cursor()
        cursor.execute(_spelled(statement, database.vendor), values)
        return cursor


@cache
def _spelled(statement: str, vendor: str) -> str:
    """With the driver's sign for a value's place."""
    return statement.replace("%s", "?") if vendor == "sqlite" else statement


def _prepare(model: type[Model], name: str, value: Any) -> Any:
    """A value as the database wants it: SQLite knows neither UUIDs nor dates."""
    return _field(model, name).get_db_prep_save(value, _database())


def _convert(model: type[Model], name: str, value: Any) -> Any:
    """A value as the database gave it, made what the model's field holds."""
    database = _database()
    for converter in _converters(database.vendor, model, name):
        value = converter(value, None, database)
    return value


@cache
def _converters(_vendor: str, model: type[Model], name: str) -> list[Callable[..., Any]]:
    column = _field(model, name).get_col(model._meta.db_table)
    own = _database().ops.get_db_converters(column)
    return [*own, *column.get_db_converters(_database())]


@cache
def _field(model: type[Model], name: str) -> Field[Any, Any]:
    field = model._meta.get_field(name)
    assert isinstance(field, Field)
    return field
