"""What an engine does at its start on a GPU and nowhere else.

Owns the rules of its arithmetic, the measure of what a step allocates beside weights and cache, and
the choice to run decode steps as graphs.
"""

import logging
from dataclasses import replace

import torch

from inference.engine.attention import kernels_work
from inference.engine.batch import build_batch
from inference.engine.graphs import Capture, CudaCapture, GraphedModel, ladder
from inference.engine.kv_cache import KVCache
from inference.engine.lean import LeanModel
from inference.engine.limits import SchedulerLimits
from inference.engine.model import CausalModel, HuggingFaceModel
from inference.engine.params import SamplingParams
from inference.engine.plan import Plan, Row
from inference.engine.sampler import Sampler

logger = logging.getLogger(__name__)

BLOCK_SIZE = 64  # tokens; the attention kernels take as many keys at a time
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
    They are sampled in the plainest way as well: kernels that draw from other numbers are others,
    and should not be compiled while somebody waits for a token.
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
        for rows in (tuple(map(_plain, batch.sampling)), batch.sampling):
            sampler.draw(logits, rows).read()
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
    params = SamplingParams(
        max_tokens=1, temperature=1.0, top_p=0.9, logprobs=20, repetition_penalty=1.1,
        presence_penalty=0.1, frequency_penalty=0.1, logit_bias=((0, 1.0),),
    )  # fmt: skip
    table = list(range(1, count + 1))  # as many as there are in blocks of any size
    rows = [
        Row(key, [0] * count, count, 0, count, table, params, key, True)
        for key in range(limits.max_running)
    ]
    return Plan(0, tuple(rows))


def _plain(row: Row) -> Row:
    return replace(row, params=SamplingParams(max_tokens=1, temperature=1.0))


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
