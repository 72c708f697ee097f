"""What the servers of all kinds of engines have in common: one loop behind one listening address.

The loop runs in a thread of its own; this side is asyncio. Owns the server of the protocol and the
order in which an engine leaves.
"""

import asyncio
import logging
import math
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from inference.engine.wire import engine_pb2
from inference.engine.wire.answering import Server
from inference.engine.wire.errors import CallError, Code

logger = logging.getLogger(__name__)

# A web process asks every second whether an engine leaves, and waits up to two for the answer.
NOTICE_S = 3.5
NOTICE_POLL_S = 0.05


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
        self._server: Server

    def serve(self, servicer: object) -> None:
        """Say what answers the protocol."""
        self._server = Server(servicer)

    async def start(self, listen: str) -> str:
        """Listen on `unix:/path` or `host:port` (port 0: any free one); return the address.

        ValueError or OSError when it cannot.
        """
        address = await self._server.start(listen)
        self._thread.start()
        return address

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

    def _run_loop(self) -> None:
        try:
            self._loop.run()
        except BaseException:  # a panic of a library written in Rust is no Exception
            logger.exception("the engine's loop ended")
            self.events.call_soon_threadsafe(self.on_death)

    def on_death(self) -> None:
        """Tell every client: nothing more will come. Called on the event loop."""
        self._server.fail(CallError(Code.UNAVAILABLE, "The engine has lost its device."))
        self.died.set()
