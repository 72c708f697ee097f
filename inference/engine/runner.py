"""The device half: runs a plan on a model.

Owns the cache tensors, the model and the sampler. Repeatable: a row run twice writes the same
slots and samples the same token, which `isolation.py` relies on.

`run` waits for its step. A `LaunchingRunner` can also start one and go on; everything is queued on
one stream, in the order of the calls, so a step finds what the steps before it stored.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from inference.engine.batch import Batch, build_batch
from inference.engine.kv_cache import KVCache
from inference.engine.model import CausalModel
from inference.engine.plan import (
    DeviceLostError,
    Launch,
    Logprobs,
    Plan,
    Row,
    Sampled,
    StepResult,
)
from inference.engine.sampler import Drawn, Sampler
from inference.engine.scores import Scores
from inference.engine.transfers import to_device

if TYPE_CHECKING:  # whose library nothing needs that has no grammar
    from inference.engine.grammar_masks import GrammarMasks

NOT_NUMBERS = "The model produced no valid probabilities for this request."


class ModelRunner:
    """Runs plans."""

    def __init__(
        self,
        model: CausalModel,
        cache: KVCache,
        sampler: Sampler,
        masks: "GrammarMasks",
        device: torch.device,
    ) -> None:
        """Run `model` on `device` with `cache`."""
        self._model = model
        self._cache = cache
        self._sampler = sampler
        self._masks = masks
        self._device = device

    def run(self, plan: Plan) -> StepResult:
        """Compute one step. DeviceLostError when the device cannot be used any more."""
        return self._start(plan, None).result()

    def _start(self, plan: Plan, token_ids: Tensor | None) -> "ModelLaunch":
        self._sampler.release(plan.released)
        self._masks.release(plan.released)
        with guard(self._device), torch.inference_mode():
            batch = build_batch(plan, self._cache.block_size, self._device, token_ids)
            self._cache.use(batch.layout.block_tables)
            logits = self._model.logits(batch, self._cache)  # (N, V)
            prompts = [
                _score_prompt(row, logits[first:last]) for row, first, last in batch.prompt_ranges
            ]
            launch = ModelLaunch(self._device, batch.sampling, prompts)
            if batch.sampling:
                self._draw(batch, logits, launch)
        return launch

    def _draw(self, batch: Batch, logits: Tensor, launch: "ModelLaunch") -> None:
        if len(batch.sampling) != logits.shape[0]:
            logits = logits[to_device(batch.sampling_index, torch.int64, self._device)]
        masks = self._masks.of(batch.sampling)  # on the CPU, while a GPU computes the logits
        launch.drawn = self._sampler.draw(logits, batch.sampling, masks)
        if masks is not None:
            launch.failures = masks.failures


class LaunchingRunner(ModelRunner):
    """For a device that works on its own: a step can be started before the last one is read."""

    def launch(self, plan: Plan, after: Launch | None = None) -> "ModelLaunch":
        """Start one step, with the tokens of the step before it if nobody has read them yet."""
        if after is None:
            return self._start(plan, None)
        assert isinstance(after, ModelLaunch)
        with guard(self._device), torch.inference_mode():
            token_ids = after.tokens_of(plan.rows)
        return self._start(plan, token_ids)


class ModelLaunch:
    """A step under way."""

    def __init__(
        self,
        device: torch.device,
        sampling: tuple[Row, ...],
        prompts: "list[_PromptScores]",
    ) -> None:
        """Take the rows that sample, and what was asked about prompts."""
        self.misled = False
        self.drawn: Drawn | None = None
        self.failures: dict[int, str] = {}  # known before the device has answered
        self._device = device
        self._sampling = sampling
        self._prompts = prompts

    def tokens_of(self, rows: tuple[Row, ...]) -> Tensor:
        """Return the tokens that this step samples for these rows, (R,), on the device."""
        assert self.drawn is not None, "a step that samples nothing is followed by no other"
        places = {row.key: place for place, row in enumerate(self._sampling)}
        wanted = to_device([places[row.key] for row in rows], torch.int64, self._device)
        return self.drawn.token_ids[wanted]

    def result(self) -> StepResult:
        """Wait for the device; DeviceLostError when it cannot be used any more."""
        result = StepResult()
        with guard(self._device):
            for prompt in self._prompts:
                scores = prompt.read()
                result.prompt_logprobs[prompt.row.key] = scores
                if any(math.isnan(entry.logprob) for entry in scores if entry.logprob is not None):
                    result.failures[prompt.row.key] = NOT_NUMBERS
            if self.drawn is not None:
                self._keep(self.drawn.read(), result)
                self.misled = self.drawn.redrawn
        result.failures.update(self.failures)
        return result

    def _keep(self, sampled: list[Sampled | None], result: StepResult) -> None:
        drawn = iter(sampled)
        previous: int | None = None
        for row in self._sampling:
            if row.key != previous:
                _keep_confirmed(row, list(islice(drawn, len(row.drafts) + 1)), result)
            previous = row.key


def _keep_confirmed(row: Row, drawn: list[Sampled | None], result: StepResult) -> None:
    """Keep what was drawn after right guesses only: the first, and more while the drafts agree."""
    kept: list[Sampled] = []
    for sampled, draft in zip(drawn, (*row.drafts, None), strict=True):
        if sampled is None:
            break
        kept.append(sampled)
        if sampled.token_id != draft:
            break
    if not kept:
        result.failures[row.key] = NOT_NUMBERS
        return
    result.sampled[row.key] = kept[0]
    if row.drafts:
        result.further[row.key] = kept[1:]


@dataclass(frozen=True, slots=True)
class _PromptScores:
    """The prompt tokens that a chunk's logits predict, and what they say of them."""

    row: Row
    token_ids: list[int]
    scores: Scores | None

    def read(self) -> list[Logprobs]:
        first = [Logprobs(self.row.tokens[0], None)] if self.row.start == 0 else []
        return first + (self.scores.read(self.token_ids) if self.scores is not None else [])


def _score_prompt(row: Row, logits: Tensor) -> _PromptScores:
    """Score the prompt tokens that the logits (num_tokens, V) of this chunk predict."""
    end = min(row.start + row.num_tokens + 1, row.num_prompt_tokens)
    token_ids = row.tokens[row.start + 1 : end]
    if not token_ids:
        return _PromptScores(row, [], None)
    depths = [row.params.prompt_logprobs or 0] * len(token_ids)
    known = to_device(token_ids, torch.int64, logits.device)
    return _PromptScores(row, token_ids, Scores(logits[: len(token_ids)], known, depths))


@contextmanager
def guard(device: torch.device) -> Iterator[None]:
    """Make room after a step that was too large; tell a lost device from a failed step."""
    try:
        yield
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()  # the halves of the step may fit
        raise
    except torch.AcceleratorError as error:
        raise DeviceLostError(str(error)) from error
    except RuntimeError:
        _prove(device)
        raise


def _prove(device: torch.device) -> None:
    """Raise DeviceLostError if the device answers nothing any more."""
    if device.type == "cuda":
        try:
            torch.cuda.synchronize(device)
        except RuntimeError as error:
            raise DeviceLostError(str(error)) from error
