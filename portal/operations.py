"""What operators' machines ask: `/healthz`, `/readyz` and `/metrics`.

`/healthz` says that the process lives. `/readyz` says that it can serve: the database answers, is
migrated and takes writes, and an engine is there. `/metrics` is Prometheus' text format.
"""

import asyncio
import time

from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from billing import pulse
from inference import service
from portal.lib.db import commit_lightly, db

CHECKED_FOR_S = 1.0  # strangers may ask as often as they like


async def healthz(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def readyz(_request: Request) -> Response:
    """200 when every part answers, else 503; the body names each part."""
    parts = {"database": await _database.state(), "engine": engine_state()}
    ready = all(state == "ok" for state in parts.values())
    return JSONResponse(parts, status_code=200 if ready else 503)


class DatabaseCheck:
    """What was found when it was looked at last; looked at again after a second."""

    def __init__(self) -> None:
        self._state = ""
        self._until = 0.0  # by time.monotonic()
        self._looking = asyncio.Lock()

    async def state(self) -> str:
        """`ok`, or in a few words what is wrong."""
        async with self._looking:  # who comes meanwhile takes what is found
            if time.monotonic() >= self._until:
                self._state = await _look()
                self._until = time.monotonic() + CHECKED_FOR_S
        return self._state


_database = DatabaseCheck()


async def _look() -> str:
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
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


routes = [
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
]
