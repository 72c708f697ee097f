"""Calls over a real socket: answered, refused, given up, and told of the connection's end."""

import asyncio
import itertools
import logging

import pytest

from inference.engine.wire import answering, calling, engine_pb2, frames
from inference.engine.wire.errors import CallError, Code
from inference.engine.wire.frames import HELLO, Kind, pack, pack_call
from inference.engine.wire.methods import DETOKENIZE, INFO
from tests.inference.engine.wire.rig import (
    CRASH,
    GIVE_UP,
    REFUSE,
    WAIT,
    connected,
    detokenize,
    raw,
    serving,
    until,
    waiting,
)


async def test_many_calls_at_once_get_each_its_own_answer(socket: str) -> None:
    async with (
        serving(socket) as (address, _, servicer),
        connected(address) as caller,
        waiting(caller, servicer) as slow,
    ):
        answers = await asyncio.gather(*(detokenize(caller, n, n + 1) for n in range(200)))
        assert answers == [f"{n} {n + 1}" for n in range(200)]
        assert not slow.done()


async def test_the_numbers_of_calls_come_again_but_not_those_under_way(socket: str) -> None:
    async with (
        serving(socket) as (address, _, servicer),
        connected(address) as caller,
        waiting(caller, servicer) as slow,
    ):
        caller._ids = itertools.count(frames.LARGEST_ID - 2)
        answers = [await detokenize(caller, n) for n in range(6)]
        assert answers == [str(n) for n in range(6)]
        assert not slow.done()


async def test_calls_over_tcp(socket: str) -> None:
    for host in ("127.0.0.1", "localhost"):
        async with serving(f"{host}:0") as (address, _, _), connected(address) as caller:
            assert await detokenize(caller, 1, 2) == "1 2"


async def test_a_refusal_comes_with_its_code_and_sentence(socket: str) -> None:
    async with serving(socket) as (address, _, _), connected(address) as caller:
        with pytest.raises(CallError) as caught:
            await detokenize(caller, REFUSE)
        assert (caught.value.code, caught.value.sentence) == (
            Code.INVALID_ARGUMENT, "Not this one: ß.",
        )  # fmt: skip


async def test_a_method_that_fails_or_is_missing_ends_its_own_call(
    socket: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        serving(socket) as (address, _, servicer),
        connected(address) as caller,
        waiting(caller, servicer) as other,
    ):
        with pytest.raises(CallError) as caught:
            await detokenize(caller, CRASH)
        assert caught.value.code is Code.INTERNAL
        assert "a bug" in caplog.text
        assert "a bug" not in caught.value.sentence
        with pytest.raises(CallError, match="gave it up"):
            await detokenize(caller, GIVE_UP)
        with pytest.raises(CallError, match="has no method 'Info'") as caught:
            await caller.call(INFO, engine_pb2.InfoRequest())
        assert caught.value.code is Code.UNIMPLEMENTED
        assert await detokenize(caller, 5) == "5"
        assert not other.done()


async def test_what_is_too_long_to_send_fails_alone(
    socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(socket) as (address, _, _), connected(address) as caller:
        monkeypatch.setattr(frames, "MAX_PAYLOAD_BYTES", 1000)
        for num in (2000, 400):  # the request; the reply to it
            with pytest.raises(CallError) as caught:
                await detokenize(caller, *[100] * num)
            assert caught.value.code is Code.RESOURCE_EXHAUSTED
        assert await detokenize(caller, 5) == "5"


async def test_who_goes_away_or_waits_no_longer_cancels_the_call(socket: str) -> None:
    async with serving(socket) as (address, _, servicer), connected(address) as caller:
        leaving = asyncio.create_task(detokenize(caller, WAIT))
        await until(lambda: servicer.waiting == 1)
        leaving.cancel()
        await until(lambda: servicer.cancelled == 1)
        with pytest.raises(CallError) as caught:
            await detokenize(caller, WAIT, timeout_s=0.05)
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        await until(lambda: servicer.cancelled == 2)
        assert await detokenize(caller, 5) == "5"


async def test_a_client_that_is_gone_has_its_calls_cancelled(socket: str) -> None:
    async with serving(socket) as (address, server, servicer):
        async with connected(address) as caller:
            calls = [asyncio.create_task(detokenize(caller, WAIT)) for _ in range(3)]
            await until(lambda: servicer.waiting == 3)
        await until(lambda: servicer.cancelled == 3)
        assert not server.clients
        for call in calls:
            with pytest.raises(CallError) as caught:
                await call
            assert caught.value.code is Code.UNAVAILABLE


async def test_after_the_end_of_a_connection_every_call_says_so(socket: str) -> None:
    async with (
        serving(socket) as (address, server, servicer),
        connected(address) as caller,
        waiting(caller, servicer) as under_way,
    ):
        server.fail(CallError(Code.UNAVAILABLE, "The engine has lost its device."))
        for call in (under_way, detokenize(caller, 1), detokenize(caller, 1)):
            with pytest.raises(CallError, match="UNAVAILABLE: The engine has lost its device"):
                await call
        await until(lambda: servicer.cancelled == 1)


async def test_nobody_listens(socket: str) -> None:
    for address in (socket, "127.0.0.1:1", "nonsense", "unix:" + "x" * 200):
        with pytest.raises(CallError) as caught:
            await calling.connect_to(address, 5)
        assert caught.value.code is Code.UNAVAILABLE, address
        assert address in caught.value.sentence


# Nonsense.


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\xff" * 9,
        b"GET / HTTP/1.1\r\nHost: engine\r\n\r\n" * 10,
        (frames.MAX_PAYLOAD_BYTES + 1).to_bytes(4, "big") + b"\1\0\0\0\1",
        b"\0\0\0\0\x63\0\0\0\1",
        b"\0\0\0\0\1\0\0\0\1",
        pack(Kind.REPLY, 1),
        pack(Kind.CALL, 1, b"Detokenize\0\xff\xff\xff"),
        pack_call(1, "Generate") + pack(Kind.MESSAGE, 1, b"\xff\xff"),
        pack_call(1, "Generate") * 2,
    ],
    ids=[
        "ones", "http", "too long", "unknown kind", "no method", "not a client's kind",
        "undecodable call", "undecodable message", "number taken",
    ],
)  # fmt: skip
async def test_nonsense_ends_its_own_connection_alone(
    socket: str, nonsense: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with (
        serving(socket) as (address, server, servicer),
        connected(address) as neighbour,
        waiting(neighbour, servicer) as under_way,
    ):
        async with raw(address) as (reader, writer):
            writer.write(nonsense)
            said = await asyncio.wait_for(reader.read(), 10)
        assert said.startswith(HELLO)
        assert b"The engine understood nothing: " in said
        assert "a client's connection is ended: " in caplog.text
        await until(lambda: len(server.clients) == 1)
        assert all(stream.closed == 1 for stream in servicer.streams)
        assert not under_way.done()
        assert await detokenize(neighbour, 5) == "5"


@pytest.mark.parametrize("hello", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"parlance-engine 3\n"])
async def test_another_program_is_sent_away(
    socket: str, hello: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with serving(socket) as (address, server, _):
        async with raw(address, hello=hello) as (reader, _writer):
            assert (await asyncio.wait_for(reader.read(), 10)).startswith(HELLO)
        assert "of the protocol" in caplog.text or "another protocol" in caplog.text
        await until(lambda: not server.clients)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"\0\0\x18\x04\0\0\0\0\0", "another protocol"),
        (b"parlance-engine 3\n", "version 3 of the protocol, not 2"),
        (HELLO + b"\0\0\0\0\x63\0\0\0\1", "unknown kind 99"),
        (HELLO + pack(Kind.REPLY, 1, b"\xff\xff"), "should be a DetokenizeReply"),
        (HELLO + pack(Kind.ERROR, 1), "no code"),
    ],
)
async def test_what_is_no_engine_is_named(tmp_path: object, said: bytes, why: str) -> None:
    async def pretend(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    path = f"{tmp_path}/pretender"
    pretender = await asyncio.start_unix_server(pretend, path)
    async with connected(f"unix:{path}") as caller:
        request = engine_pb2.DetokenizeRequest()
        for _ in range(2):
            with pytest.raises(CallError, match=why) as caught:
                await caller.call(DETOKENIZE, request, 10)
            assert caught.value.code is Code.FAILED_PRECONDITION
    pretender.close()


# Those who are gone.


async def test_a_client_that_falls_silent_is_taken_for_gone(
    socket: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its machine vanished: nothing more comes, not even an end."""
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(answering, "SILENCE_S", 0.07)
    monkeypatch.setattr(calling, "ALIVE_S", 0.02)
    async with serving(socket) as (address, server, servicer), connected(address) as idle:
        async with raw(address) as (reader, writer):
            writer.write(pack_call(1, "Generate"))
            await until(lambda: servicer.streams)
            await until(lambda: servicer.streams[0].closed == 1, 5)
            assert await asyncio.wait_for(reader.read(), 5) == HELLO
        assert "has fallen silent" in caplog.text
        await asyncio.sleep(0.5)
        assert len(server.clients) == 1
        assert await detokenize(idle, 5) == "5"


async def test_a_probe_that_connects_and_leaves_is_no_news(
    socket: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(socket) as (address, server, _):
        async with raw(address, hello=b""):
            await until(lambda: server.clients)
        await until(lambda: not server.clients)
        assert not caplog.records


# Leaving.


async def test_an_engine_that_stops_lets_calls_under_way_end(socket: str) -> None:
    async with (
        serving(socket) as (address, server, servicer),
        connected(address) as idle,
        connected(address) as busy,
        waiting(busy, servicer) as under_way,
    ):
        stopping = asyncio.create_task(server.stop(20))
        await until(lambda: idle.ending)
        with pytest.raises(CallError) as caught:
            await detokenize(busy, 1)
        assert caught.value.code is Code.UNAVAILABLE
        with pytest.raises(CallError):
            await calling.connect_to(address, 1)
        assert not stopping.done()
        under_way.cancel()
        await asyncio.wait_for(stopping, 5)


async def test_an_engine_that_stops_does_not_wait_for_ever(socket: str) -> None:
    async with (
        serving(socket) as (address, server, servicer),
        connected(address) as busy,
        waiting(busy, servicer) as under_way,
    ):
        await asyncio.wait_for(server.stop(0.05), 5)
        with pytest.raises(CallError, match="UNAVAILABLE"):
            await under_way
        assert servicer.cancelled == 1
