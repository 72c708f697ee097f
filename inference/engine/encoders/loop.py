"""An encoder's loop: one thread that runs what waits, as many inputs together as fit a step.

Owns the queue and the model. Other threads talk to it through the inbox (`submit`, `cancel`,
`drain`, `stats`, `stop`), and it answers each job through the job's own future. What comes while a
step runs is in the next one: that is all there is to dynamic batching. A cancelled job runs at most
the step under way.
"""

import heapq
import itertools
import logging
import queue
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from inference.engine.encoders.jobs import Answer, Encoder, EncoderLimits, Job, JobEnd, Row
from inference.engine.encoders.queue import JobQueue
from inference.engine.plan import DeviceLostError
from inference.engine.request import FinishReason
from inference.engine.turnover import Turnover
from inference.engine.wire import engine_pb2

logger = logging.getLogger(__name__)
T = TypeVar("T")

WINDOW_S = 10.0


class EncoderLoop:
    """Runs steps until told to stop."""

    def __init__(
        self,
        encoder: Encoder,
        limits: EncoderLimits,
        vocab_size: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Serve inputs whose ids are below `vocab_size`, with nothing queued yet."""
        self.encoder = encoder
        self.limits = limits
        self.queue = JobQueue(limits)
        self.draining = False
        self._vocab_size = vocab_size
        self._clock = clock
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._live: dict[int, Job] = {}  # by key
        self._deadlines: list[tuple[float, int]] = []  # a heap: when, key
        self._keys = itertools.count(1)
        self._drained: list[Future[None]] = []
        self._turnover = Turnover()
        self._stopped = False
        self._started = clock()
        self._num_steps = 0
        self._num_tokens = 0
        self._num_running = 0  # inputs of the last step
        self._num_ended = 0  # in this step
        self._recent: deque[tuple[float, int]] = deque()  # (when, tokens of the step)

    # From any thread.

    def submit(self, job: Job) -> None:
        """Queue a job; `job.end` says how it ended."""
        self._inbox.put(partial(self._on_submit, job))

    def cancel(self, job: Job) -> None:
        """End a job whose client is gone; nothing happens if it has ended."""
        self._inbox.put(partial(self._finish, job, JobEnd(FinishReason.CANCELLED)))

    def full_for_s(self, tenant: str, priority: int, num_tokens: int) -> float:
        """Say at once, not after the step, when to come back with so many tokens; 0: now."""
        full = self.queue.is_full_for(tenant, priority, num_tokens)
        return self._retry_after_s() if full else 0.0

    def _retry_after_s(self) -> float:
        return self._turnover.retry_after_s(self._clock(), len(self._live))

    def drain(self) -> Future[None]:
        """Refuse new jobs from now on; the future is done when the last one has ended."""
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
            if not self._live:
                self._inbox.get()()
            self.step()

    def step(self) -> None:
        """One turn."""
        while not self._inbox.empty():
            self._inbox.get()()
        self._end_overdue()
        began = self._clock()
        taken = self.queue.take()
        self._num_running = len(taken)
        if taken:
            answers = self._run_isolated([job.rows[index] for job, index in taken])
            for (job, index), answer in zip(taken, answers, strict=True):
                self._accept(job, index, answer)
            self._measure(sum(len(job.rows[i].token_ids) for job, i in taken), began)
        if self._drained and not self._live:
            for future in self._drained:
                _answer(future, None)
            self._drained.clear()

    def _end_overdue(self) -> None:
        while self._deadlines and self._deadlines[0][0] <= self._clock():
            _, key = heapq.heappop(self._deadlines)
            if key in self._live:
                self._finish(self._live[key], JobEnd(FinishReason.DEADLINE))

    def _run_isolated(self, rows: Sequence[Row]) -> list[Answer]:
        """Run rows; when that raises, run halves, until the guilty ones stand alone: None."""
        try:
            return self.encoder.run(rows)
        except DeviceLostError:
            raise
        except Exception:
            if len(rows) == 1:
                logger.exception("an input of %d tokens crashed its step", len(rows[0].token_ids))
                return [None]
            logger.warning("a step of %d inputs crashed; bisecting", len(rows))
        middle = len(rows) // 2
        return [*self._run_isolated(rows[:middle]), *self._run_isolated(rows[middle:])]

    def _accept(self, job: Job, index: int, answer: Answer) -> None:
        if job.key not in self._live:
            return
        if answer is None:
            sentence = f"The engine could not compute input {index} of this request."
            logger.warning("request %s fails: %s", job.request_id, sentence)
            self._finish(job, JobEnd(FinishReason.ERROR, error=sentence))
            return
        job.answers[index] = answer
        if len(job.answers) == len(job.rows):
            answers = tuple(job.answers[n] for n in range(len(job.rows)))
            self._finish(job, JobEnd(FinishReason.STOP, answers))

    def _measure(self, num_tokens: int, began: float) -> None:
        now = self._clock()
        self._num_steps += 1
        self._num_tokens += num_tokens
        self._recent.append((now, num_tokens))
        self._turnover.note(now - began, self._num_ended, crowded=self.queue.num_tokens > 0)
        self._num_ended = 0

    # Commands.

    def _on_submit(self, job: Job) -> None:
        job.key = next(self._keys)
        self._live[job.key] = job
        complaint = self._complaint(job)
        if complaint:
            self._finish(job, JobEnd(FinishReason.ERROR, error=complaint))
        elif self.draining:
            self._finish(job, JobEnd(FinishReason.OVERLOADED))
        else:
            if job.deadline_s:
                due = self._clock() + job.deadline_s
                heapq.heappush(self._deadlines, (due, job.key))
            refused = self.queue.submit(job)
            if refused is not None:
                end = JobEnd(FinishReason.OVERLOADED, retry_after_s=self._retry_after_s())
                self._finish(refused, end)

    def _complaint(self, job: Job) -> str:
        if not job.rows:
            return "There is nothing to encode."
        longest = self.limits.max_model_len
        for index, row in enumerate(job.rows):
            if not row.token_ids:
                return f"Input {index} is empty."
            if len(row.token_ids) > longest:
                return f"Input {index} has {len(row.token_ids)} tokens; at most {longest} fit."
            worst = max(*row.token_ids, *row.target_ids, 0)
            if worst >= self._vocab_size:
                return f"Token id {worst} is outside the vocabulary of {self._vocab_size}."
        return ""

    def _on_drain(self, future: Future[None]) -> None:
        self.draining = True
        self._drained.append(future)

    def _on_stats(self, future: Future[engine_pb2.EngineStats]) -> None:
        now = self._clock()
        while self._recent and self._recent[0][0] < now - WINDOW_S:
            self._recent.popleft()
        uptime = now - self._started
        waiting = self.queue.jobs
        stats = engine_pb2.EngineStats(
            # Asked between two steps, of which the next will be like the last.
            num_running=self._num_running if self._live else 0,
            num_waiting=self.queue.num_inputs,
            steps=self._num_steps,
            prompt_tokens=self._num_tokens,
            tokens_per_s=sum(n for _, n in self._recent) / min(WINDOW_S, max(uptime, 1e-3)),
            uptime_ms=int(uptime * 1000),
            queue_ms=int(len(waiting) * self._turnover.place_s * 1000) if waiting else 0,
        )
        _answer(future, stats)

    def _on_stop(self) -> None:
        self._stopped = True

    def _finish(self, job: Job, end: JobEnd) -> None:
        """End a job, once."""
        if self._live.pop(job.key, None) is None:
            return
        self.queue.remove(job)
        self._num_ended += end.reason is not FinishReason.OVERLOADED
        _answer(job.end, end)


def _answer(future: Future[T], value: T) -> None:
    """Give an answer to whoever still waits for it."""
    if future.set_running_or_notify_cancel():
        future.set_result(value)
