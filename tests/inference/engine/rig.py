"""What several tests of the engine use: tiny random models and a loop driven by hand."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from inference.engine.codec import Codec
from inference.engine.detokenizer import Detokenizer
from inference.engine.grammar import Grammars
from inference.engine.loop import EngineLoop, Frames
from inference.engine.params import SamplingParams
from inference.engine.plan import Runner
from inference.engine.request import Sequence
from inference.engine.scheduler import Scheduler
from inference.engine.tool_formats import FORMATS
from inference.engine.wire import engine_pb2
from tests.inference.engine.desk import check


@dataclass
class Outcome:
    """All that was said about one sequence."""

    token_ids: list[int] = field(default_factory=list)
    text: str = ""
    finish: str = ""
    error: str = ""
    stop_reason: str = ""
    cached_tokens: int | None = None
    deltas: list[engine_pb2.SequenceDelta] = field(default_factory=list)

    def take(self, delta: engine_pb2.SequenceDelta) -> None:
        assert not self.finish, "a delta after the last one"
        self.token_ids += delta.token_ids
        self.text += delta.text
        self.deltas.append(delta)
        if delta.HasField("cached_tokens"):
            assert self.cached_tokens is None, "cached_tokens came twice"
            self.cached_tokens = delta.cached_tokens
        if delta.finish_reason:
            self.finish = engine_pb2.FinishReason.Name(delta.finish_reason)
            self.error, self.stop_reason = delta.error, delta.stop_reason


def steady_clock() -> Callable[[], float]:
    """A clock that a millisecond passes on whenever it is read.

    The share of a step that prompts get depends on how long steps take (`pace.py`): by this clock
    all take as long, and which sequences meet does not depend on the machine.
    """
    ticks = count()
    return lambda: next(ticks) / 1000


class Bench:
    """An engine loop without threads or sockets. The pool is proven whole after every step."""

    def __init__(
        self,
        scheduler: Scheduler,
        runner: Runner,
        codec: Codec,
        vocab_size: int,
        grammars: Grammars | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.scheduler = scheduler
        self.grammars = grammars
        clock = clock or steady_clock()
        self.loop = EngineLoop(scheduler, runner, codec, self._deliver, vocab_size, clock)
        self.outcomes: dict[int, Outcome] = {}
        self.num_steps = 0
        self._ids = 0

    def _deliver(self, frames: Frames) -> None:
        for _, frame in frames:
            assert frame.deltas, "a frame without news"
            for delta in frame.deltas:
                self.outcomes[delta.sequence_id].take(delta)

    def submit(self, tokens: Iterable[int], tenant: str = "alice", **params: Any) -> Outcome:
        self._ids += 1
        priority = params.pop("priority", 0)
        handle = params.pop("handle", "stream")
        deadline_s = params.pop("deadline_s", 0.0)
        params.setdefault("temperature", 0.0)
        sampling = SamplingParams(**params)
        sequence = Sequence(
            key=self.loop.new_key(),
            tenant=tenant,
            tokens=list(tokens),
            params=sampling,
            detokenizer=Detokenizer(sampling.stop, FORMATS.get(sampling.tool_format)),
            priority=priority,
            deadline_s=deadline_s,
            sequence_id=self._ids,
            request_id=f"req_{self._ids}",
        )
        if sampling.grammar is not None:
            assert self.grammars is not None
            known = self.grammars.find(sampling.grammar)
            sequence.grammar = known or self.grammars.compile(sampling.grammar)
        self.outcomes[self._ids] = Outcome()
        self.loop.submit(handle, sequence)
        return self.outcomes[self._ids]

    def step(self) -> None:
        self.loop.step()
        check(self.scheduler)
        self.num_steps += 1

    def run(self, limit: int = 10_000) -> None:
        self.step()
        while not self.scheduler.idle:
            self.step()
            assert self.num_steps < limit, "the engine does not come to an end"
        assert self.scheduler.pool.num_used == 0
