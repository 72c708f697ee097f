"""The gRPC face of an engine that generates.

Owns the streams to the web processes. Each `Generate` stream has one reader task, one writer (the
handler itself) and a bounded outbox between the loop and the writer: a web process that stops
reading loses its stream and its sequences, and nobody's memory grows. A stream that ends takes its
sequences with it.
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

OUTBOX_BYTES = 8 << 20


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
    """Frames on their way to one client. Used on the event loop only."""

    def __init__(self, limit: int) -> None:
        """Hold at most `limit` bytes of frames."""
        self._frames: deque[engine_pb2.StepFrame] = deque()
        self._limit = limit
        self._num_bytes = 0
        self._changed = asyncio.Event()
        self._ended = False
        self.cut: asyncio.Future[tuple[grpc.StatusCode, str]] = (
            asyncio.get_running_loop().create_future()
        )

    def put(self, frame: engine_pb2.StepFrame) -> bool:
        """Add a frame; False when the reader is too far behind."""
        self._num_bytes += frame.ByteSize()
        if self._num_bytes > self._limit:
            return False
        self._frames.append(frame)
        self._changed.set()
        return True

    def end(self) -> None:
        """Nothing more will come: the stream ends after what is queued."""
        self._ended = True
        self._changed.set()

    def cut_off(self, code: grpc.StatusCode, sentence: str) -> None:
        """End the stream now, with an error; what is queued is dropped."""
        self._frames.clear()
        if not self.cut.done():
            self.cut.set_result((code, sentence))

    async def __aiter__(self) -> AsyncIterator[engine_pb2.StepFrame]:
        """Yield frames as they come."""
        while True:
            while self._frames:
                frame = self._frames.popleft()
                self._num_bytes -= frame.ByteSize()
                yield frame
            if self._ended:
                return
            self._changed.clear()
            await self._changed.wait()


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
        outbox = Outbox(self._outbox_bytes)
        self._outboxes.add(outbox)
        return outbox

    def close_stream(self, outbox: Outbox) -> None:
        """The stream is over: cancel what its client still had running."""
        self._outboxes.discard(outbox)
        self.loop.close(outbox)

    def _deliver(self, frames: Frames) -> None:
        """Carry one step's frames from the loop's thread to the outboxes."""
        if self.served.reshape is not None:
            frames = self.served.reshape(frames)
        self.events.call_soon_threadsafe(self._put_frames, frames)

    def _put_frames(self, frames: Frames) -> None:
        for outbox, frame in frames:
            assert isinstance(outbox, Outbox)
            if outbox not in self._outboxes:
                continue
            if frame is None:
                outbox.end()
            elif not outbox.put(frame):
                logger.warning("a client stopped reading; its stream is cut")
                self.close_stream(outbox)
                outbox.cut_off(grpc.StatusCode.RESOURCE_EXHAUSTED, "The client stopped reading.")
