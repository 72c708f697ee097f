"""An engine without a model: the same server, loop and scheduler over a runner that recites.

It ships, so that the whole site runs where torch is not installed, and tests drive it into every
corner: a given text, a pace, a crash, a hang, a request that crashes a step, frames in odd pieces.
The text is a function of the prompt alone, bent by a grammar. Imports neither torch nor
transformers.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np

from inference.engine.block_pool import BlockPool
from inference.engine.fake_codec import END_OF_TEXT, MESSAGE_END, MESSAGE_START, FakeCodec
from inference.engine.grammar import Grammars, read_vocabulary
from inference.engine.grammar_masks import GrammarMasks
from inference.engine.limits import SchedulerLimits
from inference.engine.loop import Frames
from inference.engine.plan import DeviceLostError, Logprobs, Plan, Row, Sampled, StepResult
from inference.engine.scheduler import Scheduler
from inference.engine.server import EngineServer, Served
from inference.engine.wire import engine_pb2

QUOTED_CHARS = 200
# What the fake writes where a grammar does not allow its text: the end as soon as it may, else what
# comes first here, which closes whatever is open.
SHORTEST = b'"}]),:0123456789abcdefghijklmnopqrstuvwxyz{[('


@dataclass(frozen=True, slots=True)
class FakeOptions:
    """How the fake behaves. Counts are of sampled tokens since the start."""

    model: str = "fake"
    text: str | None = None  # what every answer says; None: it quotes the prompt
    tokens_per_second: float = 0.0  # of each sequence; 0: as fast as it can
    turnstile: threading.Semaphore | None = None  # every step passes it: a test turns it
    crash_after: int | None = None  # the process, like a lost device
    hang_after: int | None = None  # the loop, for good
    fail_on: str = ""  # a prompt with this text crashes every step it is in
    odd_pieces: bool = False  # frames arrive late and merged
    num_blocks: int = 4096
    block_size: int = 16
    limits: SchedulerLimits = field(
        default_factory=lambda: SchedulerLimits(max_model_len=8192, token_budget=2048)
    )


class FakeRunner:
    """Recites a script for each sequence, at a given pace."""

    def __init__(self, options: FakeOptions, codec: FakeCodec, masks: GrammarMasks) -> None:
        """Recite as `options` say, within `masks`."""
        self._options = options
        self._codec = codec
        self._masks = masks
        self._scripts: dict[int, list[int]] = {}
        self._num_sampled = 0
        self._next_step_at = 0.0
        self.awake = threading.Event()  # ends a hang, so that a test can leave

    def run(self, plan: Plan) -> StepResult:
        """Sample the next token of each script."""
        for key in plan.released:
            self._scripts.pop(key, None)
        self._masks.release(plan.released)
        if self._options.fail_on:
            self._fail(plan)
        result = StepResult()
        allowed = self._allowed(plan, result)
        for row in plan.rows:
            if row.params.prompt_logprobs is not None:
                result.prompt_logprobs[row.key] = _prompt_logprobs(row)
            if row.samples and row.key not in result.failures:
                result.sampled[row.key] = self._sample(row, allowed.get(row.key))
        if result.sampled:
            self._keep_pace()
            self._break_down(len(result.sampled))
        return result

    def _fail(self, plan: Plan) -> None:
        for row in plan.rows:
            prompt = self._codec.decode(row.tokens[: row.num_prompt_tokens])
            if self._options.fail_on in prompt:
                raise RuntimeError("a poisoned request, as asked for")

    def _allowed(self, plan: Plan, result: StepResult) -> dict[int, list[int]]:
        """Return the ids that a grammar allows, by key; note where it cannot be followed."""
        sampling = tuple(row for row in plan.rows if row.samples)
        masks = self._masks.of(sampling)
        if masks is None:
            return {}
        result.failures.update(masks.failures)
        bits = np.unpackbits(masks.bits, axis=1, bitorder="little")
        return {
            sampling[index].key: np.flatnonzero(bits[place]).tolist()
            for place, index in enumerate(masks.rows)
        }

    def _sample(self, row: Row, allowed: list[int] | None) -> Sampled:
        script = self._scripts.get(row.key)
        if script is None:
            script = self._scripts[row.key] = self._write_script(row)
        said = row.tokens[row.num_prompt_tokens : row.length]
        position = row.length - row.num_prompt_tokens  # the last of `said` may not be known yet
        endless = row.params.ignore_eos or position < row.params.min_tokens
        if position < len(script) or (endless and script):
            token_id = script[position % len(script)]
        else:
            token_id = ord(" ") if endless else END_OF_TEXT
        if allowed is not None and (token_id not in allowed or said != script[: len(said)]):
            token_id = _shortest(allowed)
        top = row.params.logprobs
        return Sampled(token_id, None if top is None else _logprobs(token_id, top))

    def _write_script(self, row: Row) -> list[int]:
        text = self._options.text
        if text is None:
            quoted = self._last_message(row.tokens[: row.num_prompt_tokens])[:QUOTED_CHARS]
            text = (
                f'You wrote: "{quoted}". This is the stand-in engine: it needs no model, always '
                "gives the same answer, and counts every token of it. Grüße, 你好 and 👋🏽 too."
            )
        return self._codec.encode_text(text)

    def _last_message(self, prompt: list[int]) -> str:
        messages: list[list[int]] = [[]]
        for token_id in prompt:
            if token_id == MESSAGE_START:
                messages.append([])
            elif token_id != MESSAGE_END:
                messages[-1].append(token_id)
        texts = [self._codec.decode(message) for message in messages]
        asked = [text.removeprefix("user\n") for text in texts if text.startswith("user\n")]
        return asked[-1] if asked else texts[0]

    def _keep_pace(self) -> None:
        if self._options.turnstile is not None:
            self._options.turnstile.acquire()
        pace = self._options.tokens_per_second
        if pace > 0:
            now = time.monotonic()
            self._next_step_at = max(now, self._next_step_at + 1 / pace)
            time.sleep(self._next_step_at - now)

    def _break_down(self, num_sampled: int) -> None:
        self._num_sampled += num_sampled
        options = self._options
        if options.crash_after is not None and self._num_sampled > options.crash_after:
            raise DeviceLostError("crashed, as asked for")
        if options.hang_after is not None and self._num_sampled > options.hang_after:
            self.awake.wait()


def _shortest(allowed: list[int]) -> int:
    """Return what ends a text soonest, of the ids that may follow it."""
    if END_OF_TEXT in allowed:
        return END_OF_TEXT
    return next((char for char in SHORTEST if char in allowed), allowed[0])


def _logprobs(token_id: int, num_top: int) -> Logprobs:
    others = ((token_id + offset) % 256 for offset in range(1, num_top))
    top = [(token_id, -0.25), *((other, -2.0 - rank) for rank, other in enumerate(others))]
    return Logprobs(token_id, -0.25, tuple(top[:num_top]))


def _prompt_logprobs(row: Row) -> list[Logprobs]:
    end = min(row.start + row.num_tokens + 1, row.num_prompt_tokens)
    entries = [_logprobs(t, row.params.prompt_logprobs or 0) for t in row.tokens[row.start : end]]
    return [Logprobs(row.tokens[0], None), *entries[1:]] if row.start == 0 else entries[1:]


class OddPieces:
    """Holds frames back and merges them, up to five steps at a time; loses nothing."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._held: dict[Hashable, engine_pb2.StepFrame] = {}
        self._waits = deque((0, 4, 1, 2, 0, 3))
        self._left: dict[Hashable, int] = {}

    def __call__(self, frames: Frames) -> Frames:
        """Return what is let through of this step's frames."""
        through: Frames = []
        for handle, frame in frames:
            held = self._held.setdefault(handle, engine_pb2.StepFrame())
            _merge(held, frame)
            left = self._left.get(handle, 0)
            if left == 0 or any(delta.finish_reason for delta in frame.deltas):
                through.append((handle, self._held.pop(handle)))
                self._waits.rotate(-1)
                left = self._waits[0] + 1
            self._left[handle] = left - 1
        return through


def _merge(held: engine_pb2.StepFrame, frame: engine_pb2.StepFrame) -> None:
    held.step = frame.step
    known = {delta.sequence_id: delta for delta in held.deltas}
    for delta in frame.deltas:
        earlier = known.get(delta.sequence_id)
        if earlier is None:
            held.deltas.append(delta)
        else:
            text = earlier.text + delta.text
            earlier.MergeFrom(delta)
            earlier.text = text


def build(options: FakeOptions) -> Served:
    """Put a fake engine together."""
    codec = FakeCodec()
    pool = BlockPool(options.num_blocks, options.block_size)
    grammars = Grammars(read_vocabulary(codec, codec.vocab_size))
    return Served(
        model=options.model,
        revision="fake",
        device="cpu",
        dtype="float32",
        arithmetic="recited",
        vocab_size=codec.vocab_size,
        codec=codec,
        scheduler=Scheduler(options.limits, pool),
        runner=FakeRunner(options, codec, GrammarMasks(grammars)),
        grammars=grammars,
        reshape=OddPieces() if options.odd_pieces else None,
    )


@asynccontextmanager
async def running(
    options: FakeOptions | None = None, listen: str = "127.0.0.1:0"
) -> AsyncIterator[tuple[str, EngineServer]]:
    """Run a fake engine in this process; yield its address and its server."""
    served = build(options or FakeOptions())
    server = EngineServer(served)
    address = await server.start(listen)
    try:
        yield address, server
    finally:
        assert isinstance(served.runner, FakeRunner)
        served.runner.awake.set()
        await asyncio.shield(server.stop(grace_s=1.0))
