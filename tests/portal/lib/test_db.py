"""The thread hop: results, errors and context come through; work outlives a cancelled caller."""

import asyncio
import threading
import time

import pytest
import structlog

from portal.lib.db import db


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
    ended = threading.Event()

    def slow() -> None:
        time.sleep(0.05)
        ended.set()

    task = asyncio.create_task(db(slow))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 2)
