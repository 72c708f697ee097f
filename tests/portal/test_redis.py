"""Redis was restarted, a firewall forgot a connection, or Redis stands still."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import kombu
import pytest
import redis
from django.conf import settings
from django.core.cache.backends.redis import RedisCache

from accounts import throttling
from inference.pace import SharedPaces
from portal.lib import addresses
from tests.services import redis_server


@pytest.fixture
def address() -> Iterator[str]:
    with redis_server() as found:
        yield found


async def test_a_connection_that_has_ended_refuses_nobody(address: str) -> None:
    paces = SharedPaces(address)
    assert (await paces.take("alice", 10, 1)).remaining == 9
    with redis.Redis.from_url(address) as client:
        assert client.client_kill_filter(_type="normal", skipme=True) >= 1
    assert (await paces.take("alice", 10, 1)).remaining == 8


def limit(address: str) -> None:
    throttling._counter(10, address).limit("alice")


def read(address: str) -> None:
    RedisCache(address, {"OPTIONS": settings.REDIS_CONNECTIONS}).get("name")


def publish(address: str) -> None:
    """As beat and web processes do, and workers when they look whether it is still there."""
    options = addresses.broker_options(address, settings.REDIS_CONNECTIONS)
    with kombu.Connection(address, transport_options=options) as connection:
        connection.SimpleQueue("jobs").put("a job")


@pytest.mark.parametrize("ask", [limit, read, publish])
def test_who_asks_one_that_stands_still_is_told_in_time(
    address: str, ask: Callable[[str], None]
) -> None:
    ask(address)
    with redis.Redis.from_url(address) as client:
        pid = client.info("server")["process_id"]
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        with pytest.raises(Exception, match=r"(?i)timeout|unavailable|failed"):
            ask(address)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert time.monotonic() - began < 2 * settings.REDIS_CONNECTIONS["socket_timeout"]  # once alone
