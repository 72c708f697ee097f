"""The database as requests meet it: when it is away, they are refused with a sentence."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import Error as DatabaseError

from inference.errors import accounting_unavailable
from portal.lib.db import db

P = ParamSpec("P")
R = TypeVar("R")


async def ask_database(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Return what the function returns on a database thread. Raises ServiceError (503)."""
    try:
        return await db(function, *args, **kwargs)
    except DatabaseError:
        raise accounting_unavailable() from None
