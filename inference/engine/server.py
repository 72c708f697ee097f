"""The face of an engine that generates.

Owns the streams to the web processes. Each `Generate` stream has an outbox between the loop and the
connection. While more than OUTBOX_BYTES wait in it, the loop holds the sequences of the stream: a
web process that is slow sets their pace. One that takes nothing at all loses its connection
(`wire/answering.py`), so nobody's memory grows. A stream that ends takes its sequences with it.
"""

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from inference.engine.codec import Codec
from inference.engine.grammar import Grammars
from inference.engine.grammar_compiler import GrammarCompiler
from inference.engine.listening import LoopServer
from inference.engine.loop import EngineLoop, Frames
from inference.engine.plan import Runner
from inference.engine.scheduler import Scheduler
from inference.engine.service import EngineServicer
from inference.engine.wire import engine_pb2
from inference.engine.wire.answering import Stream

OUTBOX_BYTES = 1 << 20
FRAME_BYTES = 16 << 20  # the log-probabilities of many long prompts at once are more


@dataclass(frozen=True, slots=True)
class Served:
    """What stands behind a server: a model, ready to run."""

    model: str
    revision: str
    device: str
    dtype: str
    arithmetic: str  # `company.py`
    vocab_size: int
    codec: Codec
    scheduler: Scheduler
    runner: Runner
    grammars: Grammars
    reshape: Callable[[Frames], Frames] | None = None  # a fake may deliver frames in odd pieces


class Outbox:
    """Frames on their way to one client.

    `count` is called on the loop's thread, before `put` is on the event loop, with all the rest:
    a busy event loop cannot delay the hold, however many frames it has yet to put.
    """

    def __init__(self, stream: Stream, limit: int, hold: Callable[["Outbox", bool], None]) -> None:
        """Call `hold` with True while more than `limit` bytes wait, then with False."""
        self._stream = stream
        self._frames: deque[tuple[engine_pb2.StepFrame, int]] = deque()
        self._limit = limit
        self._hold = hold
        self._counted = 0  # bytes; written on the loop's thread alone
        self._taken = 0  # bytes of these; written on the event loop alone
        self._holds = False
        self._ended = False

    def count(self, frame: engine_pb2.StepFrame) -> int:
        """Count a frame that will be put, and hold when that is too much; return its bytes."""
        size = frame.ByteSize()
        self._counted += size
        if self._counted - self._taken > self._limit:
            self._holds = True
            self._hold(self, True)  # also again: there may be new sequences
        return size

    def put(self, frame: engine_pb2.StepFrame, size: int = 0) -> None:
        """Send a frame as soon as the client takes it, with what `count` said of it."""
        if self._frames or not self._stream.writable:
            self._frames.append((frame, size))
        else:
            self._send(frame, size)

    def end(self) -> None:
        """Nothing more will come: the stream ends after what is queued."""
        self._ended = True
        self.on_writable()

    def on_writable(self) -> None:
        """Send what is queued, as long as the client takes it."""
        while self._frames and self._stream.writable:
            self._send(*self._frames.popleft())
        if self._ended and not self._frames:
            self._stream.end()

    def _send(self, frame: engine_pb2.StepFrame, size: int) -> None:
        for part in _cut(frame) if size > FRAME_BYTES else (frame,):
            self._stream.write(part)
        self._taken += size
        # What is counted meanwhile is put later, so that this is asked again.
        if self._holds and self._counted - self._taken <= self._limit // 2:
            self._holds = False
            self._hold(self, False)


class EngineServer(LoopServer):
    """One engine that generates, behind one listening address."""

    def __init__(self, served: Served, *, outbox_bytes: int = OUTBOX_BYTES) -> None:
        """Prepare; `start` does the rest. Must be called where an event loop runs."""
        self.served = served
        self.loop = EngineLoop(
            served.scheduler, served.runner, served.codec, self._deliver, served.vocab_size
        )
        super().__init__(self.loop)
        self.compiler = GrammarCompiler(served.grammars)
        self._outboxes: set[Hashable] = set()
        self._outbox_bytes = outbox_bytes
        self.serve(EngineServicer(self))

    @property
    def num_streams(self) -> int:
        """Clients that are connected."""
        return len(self._outboxes)

    async def stop(self, grace_s: float = 5.0) -> None:
        """End every stream after the frames it still has queued, then stop listening."""
        for outbox in list(self._outboxes):
            assert isinstance(outbox, Outbox)
            outbox.end()
        await super().stop(grace_s)
        self.compiler.stop()

    # Streams.

    def open_stream(self, stream: Stream) -> Outbox:
        """Make the outbox of a new stream."""
        outbox = Outbox(stream, self._outbox_bytes, self._hold)
        self._outboxes.add(outbox)
        return outbox

    def close_stream(self, outbox: Outbox) -> None:
        """The stream is over: cancel what its client still had running."""
        self._outboxes.discard(outbox)
        self.loop.close(outbox)

    def _hold(self, outbox: Outbox, held: bool) -> None:
        self.loop.hold(outbox, held=held)

    def _deliver(self, frames: Frames) -> None:
        """Carry one step's frames from the loop's thread to the outboxes."""
        if self.served.reshape is not None:
            frames = self.served.reshape(frames)
        sized = [(box, frame, _count(box, frame)) for box, frame in frames]
        self.events.call_soon_threadsafe(self._put_frames, sized)

    def _put_frames(self, frames: list[tuple[Hashable, engine_pb2.StepFrame, int]]) -> None:
        for outbox, frame, size in frames:
            assert isinstance(outbox, Outbox)
            if outbox in self._outboxes:
                outbox.put(frame, size)


def _cut(frame: engine_pb2.StepFrame) -> list[engine_pb2.StepFrame]:
    """Let each sequence's news be a message: one that is too long would end the whole stream."""
    return [engine_pb2.StepFrame(step=frame.step, deltas=[delta]) for delta in frame.deltas]


def _count(outbox: Hashable, frame: engine_pb2.StepFrame) -> int:
    assert isinstance(outbox, Outbox)
    return outbox.count(frame)
