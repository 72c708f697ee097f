"""Frames that wait for a client: counted at once, whoever is busy."""

from inference.engine.server import Outbox
from inference.engine.wire import engine_pb2


async def test_a_busy_event_loop_does_not_delay_the_hold() -> None:
    """The loop's thread is far ahead: none of its frames has been put yet."""
    held: list[bool] = []
    outbox = Outbox(100, lambda _outbox, now: held.append(now))
    frame = engine_pb2.StepFrame(deltas=[engine_pb2.SequenceDelta(text="x" * 60)])
    sizes = [outbox.count(frame), outbox.count(frame)]
    assert held == [True]
    for size in sizes:
        outbox.put(frame, size)
    outbox.end()
    assert len([taken async for taken in outbox]) == 2
    assert held == [True, False]
