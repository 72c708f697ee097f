"""Counts since the start, and the pace of the last seconds."""

import time
from collections import deque

from inference.engine.plan import Plan
from inference.engine.scheduler import Scheduler
from inference.engine.turnover import Turnover
from inference.engine.wire import engine_pb2

WINDOW_S = 10.0


class Statistics:
    """Written and read by the loop's thread only."""

    def __init__(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()
        self._recent: deque[tuple[float, int]] = deque()  # (when, tokens sampled)
        self._recent_tokens = 0
        self._steps = 0
        self._prompt_tokens = 0
        self._generated_tokens = 0
        self.turnover = Turnover()

    def count_step(self, plan: Plan, num_sampled: int) -> None:
        """Record one step."""
        if not plan.rows:
            return
        self._steps += 1
        self._prompt_tokens += sum(
            max(0, min(row.start + row.num_tokens, row.num_prompt_tokens) - row.start)
            for row in plan.rows
        )
        self._generated_tokens += num_sampled
        self._recent.append((time.monotonic(), num_sampled))
        self._recent_tokens += num_sampled
        self._expire()

    def _expire(self) -> None:
        horizon = time.monotonic() - WINDOW_S
        while self._recent and self._recent[0][0] < horizon:
            self._recent_tokens -= self._recent.popleft()[1]

    def to_wire(self, scheduler: Scheduler) -> engine_pb2.EngineStats:
        """Write the counts, together with the scheduler's present state."""
        self._expire()
        uptime = time.monotonic() - self._started
        return engine_pb2.EngineStats(
            num_running=len(scheduler.running),
            num_waiting=scheduler.num_waiting,
            kv_blocks_total=scheduler.pool.num_blocks,
            kv_blocks_used=scheduler.pool.num_used,
            steps=self._steps,
            prompt_tokens=self._prompt_tokens,
            cached_prompt_tokens=scheduler.num_cached_tokens,
            generated_tokens=self._generated_tokens,
            preemptions=scheduler.num_preemptions,
            tokens_per_s=self._recent_tokens / min(WINDOW_S, max(uptime, 1e-3)),
            uptime_ms=int(uptime * 1000),
            queue_ms=int(scheduler.num_waiting * self.turnover.place_s * 1000),
        )
