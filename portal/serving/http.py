"""The web server's HTTP protocol, with an end to what a client may send before its body.

An answer's head leaves in one packet with what is written at once behind it. And the protocol hears
who has just connected when the server is told to stop: a balancer that has sent a request on a
connection may not send it again elsewhere.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from portal.lib.rest_errors import envelope

MAX_HEAD_BYTES = 64 * 1024
FIRST_REQUEST_S = 1.0


class HeadWithBody:
    """A transport that sends the head of an answer together with what is written next.

    uvloop sends each piece by itself: for the client's kernel that is a packet more, for the
    client a second awakening. What does not come before the loop's next turn is not waited for.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = transport
        self._loop = loop
        self._head = b""
        # Replaced for a head alone: a stream writes thousands of pieces behind it.
        self.write: Callable[[bytes], None] = transport.write

    def expect(self) -> None:
        """What is written next is a head, or the rest of an answer before it."""
        self._flush()
        self.write = self._keep

    def _keep(self, head: bytes) -> None:
        self._head = head
        self.write = self._write_both
        self._loop.call_soon(self._flush)

    def _write_both(self, data: bytes) -> None:
        self.transport.writelines([self._head, data])
        self._head, self.write = b"", self.transport.write

    def _flush(self) -> None:
        if self._head:
            self.transport.write(self._head)
            self._head, self.write = b"", self.transport.write

    def close(self) -> None:
        self._flush()
        self.transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


class BoundedHead(HttpToolsProtocol):
    """Refuses a request line and headers above the limit; the parser would collect any amount."""

    _head_bytes = 0
    _in_head = False
    _has_asked = False
    _leaving = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._heads = HeadWithBody(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", self._heads))

    def handle_websocket_upgrade(self) -> None:
        self.transport = self._heads.transport
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes, self._has_asked = True, 0, True

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._heads.expect()
        super().on_headers_complete()
        if self._leaving and not self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """The server stops: end what is idle; what has not asked yet has a moment to."""
        if self._has_asked:
            super().shutdown()
        else:
            self._leaving = True
            self.loop.call_later(FIRST_REQUEST_S, super().shutdown)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # What began and ended within one read of the socket is bounded by the size of that.
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The request's headers are too large.")

    def send_400_response(self, msg: str) -> None:
        """In the envelope of the API's errors: who sends what is no HTTP is a program."""
        body = json.dumps(envelope(400, msg, None)).encode()
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
