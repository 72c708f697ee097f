"""A client that reads slowly, or not at all: bounded, and given up in the end."""

import asyncio
from typing import Any

import pytest

from playground import consumers, protocol
from playground.consumers import PlaygroundConsumer


class Pretended:
    """Stands for a generation of the socket."""

    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


async def test_a_client_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "STALLED_CLIENT_S", 0.05)
    consumer = PlaygroundConsumer()
    running = Pretended()
    consumer.answering["r1"] = running  # type: ignore[assignment]
    closed: list[int] = []

    async def never(**_: Any) -> None:
        await asyncio.sleep(60)

    async def close(code: int) -> None:
        closed.append(code)

    monkeypatch.setattr(consumer, "send", never)
    monkeypatch.setattr(consumer, "close", close)
    async with asyncio.timeout(20):
        await asyncio.gather(*(consumer.say(protocol.pong()) for _ in range(9)))
    assert running.cancelled
    assert closed == [consumers.STALLED]


async def test_nothing_is_said_to_one_who_hung_up(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = PlaygroundConsumer()
    tried = 0

    async def broken(**_: Any) -> None:
        nonlocal tried
        tried += 1
        raise ConnectionResetError

    monkeypatch.setattr(consumer, "send", broken)
    for _ in range(3):
        await consumer.say(protocol.pong())
    assert tried == 1


async def test_frames_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many generations speak, one frame is on its way at a time."""
    consumer = PlaygroundConsumer()
    now = most = 0

    async def slow(**_: Any) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1

    monkeypatch.setattr(consumer, "send", slow)
    await asyncio.gather(*(consumer.say(protocol.pong()) for _ in range(8)))
    assert most == 1
