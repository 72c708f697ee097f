"""The methods of the protocol's Engine service that generate: unpack, call one verb, answer."""

import asyncio
import math
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from inference.engine.codec_service import CodecServicer, Context, engine_version
from inference.engine.detokenizer import Detokenizer
from inference.engine.grammar_compiler import CompilingFailedError
from inference.engine.request import FinishReason, Sequence
from inference.engine.wire import engine_pb2
from inference.engine.wire.messages import (
    finish_to_wire,
    grammar_from_wire,
    sampling_from_wire,
)

if TYPE_CHECKING:
    from inference.engine.server import EngineServer, Outbox

# Each character of a stop string is a node of an automaton.
MAX_STOP_CHARS = 1 << 16


class EngineServicer(CodecServicer):
    """Answers for one `EngineServer`."""

    def __init__(self, server: "EngineServer") -> None:
        """Serve what `server` serves."""
        super().__init__(server, server.served.codec, server.served.vocab_size)
        self._server = server

    async def Info(  # noqa: N802  (the protocol's name)
        self, request: engine_pb2.InfoRequest, context: Context
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
        )

    async def CheckGrammar(  # noqa: N802
        self, request: engine_pb2.CheckGrammarRequest, context: Context
    ) -> engine_pb2.CheckGrammarReply:
        """Compile it, and keep what came of that for the `Submit` that follows."""
        try:
            await self._server.compiler.compile(grammar_from_wire(request.grammar), request.tenant)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return engine_pb2.CheckGrammarReply()

    async def Generate(  # noqa: N802
        self, request_iterator: AsyncIterator[engine_pb2.ClientFrame], context: Context
    ) -> None:
        """Write the stream's frames until the client goes away, or has no more to ask."""
        outbox = self._server.open_stream()
        reader = asyncio.create_task(self._read(request_iterator, outbox))
        writer = asyncio.create_task(_write(outbox, context))
        try:
            ends: list[asyncio.Future[Any]] = [writer, outbox.cut]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            self._server.close_stream(outbox)
            await writer  # not cancelled: the status beside a write under way would be lost
        finally:
            reader.cancel()
            writer.cancel()
            self._server.close_stream(outbox)
        if outbox.cut.done():
            await context.abort(*outbox.cut.result())

    async def _read(self, frames: AsyncIterator[engine_pb2.ClientFrame], outbox: "Outbox") -> None:
        compiling: dict[int, asyncio.Task[None]] = {}  # by the client's number
        async with asyncio.TaskGroup() as tasks:
            async for frame in frames:
                if frame.tokenize:
                    tasks.create_task(self._answer(frame, outbox))
                for submit in frame.submits:
                    sequence = self._submit(submit, outbox)
                    if sequence is not None:
                        task = tasks.create_task(self._submit_compiled(sequence, outbox))
                        compiling[sequence.sequence_id] = task
                        task.add_done_callback(partial(_drop, compiling, sequence.sequence_id))
                for cancel in frame.cancels:
                    self._cancel(cancel.sequence_id, outbox, compiling)
        self._server.loop.half_close(outbox)

    async def _answer(self, asked: engine_pb2.ClientFrame, outbox: "Outbox") -> None:
        let_in, refusals = [], []
        for request in asked.tokenize:
            refusal = self._refusal(request)
            if refusal is None:
                let_in.append(request)
            else:
                refusals.append(refusal)
        if refusals:
            outbox.put(engine_pb2.StepFrame(tokenized=refusals))
        async for frame in self.tokenize(let_in):
            outbox.put(frame)

    def _refusal(self, asked: engine_pb2.TokenizeRequest) -> engine_pb2.TokenizeReply | None:
        """Say when to come back to one that could not be submitted now."""
        if not asked.HasField("place"):
            return None
        place = asked.place
        full_for_s = self._server.loop.full_for_s(place.tenant, place.priority, place.num_sequences)
        if not full_for_s:
            return None
        full_for_ms = math.ceil(full_for_s * 1000)
        return engine_pb2.TokenizeReply(call_id=asked.call_id, full_for_ms=full_for_ms)

    def _submit(self, submit: engine_pb2.Submit, outbox: "Outbox") -> Sequence | None:
        """Hand a sequence to the loop; return one whose grammar is to be compiled before."""
        try:
            sequence = sequence_from_wire(self._server.loop.new_key(), submit)
        except ValueError as error:
            outbox.put(_ending(submit.sequence_id, FinishReason.ERROR, str(error)))
            return None
        if sequence.params.grammar is not None:
            return sequence
        self._server.loop.submit(outbox, sequence)
        return None

    def _cancel(
        self, number: int, outbox: "Outbox", compiling: dict[int, asyncio.Task[None]]
    ) -> None:
        """End a sequence, which may not have come to the loop yet."""
        task = compiling.pop(number, None)
        if task is not None and task.cancel():
            outbox.put(_ending(number, FinishReason.CANCELLED))
        else:
            self._server.loop.cancel(outbox, number)

    async def _submit_compiled(self, sequence: Sequence, outbox: "Outbox") -> None:
        """Submit a sequence when its grammar is compiled, mostly at once: `CheckGrammar` did it.

        Nothing may come out of here: all requests of a web process share the stream.
        """
        assert sequence.params.grammar is not None
        try:
            sequence.grammar = await self._server.compiler.compile(
                sequence.params.grammar, sequence.tenant
            )
        except (ValueError, CompilingFailedError) as error:
            outbox.put(_ending(sequence.sequence_id, FinishReason.ERROR, str(error)))
        else:
            self._server.loop.submit(outbox, sequence)


async def _write(outbox: "Outbox", context: Context) -> None:
    async for frame in outbox:
        await context.write(frame)


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
        detokenizer=Detokenizer(params.stop),
        priority=submit.priority,
        deadline_s=submit.deadline_ms / 1000,
        sequence_id=submit.sequence_id,
        request_id=submit.request_id,
    )


def _ending(number: int, reason: FinishReason, sentence: str = "") -> engine_pb2.StepFrame:
    """Say that a sequence ended which the loop has never seen."""
    delta = engine_pb2.SequenceDelta(sequence_id=number, error=sentence)
    delta.finish_reason = finish_to_wire(reason)
    return engine_pb2.StepFrame(deltas=[delta])


def _drop(tasks: dict[int, asyncio.Task[None]], number: int, done: asyncio.Task[None]) -> None:
    if tasks.get(number) is done:
        del tasks[number]
