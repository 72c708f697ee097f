"""The gRPC face of an engine that generates.

Owns the streams to the web processes. Each `Generate` stream has one reader task, one writer (the
handler itself) and an outbox between the loop and the writer. While more than OUTBOX_BYTES wait in
it, the loop holds the sequences of the stream: a web process that is slow sets their pace. One that
takes nothing for STOPPED_S meanwhile loses its stream and its sequences; so nobody's memory grows.
A stream that ends takes its sequences with it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass

import grpc

from inference.engine.codec import Codec
from inference.engine.grammar import Grammars
from inference.engine.grammar_compiler import GrammarCompiler
from inference.engine.listening import LoopServer
from inference.engine.loop import EngineLoop, Frames
from inference.engine.plan import Runner
from inference.engine.scheduler import Scheduler
from inference.engine.service import EngineServicer
from inference.engine.wire import engine_pb2

logger = logging.getLogger(__name__)

OUTBOX_BYTES = 1 << 20
STOPPED_S = 10.0


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

    def __init__(self, limit: int, hold: Callable[["Outbox", bool], None]) -> None:
        """Call `hold` with True while more than `limit` bytes wait, then with False."""
        self._frames: deque[tuple[engine_pb2.StepFrame, int]] = deque()
        self._limit = limit
        self._hold = hold
        self._counted = 0  # bytes; written on the loop's thread alone
        self._taken = 0  # bytes of these; written on the event loop alone
        self._num_taken = 0
        self._holds = False
        self._watching: asyncio.TimerHandle | None = None  # there is one while it holds
        self._changed = asyncio.Event()
        self._ended = False
        self._events = asyncio.get_running_loop()
        self.cut: asyncio.Future[tuple[grpc.StatusCode, str]] = self._events.create_future()

    def count(self, frame: engine_pb2.StepFrame) -> int:
        """Count a frame that will be put, and hold when that is too much; return its bytes."""
        size = frame.ByteSize()
        self._counted += size
        if self._counted - self._taken > self._limit:
            self._holds = True
            self._hold(self, True)  # also again: there may be new sequences
        return size

    def put(self, frame: engine_pb2.StepFrame, size: int = 0) -> None:
        """Add a frame, with what `count` said of it."""
        self._frames.append((frame, size))
        self._changed.set()
        if self._holds and self._watching is None:
            self._watch()

    def _watch(self) -> None:
        self._watching = self._events.call_later(STOPPED_S, self._cut_if_stopped, self._num_taken)

    def _cut_if_stopped(self, num_taken: int) -> None:
        if self._num_taken > num_taken:
            self._watch()
            return
        logger.warning("a client stopped reading; its stream is cut")
        self.cut_off(grpc.StatusCode.RESOURCE_EXHAUSTED, "The client stopped reading.")

    def end(self) -> None:
        """Nothing more will come: the stream ends after what is queued."""
        self._ended = True
        self._changed.set()

    def cut_off(self, code: grpc.StatusCode, sentence: str) -> None:
        """End the stream after the frame under way, with an error; what is queued is dropped."""
        self._frames.clear()
        self._changed.set()
        if not self.cut.done():
            self.cut.set_result((code, sentence))

    async def __aiter__(self) -> AsyncIterator[engine_pb2.StepFrame]:
        """Yield frames as they come."""
        while True:
            while self._frames and not self.cut.done():
                yield self._take()
            if self._ended or self.cut.done():
                return
            self._changed.clear()
            await self._changed.wait()

    def _take(self) -> engine_pb2.StepFrame:
        frame, size = self._frames.popleft()
        self._taken += size
        self._num_taken += 1
        # What is counted meanwhile is put later, so that this is asked again.
        if self._holds and self._counted - self._taken <= self._limit // 2:
            self._holds = False
            self.close()
            self._hold(self, False)
        return frame

    def close(self) -> None:
        """Stop watching the client."""
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None


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

    def on_death(self) -> None:
        """Tell every client: nothing more will come."""
        super().on_death()
        for outbox in self._outboxes:
            assert isinstance(outbox, Outbox)
            outbox.cut_off(grpc.StatusCode.UNAVAILABLE, "The engine has lost its device.")

    # Streams.

    def open_stream(self) -> Outbox:
        """Make the outbox of a new stream."""
        outbox = Outbox(self._outbox_bytes, self._hold)
        self._outboxes.add(outbox)
        return outbox

    def close_stream(self, outbox: Outbox) -> None:
        """The stream is over: cancel what its client still had running."""
        self._outboxes.discard(outbox)
        outbox.close()
        self.loop.close(outbox)

    def _hold(self, outbox: Outbox, held: bool) -> None:
        self.loop.hold(outbox, held=held)

    def _deliver(self, frames: Frames) -> None:
        """Carry one step's frames from the loop's thread to the outboxes."""
        if self.served.reshape is not None:
            frames = self.served.reshape(frames)
        sized = [(box, frame, _count(box, frame)) for box, frame in frames]
        self.events.call_soon_threadsafe(self._put_frames, sized)

    def _put_frames(self, frames: list[tuple[Hashable, engine_pb2.StepFrame | None, int]]) -> None:
        for outbox, frame, size in frames:
            assert isinstance(outbox, Outbox)
            if outbox not in self._outboxes:
                continue
            if frame is None:
                outbox.end()
            else:
                outbox.put(frame, size)


def _count(outbox: Hashable, frame: engine_pb2.StepFrame | None) -> int:
    assert isinstance(outbox, Outbox)
    return 0 if frame is None else outbox.count(frame)
