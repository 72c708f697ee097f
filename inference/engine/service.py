"""The methods of the protocol's Engine service that generate: unpack, call one verb, answer."""

import asyncio
import logging
import math
import time
from functools import partial
from typing import TYPE_CHECKING

from inference.engine.codec_service import CodecServicer, engine_version
from inference.engine.detokenizer import Detokenizer
from inference.engine.grammar import NoRoomError
from inference.engine.grammar_compiler import CompilingFailedError
from inference.engine.request import FinishReason, Sequence
from inference.engine.tool_formats import FORMATS
from inference.engine.wire import engine_pb2
from inference.engine.wire.answering import Stream
from inference.engine.wire.errors import CallError, Code
from inference.engine.wire.messages import (
    grammar_from_wire,
    sampling_from_wire,
    write_end,
)

if TYPE_CHECKING:
    from inference.engine.server import EngineServer

logger = logging.getLogger(__name__)

# Each character of a stop string is a node of an automaton.
MAX_STOP_CHARS = 1 << 16
SHORTEST_DEADLINE_S = 1e-3  # 0 would be none


class EngineServicer(CodecServicer):
    """Answers for one `EngineServer`."""

    def __init__(self, server: "EngineServer") -> None:
        """Serve what `server` serves."""
        super().__init__(server, server.served.codec, server.served.vocab_size)
        self._server = server

    async def Info(  # noqa: N802  (the protocol's name)
        self, request: engine_pb2.InfoRequest
    ) -> engine_pb2.EngineInfo:
        """Answer through the loop, so that no answer comes from an engine that hangs."""
        served, loop = self._server.served, self._server.loop
        form = self._codec.tool_format
        stats = await asyncio.wrap_future(loop.stats())
        return engine_pb2.EngineInfo(
            model=served.model,
            revision=served.revision,
            engine_version=engine_version(),
            device=served.device,
            dtype=served.dtype,
            arithmetic=served.arithmetic,
            max_model_len=served.scheduler.limits.max_model_len,
            vocab_size=served.vocab_size,
            has_chat_template=self._codec.has_chat_template,
            eos_token_ids=self._codec.eos_token_ids,
            draining=self._server.draining,
            stats=stats,
            tool_format=form.name if form is not None else "",
            first_token_ids=self._codec.frame[0],
            last_token_ids=self._codec.frame[1],
        )

    async def CheckGrammar(  # noqa: N802
        self, request: engine_pb2.CheckGrammarRequest
    ) -> engine_pb2.CheckGrammarReply:
        """Compile it, and keep what came of that for the `Submit` that follows."""
        try:
            await self._server.compiler.compile(grammar_from_wire(request.grammar), request.tenant)
        except ValueError as error:
            raise CallError(Code.INVALID_ARGUMENT, str(error)) from None
        except NoRoomError:
            return engine_pb2.CheckGrammarReply(full=True)
        return engine_pb2.CheckGrammarReply()

    def full_for_ms(self, place: engine_pb2.Place, amount: int) -> int:
        """See the base: of sequences. What may come is expected from now on."""
        full_for_s = self._server.loop.full_for_s(place.tenant, place.priority, amount)
        return math.ceil(full_for_s * 1000)

    def Generate(self, stream: Stream) -> "GenerateStream":  # noqa: N802
        """Serve one web process's stream."""
        return GenerateStream(self._server, stream)


class GenerateStream:
    """One web process's stream: what it asks for goes to the loop, and frames come back."""

    def __init__(self, server: "EngineServer", stream: Stream) -> None:
        """Open it."""
        self._server = server
        self._stream = stream
        self._outbox = server.open_stream(stream)
        self._jobs: set[asyncio.Task[None]] = set()  # sequences that wait for their grammars
        self._compiling: dict[int, asyncio.Task[None]] = {}  # those not cancelled, by number

    def on_message(self, frame: engine_pb2.ClientFrame) -> None:
        """Begin what it asks for."""
        for submit in frame.submits:
            sequence = self._submit(submit)
            if sequence is not None:
                self._compile(sequence)
        for cancel in frame.cancels:
            self._cancel(cancel.sequence_id)

    def on_writable(self) -> None:
        """Send what had to wait."""
        self._outbox.on_writable()

    def on_close(self) -> None:
        """End all that the client still had under way."""
        for job in self._jobs:
            job.cancel()
        self._server.close_stream(self._outbox)

    def _submit(self, submit: engine_pb2.Submit) -> Sequence | None:
        """Hand a sequence to the loop; return one whose grammar is to be compiled before."""
        try:
            sequence = sequence_from_wire(self._server.loop.new_key(), submit)
        except ValueError as error:
            self._outbox.put(_ending(submit.sequence_id, FinishReason.ERROR, str(error)))
            return None
        if sequence.params.grammar is not None:
            return sequence
        self._server.loop.submit(self._outbox, sequence)
        return None

    def _compile(self, sequence: Sequence) -> None:
        """Submit a sequence when its grammar is compiled; a crash on the way ends the stream."""
        number = sequence.sequence_id
        task = asyncio.get_running_loop().create_task(self._submit_compiled(sequence))
        self._jobs.add(task)
        self._compiling[number] = task
        task.add_done_callback(partial(self._on_compiled, number))

    async def _submit_compiled(self, sequence: Sequence) -> None:
        """Submit a sequence when its grammar is compiled, mostly at once: `CheckGrammar` did it.

        Its deadline counts this wait. Nothing may come out of here: all requests of a web process
        share the stream.
        """
        assert sequence.params.grammar is not None
        began = time.monotonic()
        try:
            async with asyncio.timeout(sequence.deadline_s or None):
                sequence.grammar = await self._server.compiler.compile(
                    sequence.params.grammar, sequence.tenant
                )
        except TimeoutError:
            self._outbox.put(_ending(sequence.sequence_id, FinishReason.DEADLINE))
        except NoRoomError:
            self._outbox.put(_ending(sequence.sequence_id, FinishReason.OVERLOADED))
        except (ValueError, CompilingFailedError) as error:
            self._outbox.put(_ending(sequence.sequence_id, FinishReason.ERROR, str(error)))
        else:
            if sequence.deadline_s:
                left_s = sequence.deadline_s - (time.monotonic() - began)
                sequence.deadline_s = max(left_s, SHORTEST_DEADLINE_S)
            self._server.loop.submit(self._outbox, sequence)

    def _cancel(self, number: int) -> None:
        """End a sequence, which may not have come to the loop yet."""
        task = self._compiling.pop(number, None)
        if task is not None and task.cancel():
            self._outbox.put(_ending(number, FinishReason.CANCELLED))
        else:
            self._server.loop.cancel(self._outbox, number)

    def _on_compiled(self, number: int, task: asyncio.Task[None]) -> None:
        self._jobs.discard(task)
        if self._compiling.get(number) is task:
            del self._compiling[number]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("a request broke its stream", exc_info=error)
            self._stream.fail(CallError(Code.INTERNAL, "The engine failed."))


def sequence_from_wire(key: int, submit: engine_pb2.Submit) -> Sequence:
    """Build a sequence; ValueError when a sampling parameter is out of its range."""
    if sum(map(len, submit.sampling.stop)) > MAX_STOP_CHARS:
        raise ValueError(f"the stop strings must not be longer than {MAX_STOP_CHARS} in all")
    params = sampling_from_wire(submit.sampling)
    return Sequence(
        key=key,
        tenant=submit.tenant,
        tokens=list(submit.prompt_token_ids),
        params=params,
        detokenizer=Detokenizer(params.stop, FORMATS.get(params.tool_format)),
        priority=submit.priority,
        deadline_s=submit.deadline_ms / 1000,
        sequence_id=submit.sequence_id,
        request_id=submit.request_id,
    )


def _ending(number: int, reason: FinishReason, sentence: str = "") -> engine_pb2.StepFrame:
    """Say that a sequence ended which the loop has never seen."""
    delta = engine_pb2.SequenceDelta(sequence_id=number)
    write_end(delta, reason, error=sentence)
    return engine_pb2.StepFrame(deltas=[delta])
