"""The web server's HTTP protocol, with an end to what a client may send before its body.

Whoever wishes for another protocol than ours is served as if they had not. An answer's head leaves
in one packet with what is written at once behind it. And the protocol hears who has just connected
when the server is told to stop: a balancer that has sent a request on a connection may not send it
again elsewhere.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from portal.lib.rest_errors import envelope

MAX_HEAD_BYTES = 64 * 1024
HEAD_S = 60.0  # for all of a head, once it has begun
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


class UntilTheClose:
    """The content length that uvicorn expects where only the connection's end tells it."""

    def __lt__(self, num_bytes: int) -> bool:
        return False

    def __sub__(self, num_bytes: int) -> "UntilTheClose":
        return self

    def __ne__(self, num_bytes: object) -> bool:
        return False


class BoundedHead(HttpToolsProtocol):
    """Refuses a request line and headers above the limit; the parser would collect any amount."""

    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None  # only of what does not come at once
    _in_head = False
    _has_asked = False
    _leaving = False
    _answered: RequestResponseCycle | None = None  # by the application: the one that runs

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._heads = HeadWithBody(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", self._heads))
        self._wait_for_more()  # who never says anything is like who says nothing more

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._unset_keepalive_if_required()  # uvicorn forgets it when the client resets
        if self._answered is not None and not self._answered.response_complete:
            # uvicorn tells the request that came last, be it one that waits behind this.
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def handle_websocket_upgrade(self) -> None:
        self.transport = self._heads.transport
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes, self._has_asked = True, 0, True

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_head_timer()
        if self._wishes_in_vain():
            return  # it is read again without its wish
        self._heads.expect()
        super().on_headers_complete()
        if self.parser.get_http_version() == "1.0" and not self.parser.should_upgrade():
            _answer_without_chunks(self.cycle)
        if len(self.pipeline) == 1:
            # Read on behind the first that waits: who does not read hears of no hang-up.
            self.flow.resume_reading()
        if self._leaving and not self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """The server stops: end what is idle; what has not asked yet has a moment to."""
        if self._has_asked:
            super().shutdown()
        else:
            self._leaving = True
            self.loop.call_later(FIRST_REQUEST_S, super().shutdown)

    def on_message_complete(self) -> None:
        if not self._wishes_in_vain():
            super().on_message_complete()

    def _wishes_in_vain(self) -> bool:
        """Whether a request names another protocol in `Upgrade` that is not spoken here.

        HTTP/2 mostly, by Java's client and by curl when it is asked to: a server may ignore that.
        """
        return (
            self.parser.should_upgrade()
            and not self._should_upgrade()
            and self.parser.get_method() != b"CONNECT"
        )

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("Invalid HTTP request received.")
            return
        except httptools.HttpParserUpgrade as wish:
            if self._wishes_in_vain():
                # The parser takes a body behind such a head for that other protocol.
                self._begin_again(data[wish.args[0] :])
            elif self._should_upgrade():
                self.handle_websocket_upgrade()
            return
        # What began and ended within one read of the socket is bounded by the size of that.
        if self._in_head:
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(HEAD_S, self._give_up_head)
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The request's headers are too large.")
        elif self._is_idle() and not self.transport.is_closing():
            # An empty line, or the rest of a body that was answered before: nothing is asked.
            self._wait_for_more()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait_for_more(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up_head(self) -> None:
        self._head_timer = None
        if self._is_idle():  # else an answer is on its way
            self.transport.close()

    def _begin_again(self, rest: bytes) -> None:
        """Read a request's head once more without its `Upgrade`, and what came behind it."""
        line = b" ".join([self.parser.get_method(), self.url, b"HTTP/1.1"])
        kept = [b": ".join(header) for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.data_received(b"\r\n".join([line, *kept, b"", rest]))

    def send_400_response(self, msg: str) -> None:
        """In the envelope of the API's errors: who sends what is no HTTP is a program."""
        body = json.dumps(envelope(400, msg, None)).encode()
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def _answer_without_chunks(cycle: RequestResponseCycle) -> None:
    """Chunks came with HTTP/1.1: a client of before takes their sizes for a part of the answer."""
    cycle.chunked_encoding = False
    cycle.expected_content_length = cast("int", UntilTheClose())
