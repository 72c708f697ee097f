"""The engine's loop: one thread that turns requests into steps and steps into frames.

Owns the scheduler, the runner and every sequence; nobody else touches them. Other threads talk to
it through the inbox (`submit`, `cancel`, `close`, `drain`, `stats`, `stop`), and it talks back
through one callback per step that carries the frames of all streams. A command is taken at the
start of the next step, so a cancelled sequence runs for at most the step under way and, on a GPU,
the one launched after it. When there is nothing to run the thread blocks on the inbox. The
sequences of a stream whose client is behind are held: they keep their blocks and say no more.
"""

import contextlib
import heapq
import itertools
import logging
import queue
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from inference.engine.client_stream import ClientStream
from inference.engine.codec import Codec
from inference.engine.crowd import Coming, num_before
from inference.engine.lookahead import Steps
from inference.engine.plan import Plan, Row, Runner, Sampled, StepResult
from inference.engine.request import FinishReason, Sequence
from inference.engine.scheduler import Scheduler
from inference.engine.statistics import Statistics
from inference.engine.wire import engine_pb2
from inference.engine.wire.messages import logprobs_to_wire

logger = logging.getLogger(__name__)
T = TypeVar("T")

# How long a loop whose sequences are all paused rests before it looks at their deadlines.
REST_S = 0.05
# What goes to each stream after a step.
Frames = list[tuple[Hashable, engine_pb2.StepFrame]]


class EngineLoop:
    """Runs steps until told to stop. `deliver` is called from the loop's thread."""

    def __init__(
        self,
        scheduler: Scheduler,
        runner: Runner,
        codec: Codec,
        deliver: Callable[[Frames], None],
        vocab_size: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Serve sequences whose ids are below `vocab_size`, with nothing queued yet."""
        self.scheduler = scheduler
        self.runner = runner
        self.codec = codec
        self.deliver = deliver
        self.vocab_size = vocab_size
        self.statistics = Statistics()
        self.draining = False
        self._eos = frozenset(codec.eos_token_ids)
        self._coming = Coming()
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._next_key = itertools.count(1)
        self._streams: dict[Hashable, ClientStream] = {}
        self._live: dict[int, tuple[ClientStream, Sequence]] = {}  # by key
        self._drained: list[Future[None]] = []
        self._steps = Steps(scheduler, runner)
        self._step = 0
        self._deadlines: list[tuple[float, int]] = []  # a heap: when, key
        self._num_ended = 0  # in this step
        self._stopped = False
        self._clock = clock

    # From any thread.

    def new_key(self) -> int:
        """Return a number for a new sequence."""
        return next(self._next_key)

    def submit(self, handle: Hashable, sequence: Sequence) -> None:
        """Queue a sequence; its news goes to `handle`."""
        self._coming.send((sequence.priority, sequence.tenant))
        self._inbox.put(partial(self._on_submit, handle, sequence))

    def cancel(self, handle: Hashable, sequence_id: int) -> None:
        """End one sequence of a stream; nothing happens if it has ended."""
        self._inbox.put(partial(self._on_cancel, handle, sequence_id))

    def close(self, handle: Hashable) -> None:
        """End all sequences of a stream whose client is gone; nothing is sent to it any more."""
        self._inbox.put(partial(self._on_close, handle))

    def hold(self, handle: Hashable, *, held: bool) -> None:
        """Let the sequences of a stream pause, or go on."""
        self._inbox.put(partial(self._on_hold, handle, held))

    def full_for_s(self, tenant: str, priority: int, num: int = 1) -> float:
        """Say at once, not after the step, when to come back; 0: so many are expected now."""
        coming = self._coming.count(now := self._clock())
        if self.scheduler.is_full_for(tenant, priority, coming):
            return self._retry_after_s(coming.total())
        self._coming.expect((priority, tenant), num, now)
        return 0.0

    def _retry_after_s(self, num_coming: int = 0) -> float:
        num_present = self.scheduler.num_waiting + len(self.scheduler.running) + num_coming
        return self.statistics.turnover.retry_after_s(self._clock(), num_present)

    def drain(self) -> Future[None]:
        """Refuse new sequences from now on; the future is done when the last one has ended."""
        future: Future[None] = Future()
        self._inbox.put(partial(self._on_drain, future))
        return future

    def stats(self) -> Future[engine_pb2.EngineStats]:
        """Ask the loop itself for its numbers: an answer also proves that it still turns."""
        future: Future[engine_pb2.EngineStats] = Future()
        self._inbox.put(partial(self._on_stats, future))
        return future

    def stop(self) -> None:
        """End `run` after the step under way."""
        self._inbox.put(self._on_stop)

    # The loop's thread.

    def run(self) -> None:
        """Step until `stop`. DeviceLostError passes through: the process cannot go on."""
        while not self._stopped:
            if self.scheduler.idle:
                self._inbox.get()()
            elif self.scheduler.running and all(s.paused for s in self.scheduler.running):
                with contextlib.suppress(queue.Empty):
                    self._inbox.get(timeout=REST_S)()
            self.step()

    def step(self) -> None:
        """One turn."""
        began = self._clock()
        self._drain_inbox()
        self._end_overdue()
        self._send()  # a refusal need not wait for the step
        plan, result = self._steps.next()
        self._step = plan.step
        self._apply(plan, result)
        self._send()
        self._measure(plan, self._clock() - began)

    def _drain_inbox(self) -> None:
        while not self._inbox.empty():
            self._inbox.get()()

    def _end_overdue(self) -> None:
        now = self._clock()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, key = heapq.heappop(self._deadlines)
            if key in self._live:
                self._end(*self._live[key], FinishReason.DEADLINE)

    def _measure(self, plan: Plan, seconds: float) -> None:
        self.scheduler.pace.note(plan.num_decoding, plan.num_chunk_tokens, seconds)
        crowded = self.scheduler.num_waiting > 0
        self.statistics.turnover.note(seconds, self._num_ended, crowded=crowded)
        self._num_ended = 0

    def _apply(self, plan: Plan, result: StepResult) -> None:
        num_accepted = 0
        for row in plan.rows:
            stream, sequence = self._live[row.key]
            failure = result.failures.get(row.key)
            if failure is not None:
                logger.warning(
                    "request %s fails (sequence %d): %s", sequence.request_id, row.key, failure
                )
                self._end(stream, sequence, FinishReason.ERROR, error=failure)
                continue
            self.scheduler.advance(sequence, row.num_tokens - len(row.drafts))
            if sequence.params.prompt_logprobs is not None:
                _extend_prompt_logprobs(sequence, row, result)
            sampled = result.sampled.get(row.key)
            if sampled is not None:
                further = result.further.get(row.key, [])
                num_accepted += self._accept_all(stream, sequence, sampled, further)
                if row.drafts:
                    sequence.drafter.learn(len(row.drafts), len(further))
            elif sequence.num_uncomputed == 0:  # max_tokens 0: the prompt was all there is
                self._end(stream, sequence, FinishReason.LENGTH)
        self.statistics.count_step(plan, num_accepted)

    def _accept_all(
        self, stream: ClientStream, sequence: Sequence, first: Sampled, further: list[Sampled]
    ) -> int:
        """Take the first and, while the sequence goes on, what its drafts brought; how many."""
        self._accept(stream, sequence, first)
        for count, sampled in enumerate(further, start=1):
            if sequence.finished:
                return count
            self.scheduler.advance(sequence, 1)  # the draft before it was run and was right
            self._accept(stream, sequence, sampled)
        return 1 + len(further)

    def _accept(self, stream: ClientStream, sequence: Sequence, sampled: Sampled) -> None:
        """Take a sampled token: it is counted whatever becomes of its text."""
        self.scheduler.append(sequence, sampled.token_id)
        text = self._judge(sequence, sampled.token_id)
        delta = stream.news(sequence, self.codec)
        delta.token_ids.append(sampled.token_id)
        delta.text += text
        if sampled.logprobs is not None:
            silent = self.codec.is_special(sampled.token_id)
            entry = logprobs_to_wire(sampled.logprobs, self.codec.token_bytes, silent=silent)
            delta.logprobs.append(entry)
        if sequence.finished:
            self._forget(stream, sequence)

    def _judge(self, sequence: Sequence, token_id: int) -> str:
        """Decide whether the sequence goes on after a token; return the text it decided."""
        params, detokenizer, count = sequence.params, sequence.detokenizer, sequence.num_generated
        ends = token_id in self._eos and not (params.ignore_eos and params.grammar is None)
        stops = count > params.min_tokens and token_id in params.stop_token_ids
        if ends or (stops and not detokenizer.in_call):
            text = detokenizer.flush()
            sequence.finish(FinishReason.STOP, stop_reason=detokenizer.stop_reason)
            return text
        special = self.codec.is_special(token_id)
        text = detokenizer.feed(
            b"" if special else self.codec.token_bytes(token_id),
            may_stop=count >= params.min_tokens,
        )
        full = len(sequence.tokens) >= self.scheduler.longest(sequence)
        if full:
            text += detokenizer.flush()
        if detokenizer.stop_reason:
            sequence.finish(FinishReason.STOP, stop_reason=detokenizer.stop_reason)
        elif full:
            sequence.finish(FinishReason.LENGTH)
        return text

    def _send(self) -> None:
        frames: Frames = []
        now = self._clock()
        for stream in list(self._streams.values()):
            frame = stream.take(self._step, now)
            if frame is not None:
                frames.append((stream.handle, frame))
            if not stream.sequences:
                del self._streams[stream.handle]
        if frames:
            self.deliver(frames)
        if self._drained and self.scheduler.idle:
            for future in self._drained:
                _answer(future, None)
            self._drained.clear()

    # Commands.

    def _on_submit(self, handle: Hashable, sequence: Sequence) -> None:
        self._coming.receive((sequence.priority, sequence.tenant))
        stream = self._streams.setdefault(handle, ClientStream(handle))
        complaint = self._complaint(stream, sequence)
        if complaint:
            sequence.finish(FinishReason.ERROR, error=complaint)
            stream.add_end(sequence, self.codec)
            return
        if self.draining or self._would_begin_too_late(sequence):
            sequence.finish(FinishReason.OVERLOADED)
            stream.add_end(sequence, self.codec)
            return
        sequence.held = stream.held
        stream.sequences[sequence.sequence_id] = sequence
        self._live[sequence.key] = (stream, sequence)
        if sequence.deadline_s:
            heapq.heappush(self._deadlines, (self._clock() + sequence.deadline_s, sequence.key))
        refused = self.scheduler.submit(sequence)
        if refused is not None:
            refused.retry_after_s = self._retry_after_s()
            self._end(*self._live[refused.key], FinishReason.OVERLOADED)

    def _would_begin_too_late(self, sequence: Sequence) -> bool:
        """Whether a sequence would wait for longer than it may take; says when to try again."""
        turnover = self.statistics.turnover
        if not sequence.deadline_s or not turnover.known:
            return False
        before = num_before(sequence.tenant, sequence.priority, self.scheduler.places())
        sequence.retry_after_s = max(before * turnover.place_s - sequence.deadline_s, 0.0)
        return sequence.retry_after_s > 0

    def _complaint(self, stream: ClientStream, sequence: Sequence) -> str:
        longest = self.scheduler.limits.max_model_len - 1
        if sequence.sequence_id in stream.sequences:
            return f"Sequence {sequence.sequence_id} of this stream is still running."
        if not sequence.tokens:
            return "The prompt is empty; at least one token is needed."
        if len(sequence.tokens) > longest:
            return f"The prompt has {len(sequence.tokens)} tokens; at most {longest} fit."
        ids = [*sequence.tokens, *(token_id for token_id, _ in sequence.params.logit_bias)]
        ids += sequence.params.stop_token_ids
        worst = max(ids)
        if worst >= self.vocab_size:
            return f"Token id {worst} is outside the vocabulary of {self.vocab_size}."
        return ""

    def _on_cancel(self, handle: Hashable, sequence_id: int) -> None:
        stream = self._streams.get(handle)
        if stream is not None and (sequence := stream.sequences.get(sequence_id)) is not None:
            self._end(stream, sequence, FinishReason.CANCELLED)

    def _on_close(self, handle: Hashable) -> None:
        stream = self._streams.pop(handle, None)
        if stream is not None:
            for sequence in list(stream.sequences.values()):
                self._end(stream, sequence, FinishReason.CANCELLED)

    def _on_hold(self, handle: Hashable, held: bool) -> None:
        stream = self._streams.get(handle)
        if stream is not None:
            stream.held = held
            for sequence in stream.sequences.values():
                sequence.held = held

    def _on_drain(self, future: Future[None]) -> None:
        self.draining = True
        self._drained.append(future)

    def _on_stats(self, future: Future[engine_pb2.EngineStats]) -> None:
        _answer(future, self.statistics.to_wire(self.scheduler))

    def _on_stop(self) -> None:
        self._stopped = True

    def _end(
        self, stream: ClientStream, sequence: Sequence, reason: FinishReason, *, error: str = ""
    ) -> None:
        """End a sequence for another reason than its last token."""
        sequence.finish(reason, error=error)
        self._forget(stream, sequence)

    def _forget(self, stream: ClientStream, sequence: Sequence) -> None:
        """Tell of the end of a sequence that has finished, and let it go."""
        stream.add_end(sequence, self.codec)
        self.scheduler.end(sequence, sequence.finish_reason)
        del stream.sequences[sequence.sequence_id]
        del self._live[sequence.key]
        self._num_ended += sequence.finish_reason is not FinishReason.OVERLOADED


def _answer(future: Future[T], value: T) -> None:
    """Give an answer to whoever still waits for it."""
    if future.set_running_or_notify_cancel():
        future.set_result(value)


def _extend_prompt_logprobs(sequence: Sequence, row: Row, result: StepResult) -> None:
    """Add what is new: a preempted prompt is computed again, and its first part is known."""
    entries = result.prompt_logprobs.get(row.key, [])
    first = 0 if row.start == 0 else row.start + 1  # position of entries[0]
    known = len(sequence.prompt_logprobs)
    if sequence.num_deltas == 0:
        sequence.prompt_logprobs += entries[known - first :]
