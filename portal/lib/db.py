"""The one thread hop from async code to the ORM.

Django's `sync_to_async` outside Django's own handler runs everything on one thread and never
closes a stale connection. This hop runs on a bounded executor of our own and wraps each call in
`close_old_connections()`, so that a restarted database heals by itself.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import close_old_connections

P = ParamSpec("P")
R = TypeVar("R")


async def db(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run `function` on a database thread and return its result.

    When the caller is cancelled the call still runs to its end: work that must not be half done
    belongs into one transaction inside `function`.
    """
    call = partial(_with_fresh_connection, function, *args, **kwargs)
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_executor(), context.run, call)


def _with_fresh_connection(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    close_old_connections()
    try:
        return function(*args, **kwargs)
    finally:
        close_old_connections()


@cache
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=settings.DB_THREADS, thread_name_prefix="db")
