"""What a generation costs: the ceiling before it runs, and the bill when it has ended.

What is billed: each prompt that was computed, once, and every token the sampler produced up to the
frame in which the generation ended. What came after is overrun and waived. A generation that
failed, and one that broke off before its answer could be sent whole, costs nothing: its tokens are
waived too.
"""

import time

from billing import pricing
from billing.ledger import UsageDraft
from inference.generation import Generation


def ceiling_nanos(generation: Generation, output_tokens: int) -> int:
    """The most that the prompt and this much output can cost, whatever part of it is cached."""
    price = generation.entry.price
    multiplier_bp = multiplier_of(generation)
    prompt = generation.prompt_tokens
    return max(
        pricing.cost_nanos(
            price, uncached=prompt, cached=0, output=output_tokens, multiplier_bp=multiplier_bp
        ),
        pricing.cost_nanos(
            price, uncached=0, cached=prompt, output=output_tokens, multiplier_bp=multiplier_bp
        ),
    )


def multiplier_of(generation: Generation) -> int:
    """The organisation's rate, and the price of the tier that the request asked for."""
    return pricing.together_bp(
        generation.caller.multiplier_bp, generation.entry.price, flex=generation.spec.batch
    )


def draft_usage(generation: Generation) -> UsageDraft:
    """What is billed and what is waived, by the rule at the top of this module."""
    assert generation.outcome is not None
    cached, uncached = prompt_usage(generation)
    # Decoding may outrun a slow extension of the hold; what it did not cover is ours to pay.
    output = min(generation.output_tokens, generation.reserved_tokens)
    waived = generation.output_tokens - output + generation.overrun_tokens
    broke_off = generation.error is not None and not generation.spec.stream
    if generation.outcome == "failed" or broke_off:
        cached, uncached, output, waived = 0, 0, 0, waived + output
    cost = pricing.cost_nanos(
        generation.entry.price,
        uncached=uncached,
        cached=cached,
        output=output,
        multiplier_bp=multiplier_of(generation),
    )
    return UsageDraft(
        outcome=generation.outcome,
        finish_reason=finish_reason_of(generation),
        error=(generation.error.code or "") if generation.error else "",
        uncached_tokens=uncached,
        cached_tokens=cached,
        output_tokens=output,
        waived_tokens=waived,
        cost_nanos=cost,
        ttft_ms=milliseconds(generation.arrived, _first_readable_at(generation)),
        duration_ms=milliseconds(generation.arrived, time.monotonic()) or 0,
        decode_ms=_decode_ms(generation),
    )


def prompt_usage(generation: Generation) -> tuple[int, int]:
    """(cached, uncached) tokens: each computed prompt once, as its first sample found it.

    Of a generation that runs, what is known by now.
    """
    cached = uncached = 0
    for index, prompt in enumerate(generation.prompts):
        samples = [s for s in generation.sequences if s.prompt_index == index and s.prefilled]
        if samples:
            found = min(samples[0].cached_tokens, len(prompt.token_ids))
            cached += found
            uncached += len(prompt.token_ids) - found
    return cached, uncached


def _first_readable_at(generation: Generation) -> float | None:
    """When there was a token that the reader could have: it may be sampled before the hold."""
    first = generation.first_token_at
    return None if first is None else max(first, generation.readable_at)


def _decode_ms(generation: Generation) -> int | None:
    """From the first token to the last: the engine's time alone, whatever the hold waited for."""
    first, last = generation.first_token_at, generation.last_token_at
    return None if first is None else milliseconds(first, last)


def finish_reason_of(generation: Generation) -> str:
    """One word for the whole request: `length` when any of its samples was cut."""
    reasons = {sequence.finish_reason for sequence in generation.sequences}
    if generation.outcome != "finished":
        return ""
    return "length" if "length" in reasons else "stop"


def milliseconds(start: float, end: float | None) -> int | None:
    return None if end is None else max(round((end - start) * 1000), 0)
