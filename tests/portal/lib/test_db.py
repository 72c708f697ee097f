"""The thread hops: results, errors and context come through; work outlives a cancelled caller.

What is committed together succeeds or fails one by one, and is answered when it is on disk.
"""

import asyncio
import contextlib
import contextvars
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any

import pytest
import structlog
from django.contrib.auth.models import Group, Permission
from django.db import (
    DEFAULT_DB_ALIAS,
    IntegrityError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.errors import ReadOnlySqlTransaction
from psycopg_pool import PoolTimeout

from billing.ledger import AccountingUnavailable
from portal.lib import db as hops
from portal.lib.db import atomic, commit, commit_lightly, db

# Also where no table is touched: a database thread looks at the connection that it keeps.
pytestmark = pytest.mark.django_db(transaction=True)


async def test_it_runs_on_a_database_thread() -> None:
    name = await db(lambda: threading.current_thread().name)
    assert name.startswith("db")


async def test_it_passes_arguments_errors_and_context() -> None:
    structlog.contextvars.bind_contextvars(request_id="req_1")
    assert await db(divmod, 7, 2) == (3, 1)
    assert (await db(structlog.contextvars.get_contextvars))["request_id"] == "req_1"
    with pytest.raises(ZeroDivisionError):
        await db(divmod, 1, 0)


async def test_a_call_runs_to_its_end_when_its_caller_is_cancelled() -> None:
    begun, ended = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        time.sleep(0.05)
        ended.set()

    task = asyncio.create_task(db(slow))
    assert await asyncio.to_thread(begun.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 30)


def add_group(name: str) -> str:
    with atomic():
        Group.objects.create(name=name)
    return name


async def together(*calls: Any) -> list[Any]:
    return await meeting(*(partial(commit, order, call) for order, call in calls))


async def meeting(*commits: Callable[[], Coroutine[Any, Any, Any]]) -> list[Any]:
    """Commit these while the committing thread is busy with another, so that they meet."""
    begun, go_on = threading.Event(), threading.Event()

    def hold_up() -> None:
        begun.set()
        go_on.wait(30)

    blocking = asyncio.create_task(commit("", hold_up))
    assert await asyncio.to_thread(begun.wait, 30)
    waiting = [asyncio.create_task(each()) for each in commits]
    await asyncio.sleep(0)
    go_on.set()
    await blocking
    return await asyncio.gather(*waiting, return_exceptions=True)


async def test_what_waits_is_committed_together_and_answered_afterwards() -> None:
    in_transaction: list[bool] = []

    def add(name: str) -> str:
        in_transaction.append(connection.in_atomic_block)
        return add_group(name)

    results = await together(*((name, partial(add, name)) for name in "cab"))
    assert results == ["c", "a", "b"]
    added = await db(lambda: list(Group.objects.order_by("id").values_list("name", flat=True)))
    assert added[-3:] == ["a", "b", "c"]  # in the order of what they change
    assert in_transaction == [True] * 3


async def test_an_error_undoes_its_own_changes_alone() -> None:
    def half() -> None:
        add_group("half")
        raise ZeroDivisionError

    results = await together(
        ("1", partial(add_group, "one")),
        ("2", partial(add_group, "one")),
        ("3", half),
        ("4", partial(add_group, "two")),
    )
    assert [type(result) for result in results] == [str, IntegrityError, ZeroDivisionError, str]
    names = await db(lambda: set(Group.objects.values_list("name", flat=True)))
    assert {"one", "two"} <= names
    assert "half" not in names


async def test_a_call_and_its_own_transaction_are_one() -> None:
    def savepoints() -> list[bool]:
        with atomic():
            return [each is not None for each in connection.savepoint_ids]

    def within_another() -> list[bool]:
        with transaction.atomic():
            return savepoints()

    assert await commit("", savepoints) == []
    assert await together(("1", savepoints), ("2", savepoints)) == [[True]] * 2
    assert await db(savepoints) == []
    assert await db(within_another) == [True]


async def test_what_failed_within_a_call_is_not_kept_although_the_call_goes_on() -> None:
    def half() -> None:
        with atomic():
            add_group("half")
            raise ZeroDivisionError

    def undeterred() -> str:
        with contextlib.suppress(ZeroDivisionError):
            half()
        return "went on"

    assert await commit("", undeterred) == "went on"
    others = ("1", partial(add_group, "one")), ("3", partial(add_group, "three"))
    assert await together(others[0], ("2", undeterred), others[1]) == ["one", "went on", "three"]
    names = await db(lambda: set(Group.objects.values_list("name", flat=True)))
    assert {"one", "three"} <= names
    assert "half" not in names


async def test_who_breaks_a_constraint_only_at_the_commit_fails_alone() -> None:
    def dangling() -> None:
        Permission.objects.create(name="none", codename="none", content_type_id=10**6)

    results = await together(("1", partial(add_group, "one")), ("2", dangling))
    assert [type(result) for result in results] == [str, IntegrityError]
    assert await db(lambda: Group.objects.filter(name="one").exists())


async def test_a_lost_connection_is_told_to_all_of_them() -> None:
    def lose() -> None:
        add_group("lost")
        connection.connection.close()

    results = await together(("1", lose), ("2", partial(add_group, "gone")))
    assert all(isinstance(result, Exception) for result in results)
    names = await db(lambda: set(Group.objects.values_list("name", flat=True)))
    assert not names & {"lost", "gone"}


async def test_a_connection_that_grew_old_while_nobody_called_is_not_used_again() -> None:
    """Its file may have been put back from a backup meanwhile."""

    def current() -> tuple[BaseDatabaseWrapper, Any]:
        database = connections[DEFAULT_DB_ALIAS]
        return database, database.connection

    database, before = await commit("", current)
    database.close_at = 0.0
    _database, after = await commit("", current)
    assert after is not before


async def test_a_connection_that_cannot_even_be_closed_stops_nobody_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_connection: BaseDatabaseWrapper) -> None:
        raise OperationalError("the server closed the connection unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr(BaseDatabaseWrapper, "close_if_unusable_or_obsolete", broken)
        with pytest.raises(OperationalError):
            await asyncio.wait_for(commit("", partial(add_group, "lost")), 30)
    assert await asyncio.wait_for(commit("", partial(add_group, "next")), 30) == "next"


async def test_it_is_committed_though_its_caller_was_cancelled() -> None:
    task = asyncio.create_task(commit("", partial(add_group, "kept")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await commit("", lambda: None)
    assert await db(lambda: Group.objects.filter(name="kept").exists())


@pytest.mark.parametrize("first", [db, partial(commit, "")], ids=["db", "commit"])
async def test_nobody_waits_for_a_server_that_has_just_kept_others_waiting(
    monkeypatch: pytest.MonkeyPatch, first: Any
) -> None:
    asked: list[str] = []

    def no_connection() -> None:
        asked.append("waits")
        raise OperationalError("none to be had") from PoolTimeout()

    monkeypatch.setattr(hops._Away, "until", 0.0)
    with pytest.raises(OperationalError, match="none to be had"):
        await first(no_connection)
    for hop in (db, partial(commit, "")):
        with pytest.raises(OperationalError, match="a moment ago"):
            await hop(no_connection)  # type: ignore[arg-type]
    assert asked == ["waits"]
    monkeypatch.setattr(hops._Away, "until", time.monotonic())
    assert await db(add_group, "back") == "back"


@pytest.mark.parametrize("kind", [OperationalError, ReadOnlySqlTransaction])
async def test_that_nothing_can_be_written_is_said_once_and_its_end_too(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full() -> None:
        raise AccountingUnavailable from kind("database or disk is full")

    caplog.set_level("WARNING", hops.logger.name)
    monkeypatch.setattr(hops._committer(), "_trouble", hops._Trouble())
    for _ in range(3):
        with pytest.raises(AccountingUnavailable):
            await commit("", full)
    with pytest.raises(ZeroDivisionError):  # says nothing about the database
        await commit("", divmod, 1, 0)
    for name in ("room", "again"):
        await commit("", add_group, name)
    said = [record.getMessage() for record in caplog.records if record.name == hops.logger.name]
    assert said[0] == "the database takes no writes: database or disk is full"
    assert len(said) == 2
    assert said[1].startswith("the database takes writes again, after ")
    assert said[1].endswith(" s of: database or disk is full")


def waits_for_disk() -> int:
    with connection.cursor() as cursor:
        return int(cursor.execute("PRAGMA synchronous").fetchone()[0])


class OutsideTransactions(hops._Call):
    """Called on the committing thread as it is: there SQLite changes what it waits for."""

    def run(self) -> hops._Result:
        return hops._Result(value=self.function())


async def on_the_committing_thread(function: Callable[[], Any]) -> Any:
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    call = OutsideTransactions("", contextvars.copy_context(), function, answer, True)
    hops._committer().submit(call)
    return await answer


@pytest.fixture
async def careful_sqlite() -> AsyncIterator[None]:
    """As in production: what is committed waits for the disk (2, FULL)."""

    def wait(level: int) -> None:
        connection.cursor().execute(f"PRAGMA synchronous={level}")

    before = await on_the_committing_thread(waits_for_disk)
    await on_the_committing_thread(partial(wait, 2))
    yield
    await on_the_committing_thread(partial(wait, before))


@pytest.mark.usefixtures("careful_sqlite")
async def test_what_is_nothing_without_this_process_does_not_wait_for_the_disk() -> None:
    assert await commit_lightly("", waits_for_disk) == hops.SQLITE_NORMAL
    assert await commit("", waits_for_disk) == 2
    assert await commit_lightly("", partial(add_group, "light")) == "light"
    assert await db(lambda: Group.objects.filter(name="light").exists())


@pytest.mark.usefixtures("careful_sqlite")
async def test_what_is_committed_together_waits_when_one_of_it_has_to() -> None:
    lightly = partial(commit_lightly, "b", waits_for_disk)
    surely = partial(commit, "a", waits_for_disk)
    assert await meeting(lightly, surely) == [2, 2]
    assert await meeting(lightly, lightly) == [1, 1]


async def test_many_more_than_fit_into_one_commit_are_all_done() -> None:
    names = [f"group-{number}" for number in range(2 * hops.MOST_TOGETHER + 3)]
    assert await together(*((name, partial(add_group, name)) for name in names)) == names
