"""The thread hops from async code to the ORM: `db`, and `commit` for writes that many make.

Django's `sync_to_async` outside Django's own handler runs everything on one thread and never
closes a stale connection. This hop runs on a bounded executor of our own and looks at its thread's
connection before and after each call, so that a restarted database heals by itself.

`commit` runs what queued up during the previous commit in one transaction: a disk confirms a few
hundred commits a second, whatever is in them, and SQLite has one writer.
"""

import asyncio
import atexit
import contextlib
import contextvars
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django.db import (
    DEFAULT_DB_ALIAS,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connections,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.errors import ReadOnlySqlTransaction
from psycopg_pool import PoolTimeout

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

MOST_TOGETHER = 64
AWAY_S = 1.0
# It is not there, has no room, or is a standby, which takes no writes.
AWAY = (OperationalError, InterfaceError, ReadOnlySqlTransaction)
SQLITE_NORMAL = 1  # of PRAGMA synchronous: waits for the disk when the log is folded in

# Whether this runs in a call of `commit`.
_committing = contextvars.ContextVar("committing", default=False)


async def db(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run `function` on a database thread and return its result.

    When the caller is cancelled the call still runs to its end: work that must not be half done
    belongs into one transaction inside `function`.
    """
    call = partial(_with_fresh_connection, function, *args, **kwargs)
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_executor(), context.run, call)


def _with_fresh_connection(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    if time.monotonic() < _Away.until:
        raise OperationalError("the database was away a moment ago")
    database = connections[DEFAULT_DB_ALIAS]
    database.close_if_unusable_or_obsolete()
    try:
        return function(*args, **kwargs)
    except OperationalError as error:
        _Away.note(error)
        raise
    finally:
        database.close_if_unusable_or_obsolete()


class _Away:
    """The server gave no connection: who comes now is not kept waiting for one as well.

    Else a few threads would hand out refusals at seconds each while requests pile up behind them.
    """

    until = 0.0  # by time.monotonic()

    @classmethod
    def note(cls, error: BaseException | None) -> None:
        if any(isinstance(each, PoolTimeout) for each in _with_causes(error)):
            cls.until = time.monotonic() + AWAY_S


@cache
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=settings.DB_THREADS, thread_name_prefix="db")


async def commit(order: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run `function`, a transaction of its own, and return its result once it is committed.

    It shares the commit of others that wait, and no more: an error undoes its own changes alone.
    `order` names what it changes first; those of one commit run in this order, so that two
    processes lock rows in the same one. When the caller is cancelled the call still runs.
    """
    return await _commit(order, partial(function, *args, **kwargs), outlives_power=True)


async def commit_lightly(
    order: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
) -> R:
    """As `commit`, for what means nothing once this process is gone.

    On SQLite its answer does not wait for the disk: a power cut may undo it, nothing else can, and
    whatever `commit` puts on the disk later takes it along. PostgreSQL may crash alone, so there it
    is `commit`.
    """
    return await _commit(order, partial(function, *args, **kwargs), outlives_power=False)


def atomic() -> AbstractContextManager[None]:
    """A transaction, which within a call of `commit` is that call's.

    A savepoint of its own would undo nothing more, and SQLite keeps a copy of every page for it.
    What fails within it is not kept either, whoever catches the error.
    """
    if _committing.get():
        return transaction.mark_for_rollback_on_error()
    return transaction.atomic()


async def _commit(order: str, function: Callable[[], R], *, outlives_power: bool) -> R:
    answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
    context = contextvars.copy_context()
    context.run(_committing.set, True)
    _committer().submit(_Call(order, context, function, answer, outlives_power))
    return await answer


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    order: str
    context: contextvars.Context
    function: Callable[[], Any]
    answer: "asyncio.Future[Any]"
    outlives_power: bool

    def run(self) -> "_Result":
        """The outcome; errors of the call's own are part of it."""
        try:
            with transaction.atomic():
                return _Result(value=self.context.run(self.function))
        except Exception as error:
            return _Result(error=error)


@dataclass(frozen=True, slots=True)
class _Result:
    value: Any = None
    error: Exception | None = None


class _Committer:
    """One thread that commits, until the process ends and nothing waits any more."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._ended = False
        self._trouble = _Trouble()
        self._thread = threading.Thread(target=self._run, name="db-commit", daemon=True)
        self._thread.start()
        atexit.register(self._stop)

    def submit(self, call: _Call) -> None:
        self._waiting.put(call)

    def _stop(self) -> None:
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while not self._ended:
            self._commit(self._take())

    def _take(self) -> list[_Call]:
        """Wait for one, and take those along that wait already."""
        taken = [self._waiting.get()]
        while len(taken) < MOST_TOGETHER and not self._waiting.empty():
            taken.append(self._waiting.get())
        self._ended = None in taken
        return sorted(filter(None, taken), key=lambda call: call.order)

    def _commit(self, calls: list[_Call]) -> None:
        if not calls:
            return
        try:
            results = _with_fresh_connection(_run, calls)
        except Exception as error:  # of the connection: whoever waits must not wait for ever
            results = [_Result(error=error) for _ in calls]
        _Away.note(results[0].error)
        self._trouble.note(results)
        _answer(calls, results)


class _Trouble:
    """Says once that nothing can be written, and once that it can again, whoever is refused.

    The second names the first: a log on the same disk has not got it.
    """

    def __init__(self) -> None:
        self._what: str | None = None
        self._since = 0.0

    def note(self, results: list["_Result"]) -> None:
        if all(result.error is not None for result in results):
            complaint = next(filter(None, (_complaint(result.error) for result in results)), None)
            if complaint is not None and self._what is None:
                self._what, self._since = complaint, time.monotonic()
                logger.error("the database takes no writes: %s", complaint)
        elif self._what is not None:
            lasted_s = time.monotonic() - self._since
            logger.warning(
                "the database takes writes again, after %.1f s of: %s", lasted_s, self._what
            )
            self._what = None


def is_away(error: BaseException | None) -> bool:
    """Whether it was the database that could not do it just now, and may later."""
    return _complaint(error) is not None


def _complaint(error: BaseException | None) -> str | None:
    """The database's own words when it is away, else None."""
    return next((str(each).strip() for each in _with_causes(error) if isinstance(each, AWAY)), None)


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _run(calls: list[_Call]) -> list[_Result]:
    database = connections[DEFAULT_DB_ALIAS]
    if database.vendor != "sqlite" or any(call.outlives_power for call in calls):
        return _run_together(calls)
    return _run_lightly(database, calls)


def _run_lightly(database: BaseDatabaseWrapper, calls: list[_Call]) -> list[_Result]:
    """Without waiting for the disk: SQLite's log outlives this process all the same."""
    database.ensure_connection()
    sqlite = database.connection
    [waits] = sqlite.execute("PRAGMA synchronous").fetchone()
    sqlite.execute(f"PRAGMA synchronous={min(waits, SQLITE_NORMAL)}")
    try:
        return _run_together(calls)
    finally:
        if database.connection is sqlite:  # a new one waits anyway
            sqlite.execute(f"PRAGMA synchronous={waits}")


def _run_together(calls: list[_Call]) -> list[_Result]:
    """One transaction with a savepoint for each call; for a single one, just its own."""
    if len(calls) == 1:
        return [calls[0].run()]
    try:
        with transaction.atomic():
            return [call.run() for call in calls]
    except IntegrityError:  # a constraint that is checked at the commit: find out whose
        return [call.run() for call in calls]
    except Exception as error:  # the commit failed, so none of them happened
        return [_Result(error=error) for _ in calls]


def _answer(calls: list[_Call], results: list[_Result]) -> None:
    """Wake each event loop once, however many of its calls there are."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Call, _Result]]] = {}
    for call, result in zip(calls, results, strict=True):
        by_loop.setdefault(call.answer.get_loop(), []).append((call, result))
    for loop, answered in by_loop.items():
        with contextlib.suppress(RuntimeError):  # a loop that has closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, answered)


def _resolve(answered: list[tuple[_Call, _Result]]) -> None:
    for call, result in answered:
        if call.answer.done():
            continue  # cancelled: nobody waits for it any more
        if result.error is not None:
            call.answer.set_exception(result.error)
        else:
            call.answer.set_result(result.value)


@cache
def _committer() -> _Committer:
    return _Committer()
