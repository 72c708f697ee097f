"""One call from a program without an event loop, over a connection of its own."""

import contextlib
import socket
import time
from typing import TypeVar

from google.protobuf.message import Message

from inference.engine.wire.addresses import connect_blocking
from inference.engine.wire.errors import CallError, Code, ProtocolError
from inference.engine.wire.frames import (
    HELLO,
    Kind,
    Reader,
    pack_call,
    read_error,
    read_message,
)
from inference.engine.wire.methods import Method

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)

READ_BYTES = 1 << 16


def ask(address: str, method: Method[Q, R], request: Q, timeout_s: float) -> R:
    """Ask and wait for the answer. CallError when there is none within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    try:
        with connect_blocking(address, timeout_s) as connection:
            with contextlib.suppress(ConnectionError):  # who hangs up may have said why
                connection.sendall(HELLO + pack_call(1, method.name, request))
            return read_message(method.reply, _read_reply(connection, deadline))
    except TimeoutError:
        sentence = f"{address}: {method.name} was not answered within {timeout_s} s."
        raise CallError(Code.DEADLINE_EXCEEDED, sentence) from None
    except OSError as error:
        raise CallError(Code.UNAVAILABLE, f"{address}: {error}") from None
    except ProtocolError as error:
        raise CallError(Code.FAILED_PRECONDITION, f"{address}: {error}") from None


def _read_reply(connection: socket.socket, deadline: float) -> bytes:
    reader = Reader()
    while True:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        data = connection.recv(READ_BYTES)
        if not data:
            raise ConnectionError("the engine ended the connection")
        for frame in reader.feed(data):
            if frame.kind == Kind.ERROR:
                raise read_error(frame.payload)
            if frame.kind == Kind.REPLY:
                return frame.payload
