"""The gRPC face of an engine.

Owns the streams to the web processes. The engine's loop runs in a thread of its own; this side is
asyncio. Each `Generate` stream has one reader task, one writer (the handler itself) and a bounded
outbox between the loop and the writer: a web process that stops reading loses its stream and its
sequences, and nobody's memory grows. A stream that ends takes its sequences with it.
"""

import asyncio
import importlib
import importlib.util
import logging
import math
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from inference.engine.codec import Codec
from inference.engine.grammar import Grammars
from inference.engine.grammar_compiler import GrammarCompiler
from inference.engine.loop import EngineLoop, Frames
from inference.engine.plan import Runner
from inference.engine.scheduler import Scheduler
from inference.engine.service import EngineServicer
from inference.engine.wire import engine_pb2, engine_pb2_grpc

logger = logging.getLogger(__name__)

SERVICE_NAME = engine_pb2.DESCRIPTOR.services_by_name["Engine"].full_name
OUTBOX_BYTES = 8 << 20
# A web process asks every second whether an engine leaves, and waits up to two for the answer.
NOTICE_S = 3.5
NOTICE_POLL_S = 0.05
# Prompts and prompt log-probabilities are long. A dead peer is noticed by missed pings.
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


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


class LoopHealth(HealthServicer):  # type: ignore[misc]  # grpc_health has no types
    """The standard health service, answered only while the engine's loop turns."""

    def __init__(self, loop: EngineLoop) -> None:
        """Watch `loop`."""
        super().__init__()
        self._loop = loop

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802  (the protocol's name)
        """Ask the loop first: an engine that hangs gives no answer."""
        await asyncio.wrap_future(self._loop.stats())
        return await super().Check(request, context)


class EngineServer:
    """One engine behind one listening address."""

    def __init__(self, served: Served, *, outbox_bytes: int = OUTBOX_BYTES) -> None:
        """Prepare; `start` does the rest. Must be called where an event loop runs."""
        self.served = served
        self.draining = False
        self.died = asyncio.Event()  # the loop's thread ended by itself: the process is useless
        self.loop = EngineLoop(
            served.scheduler, served.runner, served.codec, self._deliver, served.vocab_size
        )
        self.executor = ThreadPoolExecutor(2, thread_name_prefix="tokenize")
        self.compiler = GrammarCompiler(served.grammars)
        self._events = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run_loop, name="engine-loop", daemon=True)
        self._outboxes: set[Hashable] = set()
        self._outbox_bytes = outbox_bytes
        self._health = LoopHealth(self.loop)
        self._server = grpc.aio.server(options=CHANNEL_OPTIONS)
        engine_pb2_grpc.add_EngineServicer_to_server(EngineServicer(self), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        # A convenience for people with grpcurl, not a dependency.
        if importlib.util.find_spec("grpc_reflection") is not None:
            reflection = importlib.import_module("grpc_reflection.v1alpha.reflection")
            names = (SERVICE_NAME, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
            reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), self._server)

    async def start(self, listen: str) -> str:
        """Listen on `unix:/path` or `host:port` (port 0: any free one); return the address."""
        port = self._server.add_insecure_port(listen)
        self._thread.start()
        await self._server.start()
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"

    async def drain(self, patience_s: float = math.inf) -> None:
        """Say so, and take what clients send until they know; then refuse it.

        Returns when the last running sequence has ended. Who will wait for `patience_s` only gives
        clients half of that to notice.
        """
        self.draining = True
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        told_at = self._events.time() + min(NOTICE_S, patience_s / 2)
        try:
            while self._outboxes and self._events.time() < told_at:  # noqa: ASYNC110  (or until then)
                await asyncio.sleep(NOTICE_POLL_S)
        finally:
            drained = self.loop.drain()
        await asyncio.wrap_future(drained)

    async def stop(self, grace_s: float = 5.0) -> None:
        """End every stream after the frames it still has queued, then stop listening."""
        self.loop.stop()
        for outbox in list(self._outboxes):
            assert isinstance(outbox, Outbox)
            outbox.end()
        await self._server.stop(grace_s)
        self.executor.shutdown(wait=False, cancel_futures=True)
        self.compiler.stop()
        if not self.died.is_set():
            await asyncio.to_thread(self._thread.join, grace_s)

    async def _set_health(self, status: int) -> None:
        for name in ("", SERVICE_NAME):
            await self._health.set(name, status)

    def _run_loop(self) -> None:
        try:
            self.loop.run()
        except Exception:
            logger.exception("the engine's loop ended")
            self._events.call_soon_threadsafe(self._on_death)

    def _on_death(self) -> None:
        self.died.set()
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
        self._events.call_soon_threadsafe(self._put_frames, frames)

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
