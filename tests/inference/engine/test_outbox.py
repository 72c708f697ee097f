"""Frames that wait for a client: counted at once, whoever is busy, and sent when it reads."""

from typing import cast

from inference.engine.server import FRAME_BYTES, Outbox
from inference.engine.wire import engine_pb2
from inference.engine.wire.answering import Stream

FRAME = engine_pb2.StepFrame(deltas=[engine_pb2.SequenceDelta(text="x" * 60)])


class Client:
    """Stands for the stream of a client that reads when the test says so."""

    def __init__(self) -> None:
        self.writable = False
        self.sent: list[object] = []

    def write(self, frame: engine_pb2.StepFrame) -> None:
        self.sent.append(frame)

    def end(self) -> None:
        self.sent.append("end")


def make(client: Client, held: list[bool]) -> Outbox:
    return Outbox(cast("Stream", client), 100, lambda _outbox, now: held.append(now))


async def test_a_busy_event_loop_does_not_delay_the_hold() -> None:
    """The loop's thread is far ahead: none of its frames has been put yet."""
    held: list[bool] = []
    client = Client()
    outbox = make(client, held)
    sizes = [outbox.count(FRAME), outbox.count(FRAME)]
    assert held == [True]
    for size in sizes:
        outbox.put(FRAME, size)
    outbox.end()
    assert client.sent == []
    assert held == [True]
    client.writable = True
    outbox.on_writable()
    assert client.sent == [FRAME, FRAME, "end"]
    assert held == [True, False]


async def test_what_comes_to_a_client_that_keeps_up_waits_for_nothing() -> None:
    held: list[bool] = []
    client = Client()
    client.writable = True
    outbox = make(client, held)
    for number in range(1, 6):
        outbox.put(FRAME, outbox.count(FRAME))
        assert len(client.sent) == number
    assert held == []


async def test_nothing_overtakes_what_waits() -> None:
    client = Client()
    outbox = make(client, [])
    first, second = engine_pb2.StepFrame(step=1), engine_pb2.StepFrame(step=2)
    outbox.put(first)
    client.writable = True
    outbox.put(second)
    assert client.sent == []
    outbox.end()
    assert client.sent == [first, second, "end"]


async def test_what_would_be_too_long_as_one_message_goes_in_several() -> None:
    client = Client()
    outbox = make(client, [])
    deltas = [engine_pb2.SequenceDelta(sequence_id=number) for number in range(3)]
    frame = engine_pb2.StepFrame(step=7, deltas=deltas)
    for size in (FRAME_BYTES, FRAME_BYTES + 1):
        outbox.put(frame, size)
    client.writable = True
    outbox.on_writable()
    parts = [engine_pb2.StepFrame(step=7, deltas=[delta]) for delta in deltas]
    assert client.sent == [frame, *parts]
