"""A client that stops reading while the model says nothing."""

import asyncio
import time
from collections.abc import MutableMapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from inference.api import streams
from inference.api.exchange import Exchange
from inference.spec import TextDelta
from portal.lib import sse


class Quiet:
    """A generation that has begun and then says nothing."""

    request_id = "req_1"
    error = outcome = None
    output_tokens = samples = 1
    spec = SimpleNamespace(n=1)
    cancelled = False

    async def begun(self, timeout_s: float) -> None: ...

    def __init__(self) -> None:
        self.said = [TextDelta(0, "a", 1)]

    async def news(self) -> list[TextDelta]:
        if not self.said:
            await asyncio.Event().wait()
        return [self.said.pop()]

    def cancel(self) -> None:
        self.cancelled = True


async def test_it_is_given_up_at_a_keep_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """The web server waits before it writes what does not fit: the chunk itself went out."""
    monkeypatch.setattr(streams, "STALLED_CLIENT_S", 0.3)
    monkeypatch.setattr(sse, "KEEP_ALIVE_S", 0.1)
    sent: list[Any] = []
    never = asyncio.Event()

    async def send(message: MutableMapping[str, Any]) -> None:
        if len(sent) == 2:
            await never.wait()
        sent.append(message)

    async def receive() -> dict[str, Any]:
        await never.wait()
        raise AssertionError

    class Told:
        def begin(self) -> bytes:
            return b""

        def take(self, delta: TextDelta) -> bytes:
            return delta.text.encode()

    generation, exchange = Quiet(), Exchange()
    exchange.started = True
    stream = streams.EventStream(cast("Any", generation), cast("Any", Told()))
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await stream({"exchange": exchange}, receive, send)
    assert time.monotonic() - began < 9
    assert generation.cancelled
    assert len(sent) == 2
