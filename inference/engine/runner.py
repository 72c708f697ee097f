"""The device half: runs a plan on a model.

Owns the cache tensors, the model and the sampler. Repeatable: a row run twice writes the same
slots and samples the same token, which `isolation.py` relies on.
"""

from itertools import islice

import torch
from torch import Tensor

from inference.engine.batch import Batch, build_batch
from inference.engine.grammar_masks import GrammarMasks
from inference.engine.kv_cache import KVCache
from inference.engine.model import CausalModel
from inference.engine.plan import DeviceLostError, Logprobs, Plan, Row, Sampled, StepResult
from inference.engine.sampler import Sampler
from inference.engine.scores import describe

NOT_NUMBERS = "The model produced no valid probabilities for this request."


class ModelRunner:
    """Runs plans."""

    def __init__(
        self,
        model: CausalModel,
        cache: KVCache,
        sampler: Sampler,
        masks: GrammarMasks,
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
        self._sampler.release(plan.released)
        self._masks.release(plan.released)
        try:
            with torch.inference_mode():
                return self._run(plan)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()  # the halves of the step may fit
            raise
        except torch.AcceleratorError as error:
            raise DeviceLostError(str(error)) from error
        except RuntimeError:
            self._prove_device()
            raise

    def _prove_device(self) -> None:
        """Raise DeviceLostError if the device answers nothing any more."""
        if self._device.type == "cuda":
            try:
                torch.cuda.synchronize(self._device)
            except RuntimeError as error:
                raise DeviceLostError(str(error)) from error

    def _run(self, plan: Plan) -> StepResult:
        batch = build_batch(plan, self._cache.block_size, self._device)
        logits = self._model.logits(batch, self._cache)  # (N, V)
        result = StepResult()
        for row, first, last in batch.prompt_ranges:
            result.prompt_logprobs[row.key] = _describe_prompt(row, logits[first:last])
        if batch.sampling:
            self._sample(batch, logits, result)
        return result

    def _sample(self, batch: Batch, logits: Tensor, result: StepResult) -> None:
        if len(batch.sampling) != logits.shape[0]:
            logits = logits[list(batch.sampling_index)]
        masks = self._masks.of(batch.sampling)  # on the CPU, while a GPU computes the logits
        drawn = iter(self._sampler.draw(logits, batch.sampling, masks).read())
        previous: int | None = None
        for row in batch.sampling:
            if row.key != previous:
                _keep_confirmed(row, list(islice(drawn, len(row.drafts) + 1)), result)
            previous = row.key
        if masks is not None:
            result.failures.update(masks.failures)


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


def _describe_prompt(row: Row, logits: Tensor) -> list[Logprobs]:
    """Describe the prompt tokens that the logits (num_tokens, V) of this chunk predict."""
    end = min(row.start + row.num_tokens + 1, row.num_prompt_tokens)
    token_ids = row.tokens[row.start + 1 : end]
    entries = [Logprobs(row.tokens[0], None)] if row.start == 0 else []
    if token_ids:
        depths = [row.params.prompt_logprobs or 0] * len(token_ids)
        entries += describe(logits[: len(token_ids)], token_ids, depths)
    return entries
