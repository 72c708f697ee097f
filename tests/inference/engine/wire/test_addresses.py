"""Where an engine listens: nobody's place is taken, and the real address comes back."""

import socket as sockets
from pathlib import Path

import pytest

from inference.engine.wire.addresses import parse
from tests.inference.engine.wire.rig import connected, detokenize, serving


def test_an_address_is_a_path_or_a_host_and_a_port() -> None:
    assert parse("unix:/run/engine.sock") == Path("/run/engine.sock")
    assert parse("10.0.0.5:50051") == ("10.0.0.5", 50051)
    assert parse("[::1]:0") == ("::1", 0)
    nowhere = ("", "engine", "engine:", "engine:x", "engine:65536", "http://engine")
    for nonsense in (*nowhere, "50051", ":50051"):
        with pytest.raises(ValueError, match="is no address"):
            parse(nonsense)


async def test_the_address_says_where_it_really_listens(socket: str) -> None:
    async with serving(socket) as (address, _, _):
        assert address == socket
    async with serving("127.0.0.1:0") as (address, _, _), connected(address) as caller:
        host, _, port = address.partition(":")
        assert host == "127.0.0.1"
        assert int(port) > 0
        assert await detokenize(caller, 1) == "1"


async def test_a_served_socket_is_not_taken(socket: str) -> None:
    async with serving(socket) as (address, _, _), connected(address) as caller:
        with pytest.raises(ValueError, match="another process listens on"):
            async with serving(socket):
                pass
        assert await detokenize(caller, 1) == "1"
        async with connected(address) as another:
            assert await detokenize(another, 2) == "2"


async def test_a_served_port_is_not_taken() -> None:
    async with serving("127.0.0.1:0") as (address, _, _):
        with pytest.raises(OSError, match="in use"):
            async with serving(address):
                pass


async def test_the_socket_of_a_process_that_is_gone_is_replaced(socket: str) -> None:
    path = Path(socket.removeprefix("unix:"))
    with sockets.socket(sockets.AF_UNIX) as left:
        left.bind(str(path))
    assert path.exists()
    async with serving(socket) as (address, _, _), connected(address) as caller:
        assert await detokenize(caller, 1) == "1"
    assert not path.exists(), "who leaves takes the socket along"


async def test_a_file_that_is_no_socket_stays(socket: str) -> None:
    path = Path(socket.removeprefix("unix:"))
    path.write_text("precious")
    with pytest.raises(OSError, match="in use"):
        async with serving(socket):
            pass
    assert path.read_text() == "precious"
