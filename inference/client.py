"""An engine as the web side sees it: a link.

It keeps one bidirectional `Generate` stream that carries all requests of this process, their
prompts' encoding included, written by one task (concurrent writes on a stream hang) and read by one
task; it polls the engine's health and reconnects with back-off. What comes for a sequence is handed
to its sink synchronously, frame by frame, so that counting does not wait for a slow reader. When
the engine is lost, every sink is told once.
"""

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import grpc
import grpc.aio
import structlog

from inference import metrics
from inference.engine.wire import engine_pb2 as wire
from inference.engine.wire.engine_pb2_grpc import EngineStub

logger = structlog.get_logger(__name__)

POLL_S = 1.0
POLL_TIMEOUT_S = 2.0
# An engine that misses this many polls in a row is taken for hung; its streams are broken off.
MAX_MISSED_POLLS = 3
MAX_BACKOFF_S = 2.0
LEAVE_POLL_S = 0.1
ANSWER_TIMEOUT_S = 20.0
_TIMEOUT = {"timeout": ANSWER_TIMEOUT_S}
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
FRAME_BYTES = 1 << 20  # what one write carries, unless one request alone is longer

_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.use_local_subchannel_pool", 1),
]


class Sink(Protocol):
    """Takes what comes for its sequences; both calls are synchronous, quick and must not raise."""

    def on_delta(self, delta: wire.SequenceDelta) -> None: ...

    def on_lost(self) -> None:
        """Called once: nothing will come any more for any of its sequences."""


class EngineUnavailableError(Exception):
    """The engine did not answer a call."""


class EngineRefusedError(Exception):
    """The engine refused a call; the message is a sentence for the caller."""


class EngineFullError(Exception):
    """The engine's queue is full for this tenant."""

    def __init__(self, retry_after_ms: int) -> None:
        self.retry_after_ms = retry_after_ms


class Outbox:
    """Frames for the engine. An `asyncio.Queue` has a lot more to do for one reader."""

    def __init__(self) -> None:
        self._frames: deque[wire.ClientFrame] = deque()
        self._news = asyncio.Event()

    def put(self, frame: wire.ClientFrame) -> None:
        self._frames.append(frame)
        self._news.set()

    async def take(self) -> wire.ClientFrame:
        """Wait for one. What came up since the last goes with it: a write costs more than that."""
        if not self._frames:
            self._news.clear()
            await self._news.wait()
        frame = self._frames.popleft()
        while self._frames and frame.ByteSize() < FRAME_BYTES:
            frame.MergeFrom(self._frames.popleft())
        return frame


class EngineLink:
    """One engine: its health, its stream and its unary calls."""

    # What the unary calls raise, for modules that know links only as a parameter.
    UNAVAILABLE = EngineUnavailableError
    REFUSED = EngineRefusedError
    FULL = EngineFullError

    def __init__(self, model: str, address: str) -> None:
        self.model = model
        self.address = address
        self.info: wire.EngineInfo | None = None
        self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self._stub: Any = EngineStub(self._channel)
        self._sinks: dict[int, Sink] = {}
        self._replies: dict[int, asyncio.Future[wire.TokenizeReply]] = {}
        self._announced = 0
        self._ids = itertools.count(1)
        self._outbox = Outbox()
        self._call: Any = None
        self._stream_tasks: list[asyncio.Task[None]] = []
        self._polled = asyncio.Event()
        self._poller = asyncio.create_task(self._poll_forever(), name=f"poll {address}")

    @property
    def healthy(self) -> bool:
        """Whether it takes new requests."""
        return self.answers and self.info is not None and not self.info.draining

    @property
    def answers(self) -> bool:
        return self._call is not None

    @property
    def load(self) -> int:
        """Sequences that run or wait, and those that will come.

        Of the former those of this process, or what the engine last said of all processes.
        """
        stats = self.info.stats if self.info else wire.EngineStats()
        return max(len(self._sinks), stats.num_running + stats.num_waiting) + self._announced

    @contextlib.contextmanager
    def announced(self, num_sequences: int) -> Iterator[None]:
        """Count sequences as load while they are prepared: what arrives together is spread."""
        self._announced += num_sequences
        try:
            yield
        finally:
            self._announced -= num_sequences

    async def first_poll(self) -> None:
        await self._polled.wait()

    # --- Generation ------------------------------------------------------------------------------

    def submit(self, submit: wire.Submit, sink: Sink) -> int:
        """Send a sequence (its id is filled in) and return its id."""
        submit.sequence_id = next(self._ids)
        self._sinks[submit.sequence_id] = sink
        self._outbox.put(wire.ClientFrame(submits=[submit]))
        return submit.sequence_id

    def cancel(self, sequence_id: int) -> None:
        """Ask the engine to stop; its last delta still comes to the sink."""
        if sequence_id in self._sinks:
            cancel = wire.Cancel(sequence_id=sequence_id)
            self._outbox.put(wire.ClientFrame(cancels=[cancel]))

    def attach(self, sink: Sink) -> int:
        """Count a call of an encoder as load, and tell its sink when the engine is lost.

        Returns the id to `forget` when the call has ended.
        """
        number = next(self._ids)
        self._sinks[number] = sink
        return number

    def forget(self, sequence_id: int) -> None:
        """Drop what still comes for a sequence."""
        self._sinks.pop(sequence_id, None)

    async def tokenize(self, request: wire.TokenizeRequest) -> wire.TokenizeReply:
        """Encode a prompt (its call's id is filled in), if there is the place that it asks for."""
        if self._call is None:
            raise EngineUnavailableError(f"{self.address}: not connected")
        request.call_id = next(self._ids)
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[wire.TokenizeReply] = loop.create_future()
        self._replies[request.call_id] = reply
        self._outbox.put(wire.ClientFrame(tokenize=[request]))
        patience = loop.call_later(ANSWER_TIMEOUT_S, self._give_up, reply)
        try:
            return await reply
        finally:
            patience.cancel()
            self._replies.pop(request.call_id, None)

    def _give_up(self, reply: "asyncio.Future[wire.TokenizeReply]") -> None:
        if not reply.done():
            reply.set_exception(EngineUnavailableError(f"{self.address}: encodes nothing"))

    # --- Unary calls -----------------------------------------------------------------------------

    async def tokenize_all(self, request: wire.TokenizeAllRequest) -> list[Sequence[int]]:
        """Raises EngineFullError when they could not be submitted in their place."""
        call = self._stub.TokenizeAll(request, **_TIMEOUT)
        reply: wire.TokenizeAllReply = await self._unary(call)
        if reply.full_for_ms:
            raise EngineFullError(reply.full_for_ms)
        return [encoded.ids for encoded in reply.encoded]

    async def find_tokens(self, texts: Sequence[str]) -> list[int | None]:
        """The id of each text that is one token."""
        request = wire.FindTokensRequest(texts=texts)
        reply: wire.FindTokensReply = await self._unary(self._stub.FindTokens(request, **_TIMEOUT))
        return [each.token_id if each.HasField("token_id") else None for each in reply.found]

    async def embed(self, request: wire.EmbedRequest) -> wire.EmbedReply:
        """Without a time limit: the engine knows the deadline, and `attach` tells of its loss."""
        reply: wire.EmbedReply = await self._unary(self._stub.Embed(request))
        return reply

    async def fill_mask(self, request: wire.FillMaskRequest) -> wire.FillMaskReply:
        """As `embed`."""
        reply: wire.FillMaskReply = await self._unary(self._stub.FillMask(request))
        return reply

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        request = wire.DetokenizeRequest(token_ids=token_ids)
        reply: wire.DetokenizeReply = await self._unary(self._stub.Detokenize(request, **_TIMEOUT))
        return reply.text

    async def check_grammar(self, request: wire.CheckGrammarRequest) -> None:
        await self._unary(self._stub.CheckGrammar(request, **_TIMEOUT))

    async def _unary(self, call: Any) -> Any:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            if error.code() in {
                grpc.StatusCode.INVALID_ARGUMENT,
                grpc.StatusCode.FAILED_PRECONDITION,
                grpc.StatusCode.OUT_OF_RANGE,
            }:
                raise EngineRefusedError(error.details() or "The engine refused this.") from None
            raise EngineUnavailableError(f"{self.address}: {error.code().name}") from None

    # --- Health ----------------------------------------------------------------------------------

    async def _poll_forever(self) -> None:
        missed = 0
        while True:
            try:
                self.info = await self._stub.Info(wire.InfoRequest(), timeout=POLL_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                missed += 1
                if self._call is not None and missed >= MAX_MISSED_POLLS:
                    logger.error("engine hangs", address=self.address, code=error.code().name)
                    self._lose()
            else:
                missed = 0
                metrics.report_engine(self.model, self.address, self.info.stats)
                if self._call is None:
                    self._open_stream()
            self._polled.set()
            await asyncio.sleep(min(POLL_S, 0.1 * 2**missed) if self._call is None else POLL_S)

    def _open_stream(self) -> None:
        logger.info("engine connected", model=self.model, address=self.address)
        self._outbox = Outbox()
        self._call = self._stub.Generate()
        self._stream_tasks = [
            asyncio.create_task(self._write(self._call, self._outbox)),
            asyncio.create_task(self._read(self._call)),
        ]

    async def _write(self, call: Any, outbox: Outbox) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                await call.write(await outbox.take())
        self._lose_if_current(call)

    async def _read(self, call: Any) -> None:
        try:
            async for frame in call:
                for delta in frame.deltas:
                    self._deliver(delta)
                for reply in frame.tokenized:
                    self._answer(reply)
        except grpc.aio.AioRpcError as error:
            logger.warning("engine stream broke", address=self.address, code=error.code().name)
        self._lose_if_current(call)

    def _deliver(self, delta: wire.SequenceDelta) -> None:
        ends = delta.finish_reason != wire.FINISH_NONE
        sequence_id = delta.sequence_id
        sink = self._sinks.pop(sequence_id, None) if ends else self._sinks.get(sequence_id)
        if sink is not None:
            sink.on_delta(delta)

    def _answer(self, reply: wire.TokenizeReply) -> None:
        waiting = self._replies.get(reply.call_id)
        if waiting is None or waiting.done():
            return  # it was given up meanwhile
        if reply.error:
            waiting.set_exception(EngineRefusedError(reply.error))
        elif reply.crashed:
            waiting.set_exception(EngineUnavailableError(f"{self.address}: could not encode it"))
        elif reply.full_for_ms:
            waiting.set_exception(EngineFullError(reply.full_for_ms))
        else:
            waiting.set_result(reply)

    def _lose_if_current(self, call: Any) -> None:
        if call is self._call:
            self._lose()

    def _lose(self) -> None:
        """Break the stream off and tell every sink; the poller opens a new one."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
        current = asyncio.current_task()
        for task in self._stream_tasks:
            if task is not current:
                task.cancel()
        self._stream_tasks = []
        lost, self._sinks = self._sinks, {}
        for sink in dict.fromkeys(lost.values()):
            sink.on_lost()
        for waiting in self._replies.values():
            if not waiting.done():
                waiting.set_exception(EngineUnavailableError(f"{self.address}: lost"))

    async def leave(self) -> None:
        """Close when the last sequence of this process has ended."""
        while self._sinks or self._replies:  # noqa: ASYNC110  (it ends in several ways, and nobody is in a hurry)
            await asyncio.sleep(LEAVE_POLL_S)
        await self.close()

    async def close(self) -> None:
        self._poller.cancel()
        tasks = [self._poller, *self._stream_tasks]
        self._lose()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._channel.close(None)
        metrics.forget_engine(self.model, self.address)
