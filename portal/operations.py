"""What operators' machines ask: `/healthz`, `/readyz` and `/metrics`.

`/healthz` says that the process lives. `/readyz` says that it can serve: the database answers, is
migrated and takes writes, and an engine is there. `/metrics` is Prometheus' text format.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from billing import pulse
from inference import service
from portal import backlog
from portal.lib.db import commit_lightly, db

logger = logging.getLogger(__name__)

T = TypeVar("T")

CHECKED_FOR_S = 1.0  # strangers may ask as often as they like
# Probes wait for a few seconds, and a database that is locked for as long as it is.
PATIENCE_S = 3.0


async def healthz(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def readyz(_request: Request) -> Response:
    """200 when every part answers, else 503; the body names each part."""
    parts = {"database": await _database.found(), "engine": engine_state()}
    ready = all(state == "ok" for state in parts.values())
    _readiness.note(ready, parts)
    return JSONResponse(parts, status_code=200 if ready else 503)


class Readiness:
    """Says in the log what is missing when that changes, since few read the answers to probes."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def note(self, ready: bool, parts: dict[str, str]) -> None:
        if parts == self._known:
            return
        if not ready:
            missing = [f"{part}: {state}" for part, state in parts.items() if state != "ok"]
            logger.error("not ready; %s", ", ".join(missing))
        elif self._known:
            logger.warning("ready again")
        self._known = parts


class Looked(Generic[T]):
    """What was found when it was looked at last; looked at again after a second."""

    def __init__(self, look: Callable[[], Coroutine[Any, Any, T]], silent: T) -> None:
        """`silent` is what is found when nothing answers for PATIENCE_S."""
        self._look, self._silent = look, silent
        self._looking: asyncio.Task[T] | None = None
        self._until = 0.0  # by time.monotonic()

    async def found(self) -> T:
        """Who comes while it is looked at waits for the same look."""
        looking = self._looking
        if looking is None or (looking.done() and time.monotonic() >= self._until):
            looking = self._looking = asyncio.create_task(self._look_now())
        await asyncio.wait({looking}, timeout=PATIENCE_S)
        return looking.result() if looking.done() else self._silent

    async def _look_now(self) -> T:
        try:
            return await self._look()
        finally:
            self._until = time.monotonic() + CHECKED_FOR_S


async def database_state() -> str:
    """`ok`, or in a few words what is wrong."""
    try:
        waiting = await db(waiting_migrations)
    except DatabaseError:
        return "unreachable"
    if waiting:
        return f"{waiting} migrations wait"
    try:
        await commit_lightly("", pulse.check)
    except DatabaseError:
        return "takes no writes"
    return "ok"


def waiting_migrations() -> int:
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def engine_state() -> str:
    return "ok" if service.engines_healthy() else "no engine answers"


async def metrics(_request: Request) -> Response:
    backlog.show(await _backlog.found())
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def read_backlog() -> backlog.Backlog | None:
    """None where the database cannot say."""
    try:
        return await db(backlog.read)
    except DatabaseError:
        return None


_readiness = Readiness()
_database = Looked(database_state, "does not answer")
_backlog = Looked[backlog.Backlog | None](read_backlog, None)


routes = [
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
]
