"""What an engine does at its start on a GPU and nowhere else.

Owns the rules of its arithmetic, the measure of what a step allocates beside weights and cache, the
choice to run decode steps as graphs, and that all kernels are compiled before anybody is served.
"""

import logging
import time
from collections.abc import Iterator

import torch

from inference.engine.attention import kernels_work
from inference.engine.batch import build_batch
from inference.engine.graphs import DIVIDED, Capture, CudaCapture, GraphedModel, ladder
from inference.engine.kv_cache import KVCache
from inference.engine.lean import LeanModel
from inference.engine.limits import SchedulerLimits
from inference.engine.model import CausalModel, HuggingFaceModel
from inference.engine.params import SamplingParams
from inference.engine.plan import Plan, Row
from inference.engine.sampler import Sampler
from inference.engine.spans import LONG, LONG_IF_WIDE

logger = logging.getLogger(__name__)

BLOCK_SIZE = 64  # tokens; the attention kernels take as many keys at a time
LARGEST_CHUNK = 2048  # tokens: of larger ones no keys are divided
PLAINEST = SamplingParams(max_tokens=1, temperature=1.0)
DEAREST = SamplingParams(
    max_tokens=1, temperature=1.0, top_p=0.9, logprobs=20, repetition_penalty=1.1,
    presence_penalty=0.1, frequency_penalty=0.1, logit_bias=((0, 1.0),),
)  # fmt: skip
GRAPH_BYTES = 32 << 20  # of one graph: its nodes, and what the pool cannot share


def set_precision() -> None:
    """Products of float32 in float32, sums of 16-bit products in float32: as the CPU's are."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False


def step_bytes(model: HuggingFaceModel, limits: SchedulerLimits, block_size: int) -> int:
    """Return what the widest step allocates, and graphs hold, beside weights and cache.

    A step is run to see: as many tokens as a step may have, in as many rows as may run, all
    sampled in the most expensive way. The lean form of a model allocates no more than the model.
    """
    plan = widest_plan(limits)
    tokens = plan.rows[0].num_tokens
    device = model.device
    cache = model.new_cache(-(-tokens // block_size), block_size, model.dtype)
    sampler = Sampler(model.vocab_size, (), device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    with torch.inference_mode():
        batch = build_batch(plan, block_size, device)
        logits = model.logits(batch, cache)
        sampler.draw(logits, batch.sampling).read()
    peak = torch.cuda.max_memory_allocated(device) - before
    del batch, cache, sampler, logits
    torch.cuda.empty_cache()
    return peak + graphs_bytes(limits.max_running, model.vocab_size, model.dtype)


def graphs_bytes(most: int, vocab_size: int, dtype: torch.dtype) -> int:
    """Return about what graphs for up to `most` rows hold: their logits, and each its own."""
    sizes = ladder(most)
    return sizes[-1] * vocab_size * dtype.itemsize + len(sizes) * GRAPH_BYTES


def widest_plan(limits: SchedulerLimits) -> Plan:
    """Return a step of as many tokens in as many rows as there can be, all in the same blocks."""
    count = limits.token_budget // limits.max_running
    count = min(max(count, 1), limits.max_model_len)
    table = list(range(1, count + 1))  # as many as there are in blocks of any size
    return _plan(limits.max_running, 0, count, table, DEAREST)


def _plan(rows: int, start: int, count: int, table: list[int], params: SamplingParams) -> Plan:
    """Return a step of so many equal rows."""
    tokens = [0] * (start + count)
    made = [
        Row(key, tokens, len(tokens), start, count, table, params, key, True) for key in range(rows)
    ]
    return Plan(0, tuple(made))


def warm_up(form: CausalModel, cache: KVCache, limits: SchedulerLimits, sampler: Sampler) -> None:
    """Run a step of each kind whose kernels would be compiled while somebody waits for a token.

    Compiling one takes up to some seconds, and Triton keeps what it compiled in the user's folder.
    Everything here happens in the first blocks, before anything is served.
    """
    device = cache.keys[0].device
    began = time.monotonic()
    with torch.inference_mode():
        for plan in kinds_of_steps(limits):
            batch = build_batch(plan, cache.block_size, device)
            logits = form.logits(batch, cache)
            sampler.draw(logits, batch.sampling).read()
    logger.info("kernels are ready after %.1f s", time.monotonic() - began)


def kinds_of_steps(limits: SchedulerLimits) -> Iterator[Plan]:
    """Make a step of each kind: all ways to draw, few and many rows, much and little to look at."""
    longest = limits.max_model_len
    yield _plan(1, 0, 1, [1], DEAREST)
    for rows in _doubling(limits.max_running):
        yield _plan(rows, 0, 1, [1], PLAINEST)
        if 2 * rows <= limits.token_budget and longest > 1:  # with guesses, or the ends of prompts
            yield _plan(rows, 0, 2, [1, 2], PLAINEST)
    # A chunk, and a crowd of which one is long; all tokens of theirs in one block.
    for past in {min(limit, longest - 1) for limit in (1, LONG_IF_WIDE, LONG)}:
        for count in _doubling(min(limits.token_budget, longest - past, LARGEST_CHUNK)):
            yield _plan(1, past, count, [1] * (past + count), PLAINEST)
        yield _plan(min(limits.max_running, DIVIDED + 1), past, 1, [1] * (past + 1), PLAINEST)


def _doubling(most: int) -> Iterator[int]:
    """Yield 1, 2, 4 and so on, and `most`."""
    number = 1
    while number < most:
        yield number
        number *= 2
    yield most


def with_graphs(
    model: HuggingFaceModel,
    form: CausalModel,
    cache: KVCache,
    limits: SchedulerLimits,
    capture: Capture | None = None,
) -> CausalModel:
    """Return a form of the model that replays decode steps, if it can and gives the same logits."""
    if not isinstance(form, LeanModel) or not kernels_work(cache, model.shapes):
        logger.info("decode steps are launched kernel by kernel")
        return form
    try:
        graphed = GraphedModel(
            form, cache, limits.max_running, limits.max_model_len, capture or CudaCapture()
        )
        reason = model.disagreement(graphed, cache)
    except RuntimeError as error:  # no memory, or something in the step that cannot be captured
        reason = str(error)
    if not reason:
        return graphed
    logger.warning("decode steps are launched kernel by kernel: %s", reason)
    if cache.keys[0].is_cuda:
        torch.cuda.empty_cache()
    return form
