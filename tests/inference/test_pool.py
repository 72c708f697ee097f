"""The pool of engines while the list of them cannot be read."""

import asyncio

from django.db import OperationalError

from inference.engine import fake
from inference.pool import FOLLOW_ADDRESSES_S, EnginePool


async def test_a_database_that_is_away_at_the_start_keeps_no_engine_away() -> None:
    answers = iter([False])

    async with fake.running(fake.FakeOptions(model="starter")) as (address, _server):

        async def read() -> list[tuple[str, str]]:
            if not next(answers, True):
                raise OperationalError("connection refused")
            return [("starter", address)]

        pool = EnginePool(read)
        try:
            await asyncio.wait_for(pool.start(), FOLLOW_ADDRESSES_S)
            assert not pool.healthy()
            assert await pool.wait_until_healthy("starter", FOLLOW_ADDRESSES_S + 5)
        finally:
            await pool.stop()
