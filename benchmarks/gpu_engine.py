"""An engine driven by hand for `gpu.py`: everything of it but requests, frames and grammars.

A step here is what a step of the loop is: planned, launched, read, its tokens accepted and decoded.
Frames are not built, since that takes a library that a GPU machine may lack.
"""

import itertools
import math
import statistics
from typing import Any

import torch
from torch import Tensor

from inference.engine.batch import Batch, build_batch
from inference.engine.block_pool import BlockPool
from inference.engine.cuda import BLOCK_SIZE, set_precision, with_graphs
from inference.engine.detokenizer import Detokenizer
from inference.engine.kv_cache import KVCache, bytes_per_block
from inference.engine.lean import lean_model
from inference.engine.limits import SchedulerLimits
from inference.engine.lookahead import Steps
from inference.engine.model import CausalModel, HuggingFaceModel
from inference.engine.params import SamplingParams
from inference.engine.plan import Launch, Plan, Row
from inference.engine.request import FinishReason, Sequence
from inference.engine.runner import LaunchingRunner, ModelLaunch, ModelRunner
from inference.engine.sampler import Sampler
from inference.engine.scheduler import Scheduler

NEXT = 5  # the token that comes after a prompt when forms are compared


class NoGrammars:
    """Masks of requests none of which has a grammar."""

    def of(self, rows: tuple[Row, ...]) -> None:
        return None

    def release(self, keys: tuple[int, ...]) -> None:
        return None


class TimedModel:
    """Notes on the device when each forward pass begins."""

    def __init__(self, model: CausalModel) -> None:
        self.vocab_size = model.vocab_size
        self.begins: list[Any] = []
        self._model = model

    def logits(self, batch: Batch, cache: KVCache) -> Tensor:
        note(self.begins, batch.slots.device)
        return self._model.logits(batch, cache)


class TimedRunner(LaunchingRunner):
    """Notes on the device when all that a step was asked for is done."""

    ends: list[Any]

    def launch(self, plan: Plan, after: Launch | None = None) -> ModelLaunch:
        launched = super().launch(plan, after)
        note(self.ends, self._device)
        return launched


def note(moments: list[Any], device: torch.device) -> None:
    """Add the moment at which the device has done what it was asked for so far."""
    if device.type == "cuda":
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        moments.append(event)


class Engine:
    """A model with its cache, ready to run."""

    def __init__(self, module: Any, *, max_running: int, max_model_len: int, budget: int) -> None:
        """Put together what `build.assemble` would, with room for `max_running` long sequences."""
        base = HuggingFaceModel(module)
        self.device, self.vocab_size = base.device, base.vocab_size
        self._count_weights(module, base)
        if self.device.type == "cuda":
            set_precision()
        self.limits = SchedulerLimits(max_model_len, budget, max_running, max_stretch=0)
        block_size = BLOCK_SIZE if self.device.type == "cuda" else 16
        num_blocks = max_running * math.ceil(max_model_len / block_size) + max_running
        base.verify(block_size)
        self.cache = KVCache(base.shapes, num_blocks, block_size, base.dtype, self.device)
        self.eager = lean_model(base, self.cache) or base
        self.replayed = with_graphs(base, self.eager, self.cache, self.limits)
        self.form = type(self.replayed).__name__
        self._num_blocks = num_blocks
        self._model = TimedModel(self.replayed)
        sampler = Sampler(base.vocab_size, (), self.device)
        parts: Any = (self._model, self.cache, sampler, NoGrammars(), self.device)
        self._runner, self._plain = TimedRunner(*parts), ModelRunner(*parts)
        self._next_key = 1
        self.begin()

    def _count_weights(self, module: Any, base: HuggingFaceModel) -> None:
        """Note what a step reads: all weights, but of the input embedding only a few rows."""
        config = module.config
        table = config.vocab_size * config.hidden_size
        tied = bool(config.tie_word_embeddings)
        self._num_layer_weights = base.num_parameters - table * (1 if tied else 2)
        self._num_head_weights = table
        self.weight_bytes = (self._num_layer_weights + table) * base.dtype.itemsize
        self.kv_bytes = bytes_per_block(base.shapes, 1, base.dtype)
        self._attention_width = config.num_attention_heads * base.shapes[0].key_dim
        self._num_layers = len(base.shapes)

    def prompt_operations(self, length: int) -> float:
        """Count multiplications and additions of one prompt whose last token is sampled from."""
        attention = 4 * self._attention_width * length * (length + 1) / 2 * self._num_layers
        return 2 * (self._num_layer_weights * length + self._num_head_weights) + attention

    def begin(self, *, ahead: bool = True) -> None:
        """Forget all sequences and computed prefixes: the same work takes the same steps."""
        pool = BlockPool(self._num_blocks, self.cache.block_size)
        self._scheduler = Scheduler(self.limits, pool)
        runner = self._runner if ahead else self._plain
        self._steps = Steps(self._scheduler, runner)
        self._sequences: dict[int, Sequence] = {}
        self.forget_timings()

    def sequences(self) -> list[Sequence]:
        """Return those that have not ended."""
        return list(self._sequences.values())

    def submit(self, prompt: list[int], max_tokens: int, temperature: float = 1.0) -> Sequence:
        """Queue a sequence."""
        params = SamplingParams(max_tokens=max_tokens, temperature=temperature)
        sequence = Sequence(self._next_key, "", list(prompt), params, Detokenizer())
        self._next_key += 1
        self._sequences[sequence.key] = sequence
        self._scheduler.submit(sequence)
        return sequence

    def step(self) -> None:
        """Run a step and take its tokens in."""
        plan, result = self._steps.next()
        if result.failures:
            raise RuntimeError(next(iter(result.failures.values())))
        for row in plan.rows:
            sequence = self._sequences[row.key]
            self._scheduler.advance(sequence, row.num_tokens)
            sampled = result.sampled.get(row.key)
            if sampled is not None:
                self._scheduler.append(sequence, sampled.token_id)
                sequence.detokenizer.feed(b"token", may_stop=True)
                if sequence.num_generated >= sequence.params.max_tokens:
                    self._end(sequence)

    def run(self) -> None:
        """Step until everything has ended."""
        while self._sequences:
            self.step()

    def generate(
        self, requests: list[list[int]], num_tokens: int, *, ahead: bool = True
    ) -> list[list[int]]:
        """Return what a greedy model says to each request."""
        self.begin(ahead=ahead)
        sequences = [self.submit(prompt, num_tokens, temperature=0.0) for prompt in requests]
        self.run()
        return [sequence.tokens[sequence.num_prompt_tokens :] for sequence in sequences]

    def _end(self, sequence: Sequence) -> None:
        self._scheduler.end(sequence, FinishReason.LENGTH)
        del self._sequences[sequence.key]

    # What the device noted.

    def forget_timings(self) -> None:
        """Begin anew."""
        self._model.begins = []
        self._runner.ends = []

    def gap(self) -> float | None:
        """Return how much of a step the device stands idle before the next one, the median.

        Copying a step's inputs counts as idle. None where the device keeps no time.
        """
        begins, ends = self._model.begins, self._runner.ends
        if len(begins) < 3:
            return None
        torch.cuda.synchronize(self.device)
        idle = [end.elapsed_time(begin) for end, begin in zip(ends, begins[1:], strict=False)]
        whole = [a.elapsed_time(b) for a, b in itertools.pairwise(begins)]
        return statistics.median(idle) / statistics.median(whole)

    # Whether it is right.

    def compare_forms(self, prompts: list[list[int]]) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits: of a prompt's end, and of a decode step, launched and replayed."""
        params = SamplingParams(max_tokens=1)
        width = self.cache.block_size
        per_row = math.ceil((len(prompts[0]) + 1) / width)

        def rows(start: int, count: int) -> Plan:
            return Plan(
                0,
                tuple(
                    Row(
                        key, [*prompt, NEXT][: start + count], len(prompt), start, count,
                        list(range(1 + key * per_row, 1 + (key + 1) * per_row)), params, 0, True,
                    )
                    for key, prompt in enumerate(prompts)
                ),
            )  # fmt: skip

        length = len(prompts[0])
        chunk = build_batch(rows(0, length), width, self.device)
        single = build_batch(rows(length, 1), width, self.device)
        with torch.inference_mode():
            prompt_logits = self.replayed.logits(chunk, self.cache)[0].clone()
            eager = self.eager.logits(single, self.cache).clone()
            return prompt_logits, eager, self.replayed.logits(single, self.cache).clone()
