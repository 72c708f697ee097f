"""The owner of a generation: a task of its own that outlives the response.

It opens the hold and submits the sequences, which need not wait for it (`inference.balances`). It
extends the hold while they decode, and settles when they have finished, were aborted, or their
engine was lost. The response only signals it: whatever happens to the response, nothing here is
cancelled.
"""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog
from django.conf import settings
from django.db import Error as DatabaseError

from billing import ledger, waivers
from inference import counting, errors, holding, metrics
from inference.balances import Balances, payer_of
from inference.encoding import Encoding
from inference.engine.params import SamplingParams
from inference.engine.wire import engine_pb2 as wire
from inference.engine.wire.messages import sampling_to_wire
from inference.errors import ServiceError
from inference.generation import Generation, SequenceState
from inference.spec import Summary, tokens_per_s
from portal.lib.db import commit

if TYPE_CHECKING:
    from inference.pool import EnginePool

logger = structlog.get_logger(__name__)

Q = TypeVar("Q")
R = TypeVar("R")

# How long the overrun is waited for after a cancel: it is at most two steps.
OVERRUN_WAIT_S = 2.0
SETTLE_BACKOFF_S = (0.05, 0.2, 0.5, 1.0, 2.0)


async def own(
    generation: Generation,
    owner: str,
    others: Mapping[str, Generation],
    balances: Balances,
    pool: "EnginePool",
) -> None:
    """See the module; `generation.admitted` tells whether the hold was opened.

    `owner` names this process in its leases, `others` are all generations it runs, `pool` has
    another engine where its own is lost before it begins. Where the balance that was seen last
    covers the hold, the engine begins while it is written; nothing is handed to the reader before
    it is.
    """
    payer = payer_of(generation.caller)
    try:
        ceiling = holding.first_ceiling(generation)
        with balances.writing(payer, ceiling) as covered:
            if covered:
                _begin(generation, pool)
            available = await holding.open_hold(generation, ceiling, owner, others)
    except Exception as error:
        balances.forget(payer)
        await _refuse(generation, _as_refusal(error, generation))
        return
    balances.note(payer, available)
    _begin(generation, pool)
    _admit(generation, None)
    try:
        await _watch(generation)
    except Exception:
        logger.exception("a generation crashed", request_id=generation.request_id)
        generation.end("failed", errors.crashed(generation.request_id))
    used, balance = await _settle(generation)
    summary = summarise(generation, used, balance.available_nanos)
    generation.finish(summary)
    await asyncio.sleep(0)  # its reader first: nobody waits for a line in the log
    _report(generation, used, summary)


def _admit(generation: Generation, refusal: ServiceError | None) -> None:
    generation.readable_at = time.monotonic()
    if generation.admitted.done():
        return
    if refusal is None:
        generation.admitted.set_result(None)
    else:
        generation.admitted.set_exception(refusal)


# --- Refused ----------------------------------------------------------------------------------


def _as_refusal(error: Exception, generation: Generation) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    request_id = generation.request_id
    logger.error("opening a hold crashed", request_id=request_id, exc_info=error)
    return errors.crashed(request_id)


async def _refuse(generation: Generation, refusal: ServiceError) -> None:
    """Tell the reader; what the engine has begun is stopped, and what it sampled is ours to pay."""
    _admit(generation, refusal)
    if not generation.submitted:
        return
    generation.end("failed", refusal)
    await _hear_out(generation)
    tokens = generation.output_tokens + generation.overrun_tokens
    if not tokens:
        return
    metrics.tokens(generation.model, "waived").inc(tokens)
    await _book(generation, partial(waivers.note, model=generation.model), tokens)


# --- Running ----------------------------------------------------------------------------------


def _begin(generation: Generation, pool: "EnginePool") -> None:
    """Send every sequence, once, unless the generation has ended before."""
    if generation.submitted or generation.outcome is not None:
        return
    generation.submitted = True
    try:
        _submit(generation, pool)
    except Exception:
        logger.exception("a generation crashed", request_id=generation.request_id)
        generation.end("failed", errors.crashed(generation.request_id))


def _submit(generation: Generation, pool: "EnginePool") -> None:
    if not generation.link.answers:  # one that drains takes what was on its way
        other = pool.pick(generation.model, generation.suits)
        if other is None:
            generation.end("failed", errors.engine_lost())
            return
        generation.link = other
    if isinstance(generation, Encoding):
        generation.begin()
        return
    for sequence in generation.sequences:
        prompt = generation.prompts[sequence.prompt_index]
        sampling = _sampling(generation, sequence)
        message = wire.Submit(
            request_id=generation.request_id,
            tenant=generation.caller.organisation_id,
            prompt_token_ids=prompt.token_ids,
            sampling=sampling_to_wire(sampling),
            priority=int(generation.spec.batch),
            deadline_ms=settings.REQUEST_DEADLINE_S * 1000,
        )
        generation.register(sequence, generation.link.submit(message, generation))


def _sampling(generation: Generation, sequence: SequenceState) -> SamplingParams:
    """The parameters of one sample: its own seed, and what fits behind its prompt."""
    sampling = generation.spec.sampling
    limit = generation.prompts[sequence.prompt_index].max_tokens
    seed = sampling.seed
    if limit == sampling.max_tokens and seed is None and generation.samples == generation.spec.n:
        return sampling
    if seed is not None:
        # The samples of a prompt differ, and each can be had again.
        seed = (seed + sequence.index % generation.samples + 2**63) % 2**64 - 2**63
    ranked = generation.samples > generation.spec.n
    return dataclasses.replace(
        sampling,
        max_tokens=limit,
        min_tokens=min(sampling.min_tokens, limit),
        seed=seed,
        logprobs=0 if ranked and sampling.logprobs is None else sampling.logprobs,
    )


async def _watch(generation: Generation) -> None:
    """Until it has ended and the engine has said its last word."""
    while generation.outcome is None:
        await generation.wake.wait()
        generation.wake.clear()
        if generation.outcome is None and holding.must_extend(generation):
            await holding.extend_hold(generation)
    await _hear_out(generation)


async def _hear_out(generation: Generation) -> None:
    """Wait for the engine's last word of what has ended, a moment at most."""
    deadline = time.monotonic() + OVERRUN_WAIT_S
    while generation.num_running > 0 and time.monotonic() < deadline:
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + OVERRUN_WAIT_S):
                await generation.wake.wait()
        except TimeoutError:
            logger.warning("no last word from the engine", request_id=generation.request_id)
            break
        generation.wake.clear()
    for sequence in generation.sequences:
        generation.link.forget(sequence.sequence_id)


# --- The end ----------------------------------------------------------------------------------


async def _settle(generation: Generation) -> tuple[ledger.UsageDraft, ledger.Balance]:
    if generation.outcome != "failed":
        await holding.cover_output(generation)
    draft = counting.draft_usage(generation)
    try:
        return await _book(generation, ledger.settle, draft)
    except AssertionError:
        # The ledger refuses to charge this. Release the hold: it must not live for ever.
        logger.exception("settling refused", request_id=generation.request_id)
        free = dataclasses.replace(
            draft,
            outcome="failed",
            error="settling_refused",
            uncached_tokens=0,
            cached_tokens=0,
            output_tokens=0,
            waived_tokens=draft.waived_tokens + draft.output_tokens,
            cost_nanos=0,
        )
        return await _book(generation, ledger.settle, free)


async def _book(generation: Generation, verb: Callable[[str, Q], R], what: Q) -> R:
    """Write it until that succeeds: the database may be away for a while, nothing is lost."""
    attempt = 0
    while True:
        try:
            return await commit(
                generation.caller.organisation_id, verb, generation.request_id, what
            )
        except (ledger.AccountingUnavailable, DatabaseError) as error:
            metrics.SETTLE_RETRIES.inc()
            if attempt == 0:
                logger.error("settling waits", request_id=generation.request_id, error=str(error))
            await asyncio.sleep(SETTLE_BACKOFF_S[min(attempt, len(SETTLE_BACKOFF_S) - 1)])
            attempt += 1


def summarise(generation: Generation, used: ledger.UsageDraft, balance_nanos: int) -> Summary:
    assert generation.outcome is not None
    return Summary(
        request_id=generation.request_id,
        model=generation.model,
        prompt_tokens=used.uncached_tokens + used.cached_tokens,
        cached_tokens=used.cached_tokens,
        completion_tokens=used.output_tokens,
        cost_nanos=used.cost_nanos,
        outcome=generation.outcome,
        finish_reason=counting.finish_reason_of(generation),
        ttft_ms=used.ttft_ms,
        duration_ms=used.duration_ms,
        tokens_per_s=tokens_per_s(used.output_tokens, used.decode_ms),
        balance_nanos=balance_nanos,
    )


def _report(generation: Generation, used: ledger.UsageDraft, summary: Summary) -> None:
    model = generation.model
    for kind, count in (
        ("input", used.uncached_tokens),
        ("cached_input", used.cached_tokens),
        ("output", used.output_tokens),
        ("waived", used.waived_tokens),
    ):
        counter = metrics.tokens(model, kind)
        if count:
            counter.inc(count)
    metrics.request_duration(model, summary.outcome).observe(summary.duration_ms / 1000)
    if summary.ttft_ms is not None:
        metrics.time_to_first_token(model).observe(summary.ttft_ms / 1000)
    if summary.tokens_per_s:
        metrics.time_per_output_token(model).observe(1 / summary.tokens_per_s)
    logger.info(
        "generation settled",
        request_id=generation.request_id,
        organisation=generation.caller.organisation_id,
        model=model,
        outcome=summary.outcome,
        error=used.error,
        prompt_tokens=summary.prompt_tokens,
        output_tokens=summary.completion_tokens,
        waived_tokens=used.waived_tokens,
        cost_nanos=summary.cost_nanos,
        ttft_ms=summary.ttft_ms,
        duration_ms=summary.duration_ms,
    )
