"""One running request: what its sequences brought so far, and the hand-over to its reader.

Counting is synchronous, in the task that reads the engine's frames, so it never waits for a slow
client. What came since the reader last asked is given to it as one delta a sequence, and who wants
the whole answer alone is not woken for its tokens. A generation ends once, for one reason; what the
engine still samples after that is overrun, counted apart and never billed.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from django.utils.translation import gettext_lazy as _

from accounts.authentication import Caller
from inference import errors
from inference.alignment import Alignment, token_logprobs
from inference.catalog import CatalogEntry
from inference.engine.wire import engine_pb2 as wire
from inference.errors import ServiceError
from inference.spec import FinishReason, GenerationSpec, Summary, TextDelta, TokenLogprob, merged

if TYPE_CHECKING:
    from inference.client import EngineLink
    from inference.limits import Allowance

# A reader that takes nothing for this long while text waits for it is given up.
STALLED_READER_S = 30.0

_FINISHES: dict[int, FinishReason] = {
    wire.FINISH_STOP: "stop",
    wire.FINISH_LENGTH: "length",
}


@dataclass(frozen=True, slots=True)
class PreparedPrompt:
    """A prompt as the engine encoded it; `text` is only there when it is to be echoed."""

    token_ids: Sequence[int]
    max_tokens: int
    text: str = ""


@dataclass(eq=False, slots=True)
class SequenceState:
    """One sampled answer."""

    index: int
    prompt_index: int
    sequence_id: int = 0
    cached_tokens: int = 0
    # Known to be computed: a token was sampled after it, or it was scored to its end.
    prefilled: bool = False
    running: bool = True
    finish_reason: FinishReason | None = None
    alignment: Alignment | None = None  # where there are log-probabilities


class Generation:
    """See the module. Made by `service.prepare`; `inference.settling` owns its end."""

    def __init__(
        self,
        spec: GenerationSpec,
        caller: Caller,
        entry: CatalogEntry,
        link: "EngineLink",
        prompts: Sequence[PreparedPrompt],
        *,
        request_id: str,
        allowance: "Allowance",
        arrived: float,
    ) -> None:
        self.request_id = request_id
        self.spec = spec
        self.caller = caller
        self.entry = entry
        self.link = link
        self.prompts = prompts
        self.allowance = allowance
        self.arrived = arrived
        self.started_at = datetime.now(UTC)
        self.samples = spec.best_of or spec.n
        scored = spec.sampling.logprobs is not None or self.samples > spec.n
        self.sequences = [
            SequenceState(i * self.samples + j, i, alignment=Alignment() if scored else None)
            for i in range(len(prompts))
            for j in range(self.samples)
        ]
        assert link.info is not None
        self.eos_token_ids = frozenset(link.info.eos_token_ids)
        self.tool_format = link.info.tool_format
        self.system_fingerprint = fingerprint(link.info)
        self.max_model_len = link.info.max_model_len
        self.output_tokens = 0
        self.overrun_tokens = 0
        self.reserved_tokens = 0  # of output, covered by the hold
        self.held_nanos = 0
        self.extend_at: int | None = None  # tokens of output at which the owner is woken
        # Tokens of output at which it ends with this error, once more was refused.
        self.stop_at: int | None = None
        self.stop_error: ServiceError | None = None
        self.readable_at = arrived  # or when the hold was there: the reader gets nothing before
        self.first_token_at: float | None = None
        self.last_token_at: float | None = None
        self.outcome: Literal["finished", "aborted", "failed"] | None = None
        self.error: ServiceError | None = None
        self.submitted = False  # or tried to be: the engine is asked once
        self.num_running = 0  # sequences the engine may still speak of
        self.wake = asyncio.Event()  # the owner's
        self.admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.summary: Summary | None = None
        self.balance_nanos: int | None = None
        self._by_id: dict[int, SequenceState] = {}
        # What came since the reader last asked, by the sequence's index; the rest is of sequences
        # that have no news, until they have some.
        self._news: dict[int, list[TextDelta]] = {}
        self._rest: dict[int, list[TextDelta]] = {}
        self._news_since: float | None = None
        self._reader: asyncio.Future[None] | None = None  # that waits

    @property
    def model(self) -> str:
        return self.entry.name

    @property
    def prompt_tokens(self) -> int:
        return sum(len(prompt.token_ids) for prompt in self.prompts)

    @property
    def settled(self) -> bool:
        return self.summary is not None

    def suits(self, link: "EngineLink") -> bool:
        """Whether it can run there as it was prepared: the model and its limit are the same."""
        info = link.info
        assert info is not None
        fits = info.max_model_len == self.max_model_len
        return fits and fingerprint(info) == self.system_fingerprint

    def cancel(self) -> None:
        """Stop it: the reader hung up or pressed stop. Does nothing when it has ended."""
        self.end("aborted", None)

    # --- What the owner calls ------------------------------------------------------------------

    def register(self, sequence: SequenceState, sequence_id: int) -> None:
        sequence.sequence_id = sequence_id
        self._by_id[sequence_id] = sequence
        self.num_running += 1

    def end(
        self, outcome: Literal["finished", "aborted", "failed"], error: ServiceError | None
    ) -> None:
        """Decide how it ends, once; the engine is told to stop what still runs."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        self.error = error
        for sequence in self.sequences:
            if sequence.running and sequence.sequence_id:
                self.link.cancel(sequence.sequence_id)
        self.wake.set()

    def stop_when_used_up(self, error: ServiceError) -> None:
        """No more can be reserved: what is reserved is the end."""
        self.extend_at = None
        self.stop_at, self.stop_error = self.reserved_tokens, error
        if self.output_tokens >= self.stop_at:
            self.end("aborted", error)

    def finish(self, summary: Summary) -> None:
        """Hand the settled sum to the reader."""
        self.summary = summary
        if self.error is not None:
            self.error.summary = summary
        self._wake_reader()

    # --- What the link calls -------------------------------------------------------------------

    def on_delta(self, delta: wire.SequenceDelta) -> None:
        sequence = self._by_id[delta.sequence_id]
        num_tokens, finish = len(delta.token_ids), delta.finish_reason
        if num_tokens:
            self.last_token_at = time.monotonic()
            if self.first_token_at is None:
                self.first_token_at = self.last_token_at
            sequence.prefilled = True
        if self.outcome is not None:
            self.overrun_tokens += num_tokens
        else:
            self.output_tokens += num_tokens
            self._tell(self._read(sequence, delta, num_tokens, _FINISHES.get(finish)))
        if finish != wire.FINISH_NONE:
            self._on_sequence_end(sequence, delta)
        elif self.extend_at is not None and self.output_tokens >= self.extend_at:
            self.wake.set()
        elif self.stop_at is not None and self.output_tokens >= self.stop_at:
            self.end("aborted", self.stop_error)

    def on_lost(self) -> None:
        self.num_running = 0
        self.end("failed", errors.engine_lost())
        self.wake.set()

    def _on_sequence_end(self, sequence: SequenceState, delta: wire.SequenceDelta) -> None:
        sequence.running = False
        self.num_running -= 1
        if self.outcome is None:
            if delta.finish_reason in _FINISHES:
                sequence.prefilled = True
                if self.num_running == 0:
                    self.end("finished", None)
            elif delta.finish_reason == wire.FINISH_OVERLOADED:
                self.end("failed", queue_full(delta.retry_after_ms))
            elif delta.finish_reason == wire.FINISH_DEADLINE:
                begun = self.output_tokens > 0
                self.end("aborted" if begun else "failed", errors.out_of_time(begun=begun))
            elif delta.finish_reason == wire.FINISH_ERROR:
                why = delta.error or "The engine failed."
                self.end("failed", errors.failed_in_engine(why, self.request_id))
            else:  # cancelled, but not by us: the engine is going away
                self.end("failed", errors.engine_lost())
        if self.num_running == 0:
            self.wake.set()

    def _read(
        self,
        sequence: SequenceState,
        delta: wire.SequenceDelta,
        num_tokens: int,
        finish_reason: FinishReason | None,
    ) -> TextDelta:
        """Note what a delta says of its sequence; return what is for the reader."""
        text, stop_sequence = delta.text, ""
        logprobs: Sequence[TokenLogprob] = ()
        prompt_logprobs: tuple[TokenLogprob, ...] = ()
        if delta.HasField("cached_tokens"):  # the first
            sequence.cached_tokens = delta.cached_tokens
            prompt_logprobs = token_logprobs(delta.prompt_logprobs)
        if finish_reason is not None:
            sequence.finish_reason, stop_sequence = finish_reason, delta.stop_reason
        if sequence.alignment is not None:
            sequence.alignment.add(token_logprobs(delta.logprobs))
            sequence.alignment.advance(text)
            ended = finish_reason is not None
            logprobs = sequence.alignment.release(
                everything=ended and not stop_sequence, last=ended
            )
        return TextDelta(
            sequence.index,
            text,
            num_tokens,
            tuple(logprobs),
            prompt_logprobs,
            finish_reason,
            stop_sequence,
        )

    def _tell(self, delta: TextDelta) -> None:
        """Leave it to the reader, whom it may be worth to wake."""
        parts = self._news.get(delta.index)
        if parts is None and self._is_news(delta):
            parts = self._news[delta.index] = self._rest.pop(delta.index, [])
        if parts is None:
            self._rest.setdefault(delta.index, []).append(delta)
            return
        parts.append(delta)
        self._wake_reader()
        if not self.admitted.done():
            return  # its reader may not read yet
        now = time.monotonic()
        if self._news_since is None:
            self._news_since = now
        elif now - self._news_since > STALLED_READER_S:
            self.cancel()

    def _is_news(self, delta: TextDelta) -> bool:
        if delta.finish_reason is not None:
            return True
        return self.spec.stream and bool(delta.text or delta.prompt_logprobs)

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    # --- What the reader calls -----------------------------------------------------------------

    async def news(self) -> list[TextDelta]:
        """What came since it was last asked, one delta a sequence; waits until there is something.

        Nothing when the generation is settled. A sequence of a request that is not streamed is told
        of when it has ended.
        """
        while not self._news and not self.settled:
            await self._woken()
        told, self._news, self._news_since = self._news, {}, None
        return [merged(parts) for parts in told.values()]

    def _woken(self) -> asyncio.Future[None]:
        self._reader = asyncio.get_running_loop().create_future()
        return self._reader

    async def begun(self, timeout_s: float) -> None:
        """Return when there is something to read, or after a while.

        Lets a face answer with a real status when the request fails before its first token.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not self._news and not self.settled:
                    await self._woken()
        except TimeoutError:
            pass


def queue_full(retry_after_ms: int) -> ServiceError:
    """Says when the engine expects a place to be free; 0: it does not know."""
    message = _("The engine's queue is full. Please try again later.")
    if not retry_after_ms:
        return errors.overloaded(message)
    return errors.overloaded(message, retry_after_ms / 1000)


def fingerprint(info: wire.EngineInfo) -> str:
    """Names model revision, engine version, kind of device and numbers.

    The last part is there only where a seed's text does not depend on other requests: engines with
    equal fingerprints of five parts give equal texts.
    """
    kind, dtype = info.device.partition(":")[0], info.dtype.partition(",")[0]
    parts = [info.revision[:12], info.engine_version, kind, dtype, info.arithmetic]
    return "_".join(["fp", *filter(None, parts)])
