"""An engine as the web side sees it: a link.

It keeps one connection, and on it one `Generate` stream that carries all sequences of this process;
it polls the engine's health and reconnects with back-off. What comes for a sequence is handed to
its sink synchronously, frame by frame, so that counting does not wait for a slow reader. When the
engine is lost, every sink is told once.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

import structlog
from google.protobuf.message import Message

from inference import metrics
from inference.engine.codec_service import LONG_PROMPT_BYTES
from inference.engine.wire import engine_pb2 as wire
from inference.engine.wire import methods
from inference.engine.wire.calling import Caller, Stream, connect_to
from inference.engine.wire.errors import CallError, Code
from inference.engine.wire.methods import Method

logger = structlog.get_logger(__name__)

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)

POLL_S = 1.0
POLL_TIMEOUT_S = 2.0
# An engine that misses this many polls in a row is taken for hung; its streams are broken off.
MAX_MISSED_POLLS = 3
# One that was never there, or stays away, is told of once: a restarted one is back before that.
AWAY_POLLS = 10
LEAVE_POLL_S = 0.1
ANSWER_TIMEOUT_S = 20.0


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
    """The engine's queue is full for this tenant; 0: nobody knows for how long."""

    def __init__(self, retry_after_ms: int) -> None:
        self.retry_after_ms = retry_after_ms


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
        self._caller: Caller | None = None
        self._stream: Stream | None = None  # there is one while the engine answers
        self._sinks: dict[int, Sink] = {}
        self._announced = 0
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._ids = itertools.count(1)
        self._polled = asyncio.Event()
        self._poller = asyncio.create_task(self._poll_forever(), name=f"poll {address}")

    @property
    def healthy(self) -> bool:
        """Whether it takes new requests."""
        return self.answers and self.info is not None and not self.info.draining

    @property
    def answers(self) -> bool:
        return self._stream is not None

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

    @contextlib.asynccontextmanager
    async def turn(self, tenant: str, num_bytes: int) -> AsyncIterator[None]:
        """Hold it around a call that encodes or decodes so much.

        An engine has one thread for all that is long: of an organisation's it gets one at a time,
        so that a crowd of them waits here, and not before everybody else's. Raises EngineFullError
        when those before it take too long.
        """
        if num_bytes <= LONG_PROMPT_BYTES:
            yield
            return
        lock = self._turns.setdefault(tenant, asyncio.Lock())
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await lock.acquire()
        except TimeoutError:
            raise EngineFullError(0) from None
        try:
            yield
        finally:
            lock.release()

    async def first_poll(self) -> None:
        await self._polled.wait()

    # --- Generation ------------------------------------------------------------------------------

    def submit(self, submit: wire.Submit, sink: Sink) -> int:
        """Send a sequence (its id is filled in) and return its id; raises as the calls do."""
        submit.sequence_id = next(self._ids)
        self._send(wire.ClientFrame(submits=[submit]))
        self._sinks[submit.sequence_id] = sink
        return submit.sequence_id

    def cancel(self, sequence_id: int) -> None:
        """Ask the engine to stop; its last delta still comes to the sink."""
        if sequence_id in self._sinks:
            self._send(wire.ClientFrame(cancels=[wire.Cancel(sequence_id=sequence_id)]))

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

    def _send(self, frame: wire.ClientFrame) -> None:
        if self._stream is None:
            raise EngineUnavailableError(f"{self.address}: not connected")
        try:
            self._stream.write(frame)
        except CallError as error:
            raise EngineRefusedError(error.sentence) from None

    # --- Unary calls -----------------------------------------------------------------------------

    async def tokenize(self, request: wire.TokenizeRequest) -> wire.TokenizeReply:
        """Raises EngineFullError when the prompt could not be submitted in its place."""
        reply = await self._call(methods.TOKENIZE, request)
        if reply.full_for_ms:
            raise EngineFullError(reply.full_for_ms)
        return reply

    async def tokenize_all(self, request: wire.TokenizeAllRequest) -> list[Sequence[int]]:
        """Raises EngineFullError when they could not be submitted in their place."""
        reply = await self._call(methods.TOKENIZE_ALL, request)
        if reply.full_for_ms:
            raise EngineFullError(reply.full_for_ms)
        return [encoded.ids for encoded in reply.encoded]

    async def find_tokens(self, texts: Sequence[str]) -> list[int | None]:
        """The id of each text that is one token."""
        reply = await self._call(methods.FIND_TOKENS, wire.FindTokensRequest(texts=texts))
        return [each.token_id if each.HasField("token_id") else None for each in reply.found]

    async def embed(self, request: wire.EmbedRequest) -> wire.EmbedReply:
        """Without a time limit: the engine knows the deadline, and `attach` tells of its loss."""
        return await self._call(methods.EMBED, request, None)

    async def fill_mask(self, request: wire.FillMaskRequest) -> wire.FillMaskReply:
        """As `embed`."""
        return await self._call(methods.FILL_MASK, request, None)

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        request = wire.DetokenizeRequest(token_ids=token_ids)
        return (await self._call(methods.DETOKENIZE, request)).text

    async def describe_tokenizer(self) -> wire.TokenizerDescription:
        return await self._call(methods.DESCRIBE_TOKENIZER, wire.DescribeTokenizerRequest())

    async def check_grammar(self, request: wire.CheckGrammarRequest) -> None:
        """Raises EngineFullError when grammars of other sequences leave it no room."""
        reply = await self._call(methods.CHECK_GRAMMAR, request)
        if reply.full:
            raise EngineFullError(0)

    async def _call(
        self, method: Method[Q, R], request: Q, timeout_s: float | None = ANSWER_TIMEOUT_S
    ) -> R:
        if self._caller is None:
            raise EngineUnavailableError(f"{self.address}: not connected")
        try:
            return await self._caller.call(method, request, timeout_s)
        except CallError as error:
            if error.code is Code.INVALID_ARGUMENT:
                raise EngineRefusedError(error.sentence or "The engine refused this.") from None
            raise EngineUnavailableError(f"{self.address}: {error}") from None

    # --- Health ----------------------------------------------------------------------------------

    async def _poll_forever(self) -> None:
        missed = 0
        while True:
            try:
                self.info = await self._ask_info()
            except CallError as error:
                missed += 1
                self._note_missed(missed, error)
            else:
                missed = 0
                metrics.report_engine(self.model, self.address, self.info.stats)
                if self._stream is None:
                    self._open_stream()
            self._polled.set()
            await asyncio.sleep(min(POLL_S, 0.1 * 2**missed) if self._stream is None else POLL_S)

    async def _ask_info(self) -> wire.EngineInfo:
        if self._caller is None or self._caller.ending:
            self._caller = await connect_to(self.address, POLL_TIMEOUT_S)
        info = await self._caller.call(methods.INFO, wire.InfoRequest(), POLL_TIMEOUT_S)
        if info.model != self.model:  # ENGINES names another one's address
            raise CallError(Code.FAILED_PRECONDITION, f"it serves {info.model}, not {self.model}")
        return info

    def _note_missed(self, missed: int, error: CallError) -> None:
        if self._stream is not None and missed >= MAX_MISSED_POLLS:
            logger.error("engine hangs", address=self.address, code=error.code.name)
            self._lose()
        if error.code is Code.FAILED_PRECONDITION and missed == 1:
            logger.error("engine cannot be used", address=self.address, reason=error.sentence)
        elif error.code is not Code.FAILED_PRECONDITION and missed == AWAY_POLLS:
            logger.error("engine does not answer", address=self.address, reason=error.sentence)

    def _open_stream(self) -> None:
        assert self._caller is not None
        try:
            self._stream = self._caller.open(methods.GENERATE, self)
        except CallError:
            return  # it was lost at this moment; the poller comes again
        logger.info("engine connected", model=self.model, address=self.address)

    def on_message(self, frame: wire.StepFrame) -> None:
        """Hand on what the engine sent."""
        for delta in frame.deltas:
            self._deliver(delta)

    def on_end(self, error: CallError | None) -> None:
        """The stream is over: the engine leaves, or is lost."""
        if error is not None:
            logger.warning("engine stream broke", address=self.address, code=error.code.name)
        self._lose()

    def _deliver(self, delta: wire.SequenceDelta) -> None:
        ends = delta.finish_reason != wire.FINISH_NONE
        sequence_id = delta.sequence_id
        sink = self._sinks.pop(sequence_id, None) if ends else self._sinks.get(sequence_id)
        if sink is not None:
            sink.on_delta(delta)

    def _lose(self) -> None:
        """Break the connection off and tell every sink; the poller makes a new one."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()  # it is not told of its end again
        caller, self._caller = self._caller, None
        if caller is not None:
            caller.abort()
        lost, self._sinks = self._sinks, {}
        for sink in dict.fromkeys(lost.values()):
            sink.on_lost()

    async def leave(self) -> None:
        """Close when the last sequence and the last call of this process have ended."""
        while self._sinks or (self._caller is not None and self._caller.asks):  # noqa: ASYNC110  (it ends in several ways, and nobody is in a hurry)
            await asyncio.sleep(LEAVE_POLL_S)
        await self.close()

    async def close(self) -> None:
        self._poller.cancel()
        await asyncio.gather(self._poller, return_exceptions=True)
        caller = self._caller
        self._lose()
        if caller is not None:
            await caller.lost
        metrics.forget_engine(self.model, self.address)
