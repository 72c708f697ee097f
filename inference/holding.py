"""The hold of a generation: how much is reserved, when more is, and what a refusal says.

An explicit max_tokens is reserved in full, so that the answer is never cut for money. Without one
the hold covers the prompt and a window of output, and grows while the sequences decode: nobody is
locked out by a reservation they will not use.
"""

from collections.abc import Mapping

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError

from billing import alerts, ledger
from inference import errors
from inference.counting import ceiling_nanos, draft_usage, multiplier_of
from inference.errors import ServiceError
from inference.generation import Generation
from inference.log import metadata
from portal.lib.db import commit_lightly, db

logger = structlog.get_logger(__name__)


def first_ceiling(generation: Generation) -> int:
    """What the first hold has to cover, in nanos; it is noted how many tokens of output that is."""
    generation.reserved_tokens = _first_reservation(generation)
    _set_extension_mark(generation)
    return ceiling_nanos(generation, generation.reserved_tokens)


async def open_hold(
    generation: Generation, ceiling: int, owner: str, others: Mapping[str, Generation]
) -> int:
    """Reserve the ceiling of this request; the nanos that its organisation has left then.

    Raises ServiceError when that is refused.
    """
    try:
        # Lost in a power cut, it is as if it had ended: so is the request, and nothing was charged.
        available = await commit_lightly(
            generation.caller.organisation_id, _open_and_read_balance, generation, ceiling, owner
        )
    except ledger.InsufficientCredit as shortage:
        raise _insufficient(generation, ceiling, shortage, others) from None
    except ledger.CapReached as reached:
        refusal = _capped(generation, ceiling, reached, others)
        if refusal.code == "spend_cap_reached":
            await _tell(generation, reached)
        raise refusal from None
    except (ledger.AccountingUnavailable, OperationalError, InterfaceError):
        raise errors.accounting_unavailable() from None  # `portal.lib.db` says why, once
    except DatabaseError as error:
        logger.error("hold failed", error=type(error).__name__)
        raise errors.accounting_unavailable() from None
    generation.held_nanos = ceiling
    if generation.spec.stream:  # for its headers; a whole answer tells the one after settling
        generation.balance_nanos = available
    return available


def _first_reservation(generation: Generation) -> int:
    """Tokens of output the first hold covers."""
    limit = _first_limit(generation)
    each = (min(limit, prompt.max_tokens) for prompt in generation.prompts)
    return generation.samples * sum(each)


def _first_limit(generation: Generation) -> int:
    """Of each sequence: all of an explicit max_tokens, else a window."""
    limit = generation.spec.max_tokens
    return settings.HOLD_WINDOW_TOKENS if limit is None else limit


def _most_output(generation: Generation) -> int:
    return generation.samples * sum(prompt.max_tokens for prompt in generation.prompts)


def _set_extension_mark(generation: Generation) -> None:
    """Extend when half a window is left, so that decoding does not wait for the database."""
    if generation.reserved_tokens >= _most_output(generation):
        generation.extend_at = None
    else:
        half = settings.HOLD_WINDOW_TOKENS // 2
        running = generation.num_running or len(generation.sequences)
        generation.extend_at = generation.reserved_tokens - half * running


def _open_and_read_balance(generation: Generation, ceiling: int, owner: str) -> int:
    caller, spec = generation.caller, generation.spec
    balance = ledger.open_hold(
        generation.request_id,
        caller.organisation_id,
        ceiling,
        owner=owner,
        api_key_id=caller.api_key_id,
        monthly_cap_nanos=caller.monthly_cap_nanos,
        context={
            "face": spec.face,
            "endpoint": spec.endpoint,
            "model": generation.model,
            "stream": spec.stream,
            "user_id": caller.user_id,
            "price_id": generation.entry.price.price_id,
            "service_tier": "flex" if spec.batch else "default",
            "rate_bp": caller.multiplier_bp,
            "multiplier_bp": multiplier_of(generation),
            "started_at": generation.started_at.isoformat(),
        },
    )
    if spec.metadata:
        metadata.note(caller.organisation_id, generation.request_id, spec.metadata)
    return balance.available_nanos


def _insufficient(
    generation: Generation,
    ceiling: int,
    shortage: ledger.InsufficientCredit,
    others: Mapping[str, Generation],
) -> ServiceError:
    available = shortage.available_nanos
    if available + _soon_released(generation, others) >= ceiling:
        return errors.credit_reserved(
            available_nanos=available, pending_nanos=shortage.pending_nanos
        )
    return errors.insufficient_credit(
        available_nanos=available,
        pending_nanos=shortage.pending_nanos,
        ceiling_nanos=ceiling,
        max_tokens=_max_tokens_that_fit(generation, available),
        limit_param=generation.spec.limit_param,
    )


def _capped(
    generation: Generation,
    ceiling: int,
    reached: ledger.CapReached,
    others: Mapping[str, Generation],
) -> ServiceError:
    if reached.whose == "key":
        mine = generation.caller.counts_as
        others = {name: each for name, each in others.items() if each.caller.counts_as == mine}
    available = reached.cap_nanos - reached.spent_nanos - reached.pending_nanos
    if available + _soon_released(generation, others) >= ceiling:
        return errors.credit_reserved(
            of="monthly cap",
            available_nanos=max(available, 0),
            pending_nanos=reached.pending_nanos,
        )
    return errors.spend_cap_reached(reached, ceiling)


async def _tell(generation: Generation, reached: ledger.CapReached) -> None:
    """The organisation wants to know of the first request that a cap of its own refuses."""
    caller = generation.caller
    key_id = caller.api_key_id if reached.whose == "key" else None
    refused = (caller.organisation_id, reached.cap_nanos, reached.spent_nanos, key_id)
    try:
        await db(alerts.refused, *refused)
    except DatabaseError as error:
        logger.error("alert failed", error=type(error).__name__)


def _soon_released(generation: Generation, others: Mapping[str, Generation]) -> int:
    """What this organisation gets back for certain: its requests that ended and settle now.

    What still runs may use all that it holds, so it is not counted on.
    """
    return sum(
        other.held_nanos - draft_usage(other).cost_nanos
        for other in others.values()
        if other.caller.organisation_id == generation.caller.organisation_id
        and other.held_nanos  # else its own is being written, or was refused
        and other.outcome is not None
        and not other.settled
    )


def _max_tokens_that_fit(generation: Generation, available_nanos: int) -> int:
    """The largest max_tokens this balance pays for, by bisection over the same ceiling.

    0 when there is none: a request that named no limit may name one, too.
    """
    room = min(prompt.max_tokens for prompt in generation.prompts)
    low, high = 0, min(_first_limit(generation), room)
    sequences = len(generation.sequences)
    while low < high:
        middle = (low + high + 1) // 2
        if ceiling_nanos(generation, middle * sequences) <= available_nanos:
            low = middle
        else:
            high = middle - 1
    return low if low >= generation.spec.sampling.min_tokens else 0


def must_extend(generation: Generation) -> bool:
    mark = generation.extend_at
    return mark is not None and generation.output_tokens >= mark


async def extend_hold(generation: Generation) -> None:
    """Reserve another window; when it cannot be paid for, what is reserved is the end."""
    more = settings.HOLD_WINDOW_TOKENS * max(generation.num_running, 1)
    reserved = min(generation.reserved_tokens + more, _most_output(generation))
    try:
        extended = await _extend_to(generation, reserved)
    except ledger.CapReached as reached:
        ceiling = ceiling_nanos(generation, reserved)
        generation.stop_when_used_up(errors.spend_cap_reached(reached, ceiling))
        await _tell(generation, reached)
        return
    except (ledger.AccountingUnavailable, DatabaseError) as error:
        logger.error("extension failed", error=type(error).__name__)
        generation.end("failed", errors.accounting_unavailable())
        return
    if extended:
        _set_extension_mark(generation)
    else:
        generation.stop_when_used_up(errors.credit_used_up())


async def cover_output(generation: Generation) -> None:
    """Reserve what was decoded faster than the hold could grow; what is not paid is waived."""
    if generation.output_tokens > generation.reserved_tokens:
        try:
            await _extend_to(generation, generation.output_tokens)
        except ledger.CapReached:
            logger.info("output beyond a cap is waived", request_id=generation.request_id)
        except (ledger.AccountingUnavailable, DatabaseError) as error:
            logger.error("late extension failed", error=type(error).__name__)


async def _extend_to(generation: Generation, reserved: int) -> bool:
    extra = ceiling_nanos(generation, reserved) - ceiling_nanos(
        generation, generation.reserved_tokens
    )
    caller = generation.caller
    if not await commit_lightly(
        caller.organisation_id,
        ledger.extend_hold,
        generation.request_id,
        extra,
        monthly_cap_nanos=caller.monthly_cap_nanos,
    ):
        return False
    generation.reserved_tokens = reserved
    generation.held_nanos += extra
    return True
