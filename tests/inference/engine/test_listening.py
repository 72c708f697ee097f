"""What a server says of its loop: that it turns, hangs, or has died."""

import asyncio

import pytest

from inference.engine import fake
from inference.engine.fake import FakeOptions
from inference.engine.wire import engine_pb2
from inference.engine.wire.errors import Code
from tests.inference.engine.client import connect, open_stream, refusal_of_info, stats


async def test_a_lost_device_ends_every_stream_with_an_error(socket: str) -> None:
    options = FakeOptions(text="a" * 100, crash_after=5)
    async with (
        fake.running(options, socket) as (address, server),
        connect(address) as stub,
        open_stream(stub) as stream,
    ):
        outcome = await stream.submit([1], max_tokens=50)
        async with asyncio.timeout(10):
            assert await stream.ended is Code.UNAVAILABLE
            await server.died.wait()
        assert not outcome.finish


async def test_a_panic_in_the_loop_is_a_death_and_no_silence(
    socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        """As a library written in Rust raises it."""

    def crash() -> None:
        raise Panic

    async with fake.running(None, socket) as (address, server), connect(address) as stub:
        monkeypatch.setattr(server.loop, "step", crash)
        async with open_stream(stub) as stream, asyncio.timeout(10):
            await stream.submit([1], max_tokens=50)
            assert await stream.ended is Code.UNAVAILABLE
            await server.died.wait()


async def test_a_hung_engine_does_not_answer_info(socket: str) -> None:
    options = FakeOptions(text="a" * 100, hang_after=5)
    async with (
        fake.running(options, socket) as (address, _),
        connect(address) as stub,
        open_stream(stub) as stream,
    ):
        await stub.Info(engine_pb2.InfoRequest(), timeout=5)
        outcome = await stream.submit([1], max_tokens=50)
        await stream.until(lambda: len(outcome.token_ids) >= 4)
        assert await refusal_of_info(stub) is Code.DEADLINE_EXCEEDED


async def test_it_survives_questions_nobody_waits_for_any_more(socket: str) -> None:
    options = FakeOptions(text="a" * 100, tokens_per_second=4)
    async with (
        fake.running(options, socket) as (address, _),
        connect(address) as stub,
        open_stream(stub) as stream,
    ):
        outcome = await stream.submit([1], max_tokens=4)
        await stream.until(lambda: len(outcome.token_ids) >= 1)
        for call in (stub.Info(engine_pb2.InfoRequest()), stub.Drain(engine_pb2.DrainRequest())):
            await asyncio.sleep(0.05)
            call.cancel()
        await stream.finish()
        assert len(outcome.token_ids) == 4
        assert (await stats(stub)).generated_tokens == 4
