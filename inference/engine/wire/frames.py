"""What goes over a connection: a hello from each side, then frames.

A frame is its payload's length (4 bytes, big endian), its kind (1), the number of its call (4), and
the payload. The client chooses the numbers; 0 stands for the connection itself.
"""

import enum
import struct
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from google.protobuf.message import DecodeError, Message

from inference.engine.wire.errors import CallError, Code, ProtocolError

R = TypeVar("R", bound=Message)

MAGIC = b"parlance-engine "
HELLO = MAGIC + b"2\n"
# Prompts and their log-probabilities are long.
MAX_PAYLOAD_BYTES = 64 << 20
_HEADER = struct.Struct("!IBI")
HEADER_BYTES = _HEADER.size
LARGEST_ID = (1 << 32) - 1  # of a call


class Kind(enum.IntEnum):
    """What a frame is."""

    CALL = 1  # client: a method's name, a zero byte, and its request unless it is a stream
    MESSAGE = 2  # both: one of a stream's, or several of the client's, which merge
    END = 3  # engine: nothing more will be sent on a stream
    CANCEL = 4  # client: nobody waits for this call any more
    REPLY = 5  # engine: the message that answers a call
    ERROR = 6  # engine: a code (1 byte) and a sentence
    ALIVE = 7  # client: sent so that silence means that it is gone


class Frame(NamedTuple):
    """One frame that came."""

    kind: int
    call_id: int
    payload: bytes


def pack(kind: Kind, call_id: int, payload: bytes = b"") -> bytes:
    """Write a frame. CallError when it would be too long."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise CallError(
            Code.RESOURCE_EXHAUSTED,
            f"A message of {len(payload)} bytes is too long; at most {MAX_PAYLOAD_BYTES} are sent.",
        )
    return _HEADER.pack(len(payload), kind, call_id) + payload


def pack_call(call_id: int, method: str, request: Message | None = None) -> bytes:
    """Write the frame that begins a call. CallError when it would be too long."""
    message = b"" if request is None else request.SerializeToString()
    return pack(Kind.CALL, call_id, b"%b\0%b" % (method.encode(), message))


def pack_error(call_id: int, error: CallError) -> bytes:
    """Write the frame that ends a call, or with 0 the connection, with an error."""
    sentence = error.sentence.encode(errors="replace")[: MAX_PAYLOAD_BYTES - 1]
    return pack(Kind.ERROR, call_id, bytes((error.code,)) + sentence)


def read_call(payload: bytes) -> tuple[str, bytes]:
    """Return a call's method and its request. ProtocolError when there is no method."""
    name, end, message = payload.partition(b"\0")
    if not end or not name.isascii():
        raise ProtocolError("a call names no method")
    return name.decode(), message


def read_error(payload: bytes) -> CallError:
    """Return how a call ended. ProtocolError when that is not said."""
    try:
        return CallError(Code(payload[0]), payload[1:].decode(errors="replace"))
    except (IndexError, ValueError):
        raise ProtocolError("an error has no code that is known") from None


def read_message(kind: type[R], payload: bytes) -> R:
    """Read a message. ProtocolError when it is none."""
    try:
        return kind.FromString(payload)
    except DecodeError:
        raise ProtocolError(f"what should be a {kind.__name__} is none") from None


class Reader:
    """Finds the frames in what arrives, however it was cut."""

    def __init__(self) -> None:
        """Expect the other side's hello first."""
        self._rest = bytearray()
        self._wanted = 0  # bytes with which `_rest` begins to be of use
        self._greeted = False

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete now. ProtocolError when it is another protocol."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._wanted:
                return  # a long frame is not looked through again for each of its pieces
            data = bytes(self._rest)
            self._rest.clear()
        start = 0
        if not self._greeted:
            self._greeted, start = _read_hello(data)
        while self._greeted and len(data) - start >= HEADER_BYTES:
            length, kind, call_id = _HEADER.unpack_from(data, start)
            if length > MAX_PAYLOAD_BYTES:
                raise ProtocolError(
                    f"a frame of {length} bytes is too long; at most {MAX_PAYLOAD_BYTES} are taken"
                )
            self._wanted = HEADER_BYTES + length
            if len(data) - start < self._wanted:
                break
            begin, start = start + HEADER_BYTES, start + self._wanted
            yield Frame(kind, call_id, data[begin:start])
            self._wanted = HEADER_BYTES
        self._rest += data[start:]


def _read_hello(data: bytes) -> tuple[bool, int]:
    """Say whether it is complete, and where it ends."""
    if data.startswith(HELLO):
        return True, len(HELLO)
    if HELLO.startswith(data):
        return False, 0
    if data.startswith(MAGIC):
        version = data[len(MAGIC) :].partition(b"\n")[0][:20].decode(errors="replace")
        ours = HELLO[len(MAGIC) :].decode().strip()
        raise ProtocolError(
            f"it speaks version {version} of the protocol, not {ours}: web processes and engines "
            f"must be of one release"
        )
    raise ProtocolError(f"it speaks another protocol; it began with {data[:24]!r}")
