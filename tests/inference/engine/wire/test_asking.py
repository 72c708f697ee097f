"""A single call without an event loop."""

import asyncio
import itertools
import socket as sockets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from inference.engine.wire.asking import ask
from inference.engine.wire.engine_pb2 import DetokenizeRequest
from inference.engine.wire.errors import CallError, Code
from inference.engine.wire.frames import HELLO
from inference.engine.wire.methods import DETOKENIZE
from tests.inference.engine.wire.rig import REFUSE, WAIT, serving


def asked(address: str, *token_ids: int, timeout_s: float = 10) -> str:
    return ask(address, DETOKENIZE, DetokenizeRequest(token_ids=token_ids), timeout_s).text


@pytest.mark.parametrize("tcp", [False, True])
async def test_it_gets_an_answer_or_a_refusal(socket: str, tcp: bool) -> None:
    async with serving("127.0.0.1:0" if tcp else socket) as (address, server, servicer):
        assert await asyncio.to_thread(asked, address, 1, 2) == "1 2"
        long = await asyncio.to_thread(asked, address, *range(100_000, 200_000))
        assert len(long) == 699_999
        with pytest.raises(CallError, match="Not this one") as caught:
            await asyncio.to_thread(asked, address, REFUSE)
        assert caught.value.code is Code.INVALID_ARGUMENT
        began = time.monotonic()
        with pytest.raises(CallError) as caught:
            await asyncio.to_thread(asked, address, WAIT, timeout_s=0.5)
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        assert time.monotonic() - began < 5
        async with asyncio.timeout(10):
            while server.clients:
                await asyncio.sleep(0.01)
        assert servicer.cancelled == 1


def test_nobody_listens(socket: str) -> None:
    with pytest.raises(CallError) as caught:
        asked(socket)
    assert caught.value.code is Code.UNAVAILABLE
    assert socket in caught.value.sentence


@contextmanager
def pretender(address: str, pieces: Iterable[bytes]) -> Iterator[None]:
    """Something else that listens, and says this to the one who comes."""

    def serve() -> None:
        with listening, listening.accept()[0] as connection:
            for piece in pieces:
                try:
                    connection.sendall(piece)
                except OSError:
                    return

    listening = sockets.socket(sockets.AF_UNIX)
    listening.bind(address.removeprefix("unix:"))
    listening.listen()
    thread = threading.Thread(target=serve)
    thread.start()
    yield
    thread.join()


def test_what_is_no_engine_is_named(socket: str) -> None:
    with (
        pretender(socket, [b"HTTP/1.1 400 Bad Request\r\n"]),
        pytest.raises(CallError, match="another protocol") as caught,
    ):
        asked(socket)
    assert caught.value.code is Code.FAILED_PRECONDITION


def test_a_connection_that_ends_is_no_answer(socket: str) -> None:
    with pretender(socket, [HELLO]), pytest.raises(CallError) as caught:
        asked(socket)
    assert caught.value.code is Code.UNAVAILABLE


def test_an_answer_in_drops_does_not_hold_the_caller_for_longer_than_it_waits(socket: str) -> None:
    drops = itertools.chain([HELLO, b"\3\0\0\0\5\0\0\0\1"], itertools.repeat(b"x"))
    began = time.monotonic()
    with pretender(socket, drops), pytest.raises(CallError) as caught:
        asked(socket, timeout_s=0.3)
    assert caught.value.code is Code.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 5
