"""One running request to an encoder: one call, one answer, and the same end as any other request.

Nothing is sampled, so what it costs is known when it is held. It is billed when its answer has
come: who hangs up before that gets nothing and pays nothing, and the engine takes its inputs out of
the queue.
"""

import asyncio
from typing import Literal

import structlog
from django.conf import settings

from inference import errors
from inference.engine.wire import engine_pb2 as wire
from inference.errors import ServiceError
from inference.generation import Generation, queue_full
from inference.spec import FillMask

logger = structlog.get_logger(__name__)


class Encoding(Generation):
    """See the module. `embedded` or `filled` is there when it has finished."""

    embedded: wire.EmbedReply | None = None
    filled: wire.FillMaskReply | None = None
    _call: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Send it; the owner does, once."""
        self._call = asyncio.create_task(self._run(), name=f"encode {self.request_id}")

    def end(
        self, outcome: Literal["finished", "aborted", "failed"], error: ServiceError | None
    ) -> None:
        super().end(outcome, error)
        if self._call is not None and self._call is not asyncio.current_task():
            self._call.cancel()

    async def _run(self) -> None:
        self.num_running = 1  # not before: cancelled until then, this does not run at all
        attached = self.link.attach(self)
        try:
            self._take_end(await self._ask())
        except self.link.REFUSED as refusal:
            self.end("failed", errors.failed_in_engine(str(refusal), self.request_id))
        except self.link.UNAVAILABLE:
            self.end("failed", errors.engine_lost())
        except Exception:
            logger.exception("an encoding crashed", request_id=self.request_id)
            self.end("failed", errors.crashed(self.request_id))
        finally:
            self.link.forget(attached)
            self.num_running = 0
            self.wake.set()

    async def _ask(self) -> wire.EncoderEnd:
        job = wire.EncoderJob(
            request_id=self.request_id,
            tenant=self.caller.organisation_id,
            inputs=[wire.TokenIds(ids=prompt.token_ids) for prompt in self.prompts],
            priority=int(self.spec.batch),
            deadline_ms=settings.REQUEST_DEADLINE_S * 1000,
        )
        task = self.spec.task
        if isinstance(task, FillMask):
            self.filled = await self.link.fill_mask(
                wire.FillMaskRequest(job=job, top_k=task.top_k, target_ids=task.target_ids)
            )
            return self.filled.end
        self.embedded = await self.link.embed(wire.EmbedRequest(job=job))
        return self.embedded.end

    def _take_end(self, end: wire.EncoderEnd) -> None:
        if end.finish_reason == wire.FINISH_STOP:
            assert end.num_tokens == self.prompt_tokens
            for sequence in self.sequences:
                sequence.prefilled = True
            self.end("finished", None)
        elif end.finish_reason == wire.FINISH_OVERLOADED:
            self.end("failed", queue_full(end.retry_after_ms))
        elif end.finish_reason == wire.FINISH_DEADLINE:
            self.end("failed", errors.out_of_time(begun=False))
        elif end.finish_reason == wire.FINISH_ERROR:
            why = end.error or "The engine failed."
            self.end("failed", errors.failed_in_engine(why, self.request_id))
        else:  # cancelled, but not by us: the engine is going away
            self.end("failed", errors.engine_lost())
