"""Frames are found however the bytes were cut; what is no frame is said to be none."""

import random

import pytest

from inference.engine.wire import engine_pb2, frames
from inference.engine.wire.errors import CallError, Code, ProtocolError
from inference.engine.wire.frames import (
    HEADER_BYTES,
    HELLO,
    Frame,
    Kind,
    Reader,
    pack,
    pack_call,
    pack_error,
    read_call,
    read_error,
    read_message,
)

SENT = [
    Frame(Kind.CALL, 1, b"Info\0"),
    Frame(Kind.ALIVE, 0, b""),
    Frame(Kind.MESSAGE, 2**32 - 1, bytes(range(256))),
    Frame(Kind.ALIVE, 0, b""),
    Frame(Kind.ERROR, 0, b"\x08It is full."),
]
BYTES = HELLO + b"".join(pack(Kind(kind), number, payload) for kind, number, payload in SENT)


def read(*pieces: bytes) -> list[Frame]:
    reader = Reader()
    return [frame for piece in pieces for frame in reader.feed(piece)]


def test_all_frames_of_one_read_are_found() -> None:
    assert read(BYTES) == SENT


def test_a_cut_at_any_byte_changes_nothing() -> None:
    for cut in range(len(BYTES) + 1):
        assert read(BYTES[:cut], BYTES[cut:]) == SENT, cut
    assert read(*(BYTES[at : at + 1] for at in range(len(BYTES)))) == SENT
    draw = random.Random(5)
    for _ in range(200):
        cuts = sorted(draw.choices(range(len(BYTES)), k=6))
        pieces = [BYTES[a:b] for a, b in zip([0, *cuts], [*cuts, len(BYTES)], strict=True)]
        assert read(*pieces) == SENT, cuts


def test_a_long_frame_is_not_looked_through_again_for_each_of_its_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked = 0

    class Counting:
        size = HEADER_BYTES

        def unpack_from(self, data: bytes, start: int) -> tuple[int, int, int]:
            nonlocal looked
            looked += 1
            return original.unpack_from(data, start)  # type: ignore[return-value]

    original = frames._HEADER
    long = HELLO + pack(Kind.MESSAGE, 1, b"x" * 1_000_000)
    monkeypatch.setattr(frames, "_HEADER", Counting())
    [frame] = read(*(long[at : at + 1000] for at in range(0, len(long), 1000)))
    assert len(frame.payload) == 1_000_000
    assert looked == 2


def test_a_frame_that_is_too_long_is_refused_before_it_has_come() -> None:
    header = (frames.MAX_PAYLOAD_BYTES + 1).to_bytes(4, "big") + b"\x01\0\0\0\1"
    with pytest.raises(ProtocolError, match="67108865 bytes is too long"):
        read(HELLO + header)
    assert read(HELLO + frames.MAX_PAYLOAD_BYTES.to_bytes(4, "big") + b"\x01\0\0\0\1") == []


def test_a_frame_that_is_too_long_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_PAYLOAD_BYTES", 10)
    assert read(HELLO + pack(Kind.MESSAGE, 1, b"x" * 10))
    with pytest.raises(CallError, match="11 bytes is too long") as caught:
        pack(Kind.MESSAGE, 1, b"x" * 11)
    assert caught.value.code is Code.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "another protocol; it began with b'PRI \\* HTTP"),
        (b"GET / HTTP/1.1\r\n", "another protocol"),
        (b"X", "another protocol"),
        (b"\0\0\x04\x08\0", "another protocol"),
        (b"parlance-engine 3\n", "speaks version 3 of the protocol, not 2"),
        (b"parlance-engine 10\n" + BYTES, "speaks version 10 of the protocol, not 2"),
    ],
)
def test_another_program_is_told_from_an_engine(first: bytes, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        read(first)
    with pytest.raises(ProtocolError):
        read(*(first[at : at + 1] for at in range(len(first))))


def test_a_call_and_an_error_are_read_as_they_were_written() -> None:
    request = engine_pb2.DetokenizeRequest(token_ids=[1, 0, 2])
    [frame] = read(HELLO + pack_call(7, "Detokenize", request))
    name, payload = read_call(frame.payload)
    assert (frame.kind, frame.call_id, name) == (Kind.CALL, 7, "Detokenize")
    assert read_message(engine_pb2.DetokenizeRequest, payload) == request
    [frame] = read(HELLO + pack_error(7, CallError(Code.UNAVAILABLE, "Grüße")))
    error = read_error(frame.payload)
    assert (error.code, error.sentence) == (Code.UNAVAILABLE, "Grüße")


def test_nonsense_within_a_frame_is_said_to_be_that() -> None:
    for payload in (b"", b"Info", b"\xff\0"):
        with pytest.raises(ProtocolError, match="names no method"):
            read_call(payload)
    for payload in (b"", b"\x63sentence"):
        with pytest.raises(ProtocolError, match="no code"):
            read_error(payload)
    with pytest.raises(ProtocolError, match="should be a Submit"):
        read_message(engine_pb2.Submit, b"\xff\xff")
