"""What operators' machines ask: `/healthz`, `/readyz` and `/metrics`.

`/healthz` says that the process lives. `/readyz` says that it can serve: the database answers and
is migrated, and an engine is there. `/metrics` is Prometheus' text format.
"""

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from inference import service
from portal.lib.db import db


async def healthz(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def readyz(_request: Request) -> Response:
    """200 when every part answers, else 503; the body names each part."""
    parts = {"database": await db(database_state), "engine": engine_state()}
    ready = all(state == "ok" for state in parts.values())
    return JSONResponse(parts, status_code=200 if ready else 503)


def database_state() -> str:
    """`ok`, or in a few words what is wrong."""
    try:
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return "unreachable"
    return f"{len(waiting)} migrations wait" if waiting else "ok"


def engine_state() -> str:
    return "ok" if service.engines_healthy() else "no engine answers"


async def metrics(_request: Request) -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


routes = [
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
]
