"""The head of a request has an end: a flood of headers is refused, whatever is behind it.

A server that stops hears who has just connected. An answer's head does not leave alone.
"""

import asyncio
import json
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from typing import Any

import pytest
import uvicorn

from portal.serving import http
from portal.serving.http import MAX_HEAD_BYTES, BoundedHead, HeadWithBody
from portal.serving.server import Server, configure


async def application(scope: Any, receive: Any, send: Any) -> None:
    received, more = 0, scope["path"] != "/early"  # that is answered before its body has come
    while more:
        message = await receive()
        received += len(message.get("body", b""))
        more = message.get("more_body")
    length = sum(len(value) for name, value in scope["headers"] if name.startswith(b"x-"))
    body = f"{received}/{length}".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    if scope["path"] == "/stream":
        headers = []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body"})


@pytest.fixture
def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@pytest.fixture
async def server(listener: socket.socket) -> AsyncIterator[uvicorn.Server]:
    config = uvicorn.Config(application, http=BoundedHead, lifespan="off", log_config=None)
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    yield server
    server.should_exit = True
    await serving


@pytest.fixture
def port(server: uvicorn.Server) -> int:
    return int(server.servers[0].sockets[0].getsockname()[1])


async def ask(port: int, *parts: bytes) -> bytes:
    """Send the parts, with a moment in between, and read until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)
        async with asyncio.timeout(30):
            return await reader.read()
    except ConnectionError:
        return b"reset"
    finally:
        writer.close()


BEGIN = b"GET / HTTP/1.1\r\nhost: localhost\r\n"


async def test_ordinary_heads_pass_one_after_the_other(port: int) -> None:
    head = BEGIN + b"x-a: " + b"a" * 40_000  # two of them together are above the limit
    answer = await ask(port, head + b"\r\n\r\n", head + b"\r\nconnection: close\r\n\r\n")
    assert answer.count(b"200 OK") == 2


@pytest.mark.parametrize(
    "sent",
    [b"PURGE-ALL / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n", BEGIN + b"no colon\r\n\r\n"],
)
async def test_what_is_no_http_is_told_so_in_the_envelope_of_errors(port: int, sent: bytes) -> None:
    head, _, body = (await ask(port, sent)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert b"content-type: application/json" in head
    error = json.loads(body)["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", None)
    assert error["message"]


@pytest.mark.parametrize("line", [b"x-a: " + b"a" * 8000 + b"\r\n", b"a" * 8000])
async def test_headers_without_end_are_refused(port: int, line: bytes) -> None:
    begin = BEGIN if line.endswith(b"\n") else BEGIN + b"x-a: "
    answer = await ask(port, begin, *[line] * (MAX_HEAD_BYTES // 8000 + 4))
    assert answer.startswith((b"HTTP/1.1 400", b"reset"))


async def test_a_request_line_without_end_is_refused(port: int) -> None:
    answer = await ask(port, b"GET /", *[b"a" * 8000] * (MAX_HEAD_BYTES // 8000 + 4))
    assert answer.startswith((b"HTTP/1.1 400", b"reset"))


async def test_a_head_that_drips_is_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drips = [b"x"] * 500  # ten seconds of them
    began = time.monotonic()
    with monkeypatch.context() as hasty:
        hasty.setattr(http, "HEAD_S", 0.5)
        assert await ask(port, BEGIN, *drips) in {b"", b"reset"}
    assert time.monotonic() - began < 5
    answer = await ask(port, BEGIN, b"x-a: four\r\nconnection: close\r\n\r\n")
    assert answer.endswith(b"0/4")


async def test_who_never_says_anything_is_given_up(server: uvicorn.Server, port: int) -> None:
    server.config.timeout_keep_alive = 0.2  # type: ignore[assignment]
    began = time.monotonic()
    assert await ask(port) == b""
    assert time.monotonic() - began > 0.1


@pytest.mark.parametrize(
    "sent",
    [
        [b"\r\n"],
        [b"POST /early HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\n", b"late"],
    ],
    ids=["an empty line", "the rest of a body that was answered"],
)
async def test_who_asks_nothing_more_is_given_up(
    server: uvicorn.Server, port: int, sent: list[bytes]
) -> None:
    server.config.timeout_keep_alive = 1
    assert (await ask(port, *sent)).endswith(b"0/0" if sent[1:] else b"")


async def test_nothing_waits_for_who_has_reset_the_connection(
    server: uvicorn.Server, port: int
) -> None:
    client = socket.create_connection(("127.0.0.1", port))
    connections = server.server_state.connections
    while not connections:
        await asyncio.sleep(0.01)
    [protocol] = connections
    assert isinstance(protocol, BoundedHead)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    while connections:
        await asyncio.sleep(0.01)
    assert protocol.timeout_keep_alive_task is None


@pytest.mark.parametrize("streams", [False, True])
async def test_who_hangs_up_is_missed_though_more_was_asked_behind(
    listener: socket.socket, streams: bool
) -> None:
    """Else an answer that nobody reads is made, and charged, to its end."""
    missed = asyncio.Event()
    asked = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while streams and not missed.is_set():
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    assert (await receive())["type"] == "http.disconnect"
                    missed.set()
        if not streams:
            assert (await receive())["type"] == "http.disconnect"
            missed.set()

    config = uvicorn.Config(application, http=BoundedHead, lifespan="off", log_config=None)
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    first, second = (f"GET /{n} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode() for n in "12")
    writer.write(first + second)
    await reader.readuntil(b"\r\n\r\n")
    writer.close()
    async with asyncio.timeout(30):
        await missed.wait()
    assert asked == ["/1"]
    server.should_exit = True
    await serving


async def test_a_long_body_is_no_head(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 200000\r\n"
    head += b"connection: close\r\n\r\n"
    assert b"200 OK" in await ask(port, head, *[b"a" * 20_000] * 10)


WISHES = [  # Java's, curl's, and of what nobody knows
    b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n",
    b"upgrade: h2c\r\nconnection: upgrade\r\nupgrade: tls/1.0\r\n",
]


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("apart", [False, True])
async def test_who_wishes_for_another_protocol_is_heard_in_ours(
    port: int, wish: bytes, apart: bool
) -> None:
    head = b"POST /a?b=c HTTP/1.1\r\nhost: localhost\r\n" + wish
    whole = head + b"content-length: 5\r\n\r\n", b"hello"
    pieces = head + b"transfer-encoding: chunked\r\n\r\n", b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
    last = BEGIN + b"x-a: four\r\nconnection: close\r\n\r\n"
    sent = [*whole, *pieces, BEGIN + wish + b"\r\n", last]
    answer = await ask(port, *(sent if apart else [b"".join(sent)]))
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 4
    bodies = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"5/0", b"5/0", b"0/0", b"0/4"]


@pytest.mark.parametrize("path", ["/stream", "/measured"])
async def test_a_client_of_before_chunks_gets_none(port: int, path: str) -> None:
    request = f"POST {path} HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
    head, _, body = (await ask(port, request.encode())).partition(b"\r\n\r\n")
    assert body == b"2/0"
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head  # which is how it hears of the end


async def test_an_idle_connection_is_kept_for_longer_than_balancers_keep_theirs() -> None:
    """Else a request that is on its way meets a closed door, and may not be sent again."""
    config = configure(application)
    config.lifespan = "off"
    server = Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(BEGIN + b"\r\n")
    await reader.readuntil(b"0/0")
    [connection] = server.server_state.connections
    idle_until = connection.timeout_keep_alive_task.when()  # type: ignore[union-attr]
    assert idle_until - asyncio.get_running_loop().time() > 60
    server.should_exit = True
    assert await reader.read() == b""  # and it does not keep a server that stops
    await asyncio.wait_for(serving, 30)
    writer.close()


async def test_who_has_just_connected_is_heard_by_a_server_that_stops(
    server: uvicorn.Server, port: int
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    _, silent = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(30):
        while len(server.server_state.connections) < 2:
            await asyncio.sleep(0.01)
        server.should_exit = True
        while server.servers[0].is_serving():
            await asyncio.sleep(0.01)
        writer.write(BEGIN + b"\r\n")
        answer = await reader.read()  # to the end of the connection
        assert answer.count(b"200 OK") == 1
        while server.server_state.connections:  # nor does it wait long for who says nothing
            await asyncio.sleep(0.01)
    writer.close()
    silent.close()


async def test_who_waits_at_the_door_is_heard_by_a_server_that_stops(
    server: uvicorn.Server, listener: socket.socket
) -> None:
    # Blocking calls: the server's loop has not seen these when it is told to stop.
    waiting = [socket.create_connection(listener.getsockname()) for _ in range(3)]
    for connection in waiting:
        connection.sendall(BEGIN + b"\r\n")
    await server.shutdown([listener])
    for connection in waiting:
        with closing(connection):
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")


class Packets(asyncio.Transport):
    """A transport that notes what is sent by one call."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    def write(self, data: Any) -> None:
        self.sent.append(data)

    def writelines(self, list_of_data: Any) -> None:
        self.sent.append(b"".join(list_of_data))

    def close(self) -> None:
        self.sent.append(b"closed")


async def test_a_head_is_sent_with_what_is_written_behind_it() -> None:
    packets = Packets()
    heads = HeadWithBody(packets, asyncio.get_running_loop())
    for number in (b"1", b"2"):
        heads.expect()
        heads.write(b"head" + number)
        assert not [each for each in packets.sent if number in each]
        heads.write(b"body")
        heads.write(b"rest")
    await asyncio.sleep(0)
    assert packets.sent == [b"head1body", b"rest", b"head2body", b"rest"]


async def test_a_head_waits_for_nothing() -> None:
    packets = Packets()
    heads = HeadWithBody(packets, asyncio.get_running_loop())
    heads.expect()
    heads.write(b"head")
    await asyncio.sleep(0)
    heads.write(b"body")
    heads.expect()
    heads.write(b"refused")
    heads.close()
    assert packets.sent == [b"head", b"body", b"refused", b"closed"]


async def test_the_next_request_may_come_between_a_head_and_its_body() -> None:
    packets = Packets()
    heads = HeadWithBody(packets, asyncio.get_running_loop())
    for piece in (b"head", b"body"):
        heads.expect()
        heads.write(piece)
    await asyncio.sleep(0)
    assert packets.sent == [b"head", b"body"]
