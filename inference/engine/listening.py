"""What the servers of all kinds of engines have in common: one loop behind one listening address.

The loop runs in a thread of its own; this side is asyncio. Owns the gRPC server, the standard
health service, which answers only while the loop turns, and the order in which an engine leaves.
"""

import asyncio
import importlib
import importlib.util
import logging
import math
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from inference.engine.wire import engine_pb2, engine_pb2_grpc

logger = logging.getLogger(__name__)

SERVICE_NAME = engine_pb2.DESCRIPTOR.services_by_name["Engine"].full_name
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


class Loop(Protocol):
    """What runs in the engine's thread."""

    def run(self) -> None:
        """Serve until stopped. What it raises ends the process."""
        ...

    def stats(self) -> Future[engine_pb2.EngineStats]:
        """Ask the loop for its numbers: an answer also proves that it still turns."""
        ...

    def drain(self) -> Future[None]:
        """Refuse what is new; the future is done when what ran has ended."""
        ...

    def stop(self) -> None:
        """End `run` after the step under way."""
        ...


class LoopHealth(HealthServicer):  # type: ignore[misc]  # grpc_health has no types
    """The standard health service, answered only while the engine's loop turns."""

    def __init__(self, loop: Loop) -> None:
        """Watch `loop`."""
        super().__init__()
        self._loop = loop

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802  (the protocol's name)
        """Ask the loop first: an engine that hangs gives no answer."""
        await asyncio.wrap_future(self._loop.stats())
        return await super().Check(request, context)


class LoopServer:
    """One loop behind one address. Made where an event loop runs; `start` does the rest."""

    def __init__(self, loop: Loop) -> None:
        """Prepare to run `loop`; who inherits adds its servicer with `serve`."""
        self.draining = False
        self.died = asyncio.Event()  # the loop's thread ended by itself: the process is useless
        self.executor = ThreadPoolExecutor(2, thread_name_prefix="tokenize")
        # Megabytes take seconds: no short prompt waits behind them.
        self.long_executor = ThreadPoolExecutor(1, thread_name_prefix="tokenize-long")
        self.events = asyncio.get_running_loop()
        self._loop = loop
        self._thread = threading.Thread(target=self._run_loop, name="engine-loop", daemon=True)
        self._health = LoopHealth(loop)
        self._server = grpc.aio.server(options=CHANNEL_OPTIONS)

    def serve(self, servicer: engine_pb2_grpc.EngineServicer) -> None:
        """Register what answers the protocol, beside the health service."""
        engine_pb2_grpc.add_EngineServicer_to_server(servicer, self._server)
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

    @property
    def num_streams(self) -> int:
        """Clients that are connected."""
        raise NotImplementedError

    async def drain(self, patience_s: float = math.inf) -> None:
        """Say so, and take what clients send until they know; then refuse it.

        Returns when the last thing that runs has ended. Who will wait for `patience_s` only gives
        clients half of that to notice.
        """
        self.draining = True
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        told_at = self.events.time() + min(NOTICE_S, patience_s / 2)
        try:
            while self.num_streams and self.events.time() < told_at:  # noqa: ASYNC110  (or until then)
                await asyncio.sleep(NOTICE_POLL_S)
        finally:
            drained = self._loop.drain()
        await asyncio.wrap_future(drained)

    async def stop(self, grace_s: float = 5.0) -> None:
        """Stop the loop after the step under way, then stop listening."""
        self._loop.stop()
        await self._server.stop(grace_s)
        for executor in (self.executor, self.long_executor):
            executor.shutdown(wait=False, cancel_futures=True)
        if not self.died.is_set():
            await asyncio.to_thread(self._thread.join, grace_s)

    async def _set_health(self, status: int) -> None:
        for name in ("", SERVICE_NAME):
            await self._health.set(name, status)

    def _run_loop(self) -> None:
        try:
            self._loop.run()
        except BaseException:  # a panic of a library written in Rust is no Exception
            logger.exception("the engine's loop ended")
            self.events.call_soon_threadsafe(self.on_death)

    def on_death(self) -> None:
        """The loop ended by itself. Called on the event loop."""
        self.died.set()
