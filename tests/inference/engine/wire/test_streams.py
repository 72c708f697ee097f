"""Streams: many on a connection, what comes up together goes together, and who is behind."""

import asyncio
import logging
import time

import pytest

from inference.engine.wire import answering, calling, engine_pb2, frames
from inference.engine.wire.errors import CallError, Code
from inference.engine.wire.methods import GENERATE
from tests.inference.engine.wire.rig import (
    Heard,
    Sipping,
    connected,
    detokenize,
    serving,
    submit,
    until,
    waiting,
)

BIG = engine_pb2.StepFrame(deltas=[engine_pb2.SequenceDelta(error="x" * 100_000)])


async def test_streams_and_calls_share_a_connection(socket: str) -> None:
    async with serving(socket) as (address, server, servicer), connected(address) as caller:
        heard = [Heard(), Heard()]
        streams = [caller.open(GENERATE, each) for each in heard]
        for number in range(20):
            streams[number % 2].write(submit(number))
            assert await detokenize(caller, number) == str(number)
        await until(lambda: sum(len(each.numbers) for each in heard) == 20)
        assert [each.numbers for each in heard] == [[*range(0, 20, 2)], [*range(1, 20, 2)]]
        assert len(server.clients) == 1
        streams[0].cancel()
        await until(lambda: servicer.streams[0].closed == 1)
        servicer.streams[1].stream.end()
        await until(lambda: heard[1].ends == [None])
        assert servicer.streams[1].closed == 1
        assert heard[0].ends == []
        assert await detokenize(caller, 5) == "5"


async def test_what_comes_up_in_one_turn_goes_as_one_message(socket: str) -> None:
    async with serving(socket) as (address, _, servicer), connected(address) as caller:
        heard = Heard()
        stream = caller.open(GENERATE, heard)
        for number in range(30):
            stream.write(submit(number))
        stream.write(engine_pb2.ClientFrame(cancels=[engine_pb2.Cancel(sequence_id=3)]))
        await until(lambda: heard.frames)
        stream.write(submit(30))
        await until(lambda: len(heard.numbers) == 31)
        first, second = servicer.streams[0].messages
        assert [each.sequence_id for each in first.submits] == list(range(30))
        assert [each.sequence_id for each in first.cancels] == [3]
        assert [each.sequence_id for each in second.submits] == [30]


async def test_an_engine_that_does_not_read_is_waited_for(socket: str) -> None:
    """What is asked meanwhile waits here, and goes as few messages when it reads again."""
    async with serving(socket) as (address, server, servicer), connected(address) as caller:
        heard = Heard()
        stream = caller.open(GENERATE, heard)
        await until(lambda: servicer.streams)
        [client] = server.clients
        client._transport.pause_reading()
        number = 0
        while caller.writable:
            stream.write(submit(number, "x" * 50_000))
            number += 1
            await asyncio.sleep(0)
        backed_up = caller._transport.get_write_buffer_size()
        for _ in range(400):
            stream.write(submit(number, "x" * 10_000))
            number += 1
            await asyncio.sleep(0)
        assert caller._transport.get_write_buffer_size() == backed_up
        client._transport.resume_reading()
        await until(lambda: len(heard.numbers) == number)
        assert heard.numbers == list(range(number))
        last = servicer.streams[0].messages[-1]
        assert len(last.submits) > 10
        assert last.ByteSize() <= calling.MERGED_BYTES


async def test_a_message_that_is_too_long_is_refused_alone(
    socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(socket) as (address, _, servicer), connected(address) as caller:
        heard = Heard()
        stream = caller.open(GENERATE, heard)
        monkeypatch.setattr(calling, "MAX_PAYLOAD_BYTES", 1000)
        with pytest.raises(CallError, match="too long"):
            stream.write(submit(1, "x" * 1000))
        stream.write(submit(2))
        await until(lambda: heard.numbers == [2])
        monkeypatch.setattr(frames, "MAX_PAYLOAD_BYTES", 1000)
        servicer.streams[0].stream.write(BIG)
        await until(lambda: heard.ends)
        assert heard.ends[0] is not None
        assert heard.ends[0].code is Code.RESOURCE_EXHAUSTED
        assert servicer.streams[0].closed == 1


async def test_the_end_of_a_connection_is_told_once_on_both_sides(socket: str) -> None:
    async with serving(socket) as (address, server, servicer), connected(address) as caller:
        heard = [Heard(), Heard()]
        for each in heard:
            caller.open(GENERATE, each)
        await until(lambda: len(servicer.streams) == 2)
        server.fail(CallError(Code.UNAVAILABLE, "It is over."))
        await until(lambda: all(each.ends for each in heard))
        await asyncio.sleep(0.05)
        for each in heard:
            [error] = each.ends
            assert error is not None
            assert (error.code, error.sentence) == (Code.UNAVAILABLE, "It is over.")
        assert [each.closed for each in servicer.streams] == [1, 1]
        with pytest.raises(CallError, match="It is over"):
            caller.open(GENERATE, Heard())


async def test_a_client_that_is_behind_is_known_to_be_and_may_catch_up(socket: str) -> None:
    async with serving(socket) as (address, _, servicer), connected(address) as caller:
        heard = Heard()
        caller.open(GENERATE, heard)
        await until(lambda: servicer.streams)
        caller._transport.pause_reading()
        echo = servicer.streams[0]
        number = 0
        while echo.stream.writable:
            echo.stream.write(BIG)
            number += 1
            await asyncio.sleep(0)
        assert echo.writable == 0
        caller._transport.resume_reading()
        await until(lambda: echo.writable == 1)
        assert echo.stream.writable
        await until(lambda: len(heard.frames) == number)


async def test_a_client_that_stops_reading_is_cut_off_and_one_that_reads_slowly_is_not(
    socket: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(answering, "STOPPED_S", 0.5)
    async with (
        serving(socket) as (address, server, servicer),
        connected(address) as slow,
        connected(address) as stopped,
        waiting(stopped, servicer) as cut,
    ):
        heard, unheard = Sipping(slow), Heard()
        slow.open(GENERATE, heard)
        await until(lambda: servicer.streams)
        stopped.open(GENERATE, unheard)
        await until(lambda: len(servicer.streams) == 2)
        stopped._transport.pause_reading()
        began = time.monotonic()
        for echo in servicer.streams:
            for _ in range(100):  # 10 MB, far more than the system takes
                echo.stream.write(BIG)
        while len(heard.frames) < 100:
            heard.sip()
            await asyncio.sleep(0.05)
        assert time.monotonic() - began > 3 * answering.STOPPED_S
        assert [echo.closed for echo in servicer.streams] == [0, 1]
        assert servicer.cancelled == 1
        assert "a client stopped reading" in caplog.text
        assert heard.ends == []
        stopped._transport.resume_reading()
        await until(lambda: unheard.ends)
        assert unheard.ends[0] is not None
        assert unheard.ends[0].code is Code.RESOURCE_EXHAUSTED
        with pytest.raises(CallError, match="stopped reading"):
            await cut
        await until(lambda: len(server.clients) == 1)


async def test_a_client_that_was_cut_off_and_never_reads_again_is_forgotten(
    socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "STOPPED_S", 0.05)
    monkeypatch.setattr("inference.engine.wire.connection.GOODBYE_S", 0.1)
    async with serving(socket) as (address, server, servicer), connected(address) as stopped:
        stopped.open(GENERATE, Heard())
        await until(lambda: servicer.streams)
        stopped._transport.pause_reading()
        for _ in range(100):
            servicer.streams[0].stream.write(BIG)
        await until(lambda: not server.clients)
        assert servicer.streams[0].closed == 1
