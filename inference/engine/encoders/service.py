"""The methods of the protocol that encoders answer: unpack a message, run a job, answer."""

import asyncio
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from inference.engine.codec_service import CodecServicer, engine_version
from inference.engine.encoders.jobs import Job, JobEnd, MaskFill, Row, Vector
from inference.engine.request import FinishReason
from inference.engine.wire import engine_pb2
from inference.engine.wire.answering import Stream
from inference.engine.wire.messages import finish_to_wire

if TYPE_CHECKING:
    from inference.engine.encoders.codec import EncoderCodec
    from inference.engine.encoders.server import EncoderServer

KINDS = {"embeddings": engine_pb2.KIND_EMBEDDINGS, "fill_mask": engine_pb2.KIND_FILL_MASK}
WRONG_KIND = "This engine serves a model that does something else."


class EncoderServicer(CodecServicer):
    """Answers for one `EncoderServer`."""

    def __init__(self, server: "EncoderServer") -> None:
        """Serve what `server` serves."""
        super().__init__(server, server.served.codec, server.served.vocab_size)
        self._server = server

    async def Info(  # noqa: N802  (the protocol's name)
        self, request: engine_pb2.InfoRequest
    ) -> engine_pb2.EngineInfo:
        """Answer through the loop, so that no answer comes from an engine that hangs."""
        served = self._server.served
        stats = await asyncio.wrap_future(self._server.loop.stats())
        return engine_pb2.EngineInfo(
            model=served.model,
            revision=served.revision,
            engine_version=engine_version(),
            device=served.device,
            dtype=served.dtype,
            max_model_len=served.limits.max_model_len,
            vocab_size=served.vocab_size,
            draining=self._server.draining,
            stats=stats,
            kind=KINDS[served.kind],
            dimensions=served.dimensions,
            mask_token_id=served.codec.mask_token_id,
            mask_token=served.codec.mask_token,
            first_token_ids=served.codec.frame[0],
            last_token_ids=served.codec.frame[1],
        )

    def Generate(self, stream: Stream) -> "EncoderStream":  # noqa: N802
        """Stay open, and refuse whatever is to be generated."""
        return EncoderStream(self._server, stream)

    async def TokenizeAll(  # noqa: N802
        self, request: engine_pb2.TokenizeAllRequest
    ) -> engine_pb2.TokenizeAllReply:
        """Encode plain texts off the event loop, unless their job would be refused anyway."""
        asks_for_a_place = request.HasField("place")
        least = request.num_tokens + len(request.texts)
        if asks_for_a_place and (full_for_ms := self.full_for_ms(request.place, least)):
            return engine_pb2.TokenizeAllReply(full_for_ms=full_for_ms)
        encoded = await self._aside(request.ByteSize(), self._encode_all, request.texts)
        num_tokens = request.num_tokens + sum(map(len, encoded))
        if asks_for_a_place and (full_for_ms := self.full_for_ms(request.place, num_tokens)):
            return engine_pb2.TokenizeAllReply(full_for_ms=full_for_ms)
        return engine_pb2.TokenizeAllReply(
            encoded=[engine_pb2.TokenIds(ids=token_ids) for token_ids in encoded]
        )

    def _encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._server.served.codec.encode_text(text) for text in texts]

    def full_for_ms(self, place: engine_pb2.Place, amount: int) -> int:
        """See the base: of tokens."""
        full_for_s = self._server.loop.full_for_s(place.tenant, place.priority, amount)
        return math.ceil(full_for_s * 1000)

    async def Embed(  # noqa: N802
        self, request: engine_pb2.EmbedRequest
    ) -> engine_pb2.EmbedReply:
        """Make a vector of each input."""
        job = job_from_wire(request.job)
        end = await self._run(job, "embeddings")
        reply = engine_pb2.EmbedReply(
            end=end_to_wire(end, job), dimensions=self._server.served.dimensions
        )
        if end.reason is FinishReason.STOP:
            table = np.stack(cast("tuple[Vector, ...]", end.answers))  # (N, dimensions)
            reply.vectors = table.astype("<f4", copy=False).tobytes()
        return reply

    async def FillMask(  # noqa: N802
        self, request: engine_pb2.FillMaskRequest
    ) -> engine_pb2.FillMaskReply:
        """Find the likeliest tokens of each mask; spell them out off the event loop."""
        job = job_from_wire(request.job, max(request.top_k, 1), tuple(request.target_ids))
        end = await self._run(job, "fill_mask")
        reply = engine_pb2.FillMaskReply(end=end_to_wire(end, job))
        if end.reason is FinishReason.STOP:
            fills = cast("tuple[tuple[MaskFill, ...], ...]", end.answers)
            events = asyncio.get_running_loop()
            codec = self._server.served.codec
            masks = await events.run_in_executor(
                self._server.executor, spell_masks, job, fills, codec
            )
            reply.masks.extend(masks)
        return reply

    async def FindTokens(  # noqa: N802
        self, request: engine_pb2.FindTokensRequest
    ) -> engine_pb2.FindTokensReply:
        """Look each text up."""
        find = self._server.served.codec.find_token
        found = [engine_pb2.FoundToken(token_id=find(text)) for text in request.texts]
        return engine_pb2.FindTokensReply(found=found)

    async def _run(self, job: Job, kind: str) -> JobEnd:
        """Run a job to its end; a caller that goes away takes it out of the queue."""
        if kind != self._server.served.kind:
            return JobEnd(FinishReason.ERROR, error=WRONG_KIND)
        self._server.loop.submit(job)
        try:
            return await asyncio.wrap_future(job.end)
        finally:
            self._server.loop.cancel(job)


class EncoderStream:
    """One web process's stream: its end tells of the engine's."""

    def __init__(self, server: "EncoderServer", stream: Stream) -> None:
        """Open it."""
        self._server = server
        self._stream = stream
        server.streams.add(stream)

    def on_message(self, frame: engine_pb2.ClientFrame) -> None:
        """Refuse sequences."""
        for submit in frame.submits:
            delta = engine_pb2.SequenceDelta(
                sequence_id=submit.sequence_id,
                finish_reason=engine_pb2.FINISH_ERROR,
                error="This engine serves an encoder, which generates no text.",
            )
            self._stream.write(engine_pb2.StepFrame(deltas=[delta]))

    def on_writable(self) -> None:
        """Nothing waits: there is an answer for each question, and no more."""

    def on_close(self) -> None:
        """Count it no longer."""
        self._server.streams.discard(self._stream)


def job_from_wire(
    message: engine_pb2.EncoderJob, top_k: int = 1, target_ids: tuple[int, ...] = ()
) -> Job:
    """Read a job."""
    return Job(
        request_id=message.request_id,
        tenant=message.tenant,
        rows=tuple(Row(tuple(each.ids), top_k, target_ids) for each in message.inputs),
        priority=message.priority,
        deadline_s=message.deadline_ms / 1000,
    )


def end_to_wire(end: JobEnd, job: Job) -> engine_pb2.EncoderEnd:
    """Write how a job ended."""
    return engine_pb2.EncoderEnd(
        finish_reason=finish_to_wire(end.reason),
        error=end.error,
        retry_after_ms=math.ceil(end.retry_after_s * 1000),
        num_tokens=job.num_tokens,
    )


def spell_masks(
    job: Job, fills: Sequence[Sequence[MaskFill]], codec: "EncoderCodec"
) -> list[engine_pb2.Mask]:
    """Write every mask with its candidates' texts."""
    return [
        engine_pb2.Mask(
            input=index,
            position=fill.position,
            candidates=[
                _spell(job.rows[index].token_ids, fill.position, token_id, probability, codec)
                for token_id, probability in fill.candidates
            ],
        )
        for index, masks in enumerate(fills)
        for fill in masks
    ]


def _spell(
    ids: tuple[int, ...], position: int, token_id: int, probability: float, codec: "EncoderCodec"
) -> engine_pb2.Candidate:
    filled = (*ids[:position], token_id, *ids[position + 1 :])
    return engine_pb2.Candidate(
        token_id=token_id,
        token=codec.decode([token_id]),
        probability=probability,
        sequence=codec.plain_text(filled),
    )
