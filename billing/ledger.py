"""The only writer of money: accounts, transfers, holds.

Every verb is one transaction. A balance changes by a conditional UPDATE whose row count says
whether it happened, never by reading first; the database's own CHECK is the last word. Rows are
locked in the order hold, account, key spend, so concurrent verbs cannot deadlock.

Raises AccountingUnavailable when the database is away: a request is then refused, never unmetered.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, transaction
from django.db.models import F
from django.utils import timezone

from billing import hold_rows, pulse, waivers
from billing.hold_rows import ClosedHold, Totals
from billing.models import (
    Account,
    AccountKind,
    Hold,
    HoldState,
    KeySpend,
    Outcome,
    ServiceTier,
    Transfer,
    TransferKind,
    UsageRecord,
)
from portal.lib.db import atomic, is_away
from portal.lib.money import MAX_POSTED_NANOS

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


class InsufficientCredit(Exception):  # noqa: N818  the words of the contract
    """The account cannot hold this much; says what is there and what other holds keep."""

    def __init__(self, available_nanos: int, pending_nanos: int) -> None:
        super().__init__(f"{available_nanos} nanos available, {pending_nanos} held")
        self.available_nanos = available_nanos
        self.pending_nanos = pending_nanos


class CapReached(Exception):  # noqa: N818
    """A monthly cap does not allow this much more; says whose, what is spent and what is held."""

    def __init__(
        self, whose: Literal["key", "organisation"], cap_nanos: int, spent: int, pending: int
    ) -> None:
        super().__init__(f"the {whose}'s cap of {cap_nanos} nanos: {spent} spent, {pending} held")
        self.whose = whose
        self.cap_nanos = cap_nanos
        self.spent_nanos = spent
        self.pending_nanos = pending


class AccountingUnavailable(Exception):  # noqa: N818
    """The database does not answer."""


@dataclass(frozen=True, slots=True)
class Balance:
    """`posted` is paid in minus spent; `available` is what requests may still hold: posted minus
    what holds keep, and the line of who pays later."""

    posted_nanos: int
    pending_nanos: int
    credit_line_nanos: int = 0

    @property
    def available_nanos(self) -> int:
        return self.unused_nanos + self.credit_line_nanos

    @property
    def unused_nanos(self) -> int:
        """Of what was paid in or given; below zero for who pays later."""
        return self.posted_nanos - self.pending_nanos


@dataclass(frozen=True, slots=True)
class UsageDraft:
    """What the service knows at the end of a request; the hold's context has the rest."""

    outcome: str
    finish_reason: str
    error: str
    uncached_tokens: int
    cached_tokens: int
    output_tokens: int
    waived_tokens: int
    cost_nanos: int
    ttft_ms: int | None
    duration_ms: int
    decode_ms: int | None


_USED = tuple(field.name for field in fields(UsageDraft))


def accounting(function: Callable[P, R]) -> Callable[P, R]:
    """One transaction; a database that is away becomes AccountingUnavailable."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with atomic():
                return function(*args, **kwargs)
        except Error as error:  # InterfaceError is no DatabaseError
            if not is_away(error):
                raise
            raise AccountingUnavailable(str(error)) from error

    return wrapped


# --- Money in --------------------------------------------------------------------------------


@accounting
def open_account(organisation_id: str) -> Account:
    """The organisation's account, made when there is none."""
    account, _created = Account.objects.get_or_create(
        organisation_id=organisation_id, defaults={"kind": AccountKind.ORGANISATION}
    )
    return account


@accounting
def grant(
    organisation_id: str, amount_nanos: int, *, reference: str, description: str, actor: str = ""
) -> Transfer:
    """Give credit. Idempotent by `reference`. Raises ValueError for more than an account takes."""
    return credit(
        organisation_id, amount_nanos, AccountKind.GRANTS, TransferKind.GRANT,
        reference=reference, description=description, actor=actor,
    )  # fmt: skip


def credit(
    organisation_id: str,
    amount_nanos: int,
    source: AccountKind,
    kind: TransferKind,
    *,
    reference: str,
    description: str,
    actor: str = "",
) -> Transfer:
    """Post what the house gives or was paid. Idempotent by `reference`; the caller has begun."""
    if amount_nanos <= 0:
        raise ValueError("an amount must be positive")
    account = open_account(organisation_id)
    transfer, created = Transfer.objects.get_or_create(
        reference=reference,
        defaults={
            "kind": kind,
            "debit_account": house_account(source),
            "credit_account": account,
            "amount_nanos": amount_nanos,
            "description": description,
            "actor": actor,
            "created_at": timezone.now(),
        },
    )
    if created:
        most = MAX_POSTED_NANOS - amount_nanos
        rows = Account.objects.filter(pk=account.pk, credits_posted__lte=most)
        if not rows.update(credits_posted=F("credits_posted") + amount_nanos):
            raise ValueError("more than an account takes in all")
    elif transfer.amount_nanos != amount_nanos or transfer.credit_account_id != account.pk:
        raise ValueError(f"the reference {reference} is another transfer's")
    return transfer


def house_account(kind: AccountKind) -> Account:
    account, _created = Account.objects.get_or_create(kind=kind, organisation=None)
    return account


@accounting
def set_monthly_cap(organisation_id: str, cap_nanos: int | None) -> None:
    """The most that may be charged in a month; holds from now on obey it, none ends for it."""
    Account.objects.filter(organisation_id=organisation_id).update(monthly_cap_nanos=cap_nanos)


# --- Holds -----------------------------------------------------------------------------------


@accounting
def open_hold(
    request_id: str,
    organisation_id: str,
    amount_nanos: int,
    *,
    owner: str,
    api_key_id: UUID | None = None,
    monthly_cap_nanos: int | None = None,
    context: dict[str, Any],
) -> Balance:
    """Reserve money for a request; what is left. Raises InsufficientCredit or CapReached."""
    now = timezone.now()
    account = _reserve(organisation_id, now, amount_nanos)
    if api_key_id is not None:
        _reserve_of_key(api_key_id, now, amount_nanos, monthly_cap_nanos)
    until = now + timedelta(seconds=settings.HOLD_LEASE_S)
    hold_rows.open_hold(
        request_id, account.account_id, api_key_id, amount_nanos,
        owner=owner, lease_until=until, context=context, now=now,
    )  # fmt: skip
    return _balance_of(account)


def _reserve(organisation_id: str, now: datetime, amount_nanos: int) -> Totals:
    """Add to the account's pending debits; what it has then. Raises as `open_hold`."""
    reserved = hold_rows.reserve(organisation_id, now, amount_nanos)
    if reserved is not None:
        return reserved
    account = hold_rows.totals(organisation_id, now)
    spent, held = account.spent_nanos, account.debits_pending
    left = account.credits_posted - account.debits_posted - held + account.credit_line_nanos
    cap = account.cap_nanos
    if cap is not None and cap < spent + held + amount_nanos and amount_nanos <= left:
        raise CapReached("organisation", cap, spent, held)
    raise InsufficientCredit(left, held)


def _reserve_of_key(
    api_key_id: UUID, now: datetime, amount_nanos: int, cap_nanos: int | None
) -> None:
    if hold_rows.reserve_of_key(api_key_id, now, amount_nanos, cap_nanos):
        return
    KeySpend.objects.bulk_create([KeySpend(api_key_id=api_key_id)], ignore_conflicts=True)
    if not hold_rows.reserve_of_key(api_key_id, now, amount_nanos, cap_nanos):
        assert cap_nanos is not None, "without a cap a key's row takes every hold"
        raise CapReached("key", cap_nanos, *hold_rows.totals_of_key(api_key_id, now))


@accounting
def extend_hold(request_id: str, extra_nanos: int, *, monthly_cap_nanos: int | None = None) -> bool:
    """Reserve more for a running request; False when it cannot be paid or the hold is closed.

    Raises CapReached.
    """
    extended = Hold.objects.filter(request_id=request_id, state=HoldState.OPEN).update(
        amount_nanos=F("amount_nanos") + extra_nanos
    )
    if not extended:
        return False
    hold = hold_rows.read(request_id)
    now = timezone.now()
    try:
        _reserve(hold.organisation_id, now, extra_nanos)
    except InsufficientCredit:
        transaction.set_rollback(True)
        return False
    if hold.api_key_id is not None:
        _reserve_of_key(hold.api_key_id, now, extra_nanos, monthly_cap_nanos)
    return True


@accounting
def renew_leases(owner: str, request_ids: Collection[str]) -> int:
    """Vouch for the open holds of what this web process runs; how many there are.

    A hold that it does not know to be open, since its commit was never confirmed, ends with its
    lease.
    """
    until = timezone.now() + timedelta(seconds=settings.HOLD_LEASE_S)
    running = Hold.objects.filter(owner=owner, state=HoldState.OPEN, request_id__in=request_ids)
    return running.update(lease=pulse.new_lease(), lease_until=until)


@accounting
def settle(request_id: str, usage: UsageDraft) -> tuple[UsageDraft, Balance]:
    """Charge what was used, release the rest; what is on record, and the balance afterwards.

    Idempotent by request id. A hold that the sweep has closed stays closed: its tokens are booked
    as waived.
    """
    # One moment for all rows: the month that they count in is the same.
    now = timezone.now()
    hold = hold_rows.close(request_id, HoldState.SETTLED, now)
    if hold is None:
        return _settled_before(request_id, usage)
    assert usage.cost_nanos <= hold.amount_nanos, "a request cannot cost more than it holds"
    account = _unreserve(hold, now, cost_nanos=usage.cost_nanos)
    if usage.cost_nanos:
        _post_usage(hold, now, usage.cost_nanos)
    _record(hold, now, usage)
    return usage, _balance_of(account)


def _settled_before(request_id: str, usage: UsageDraft) -> tuple[UsageDraft, Balance]:
    record = UsageRecord.objects.get(request_id=request_id)
    swept = Hold.objects.filter(request_id=request_id, state=HoldState.RELEASED).exists()
    tokens = usage.output_tokens + usage.waived_tokens
    if swept and tokens:
        waivers.note(request_id, tokens, model=record.model)
    recorded = UsageDraft(**{name: getattr(record, name) for name in _USED})
    return recorded, balance(record.organisation_id)


def _unreserve(hold: ClosedHold, now: datetime, *, cost_nanos: int) -> Totals:
    """What the organisation's account has afterwards."""
    account = hold_rows.unreserve(hold.account_id, now, hold.amount_nanos, cost_nanos)
    if hold.api_key_id is not None:
        hold_rows.unreserve_of_key(hold.api_key_id, now, hold.amount_nanos, cost_nanos)
    return account


def _post_usage(hold: ClosedHold, now: datetime, cost_nanos: int) -> None:
    model, tier = hold.context.get("model", ""), hold.context.get("service_tier")
    hold_rows.insert(
        Transfer,
        {
            "reference": f"usage:{hold.request_id}",
            "kind": TransferKind.USAGE.value,
            "debit_account_id": hold.account_id,
            "credit_account_id": hold.revenue_account_id or house_account(AccountKind.REVENUE).pk,
            "amount_nanos": cost_nanos,
            "description": f"{model} · flex" if tier == ServiceTier.FLEX else model,
            "created_at": now,
        },
    )


def _record(hold: ClosedHold, now: datetime, usage: UsageDraft) -> None:
    values = {
        "request_id": hold.request_id,
        "organisation_id": hold.organisation_id,
        "api_key_id": hold.api_key_id,
        "created_at": now,
        **hold.context,
        "started_at": datetime.fromisoformat(hold.context["started_at"]),
        **{name: getattr(usage, name) for name in _USED},
    }
    hold_rows.insert(UsageRecord, values)


def sweep() -> int:
    """Release the holds whose lease is over: their web process died. How many there were."""
    over = Hold.objects.filter(state=HoldState.OPEN, lease__lte=pulse.number())
    return sum(_release(request_id) for request_id in over.values_list("pk", flat=True)[:1000])


@accounting
def _release(request_id: str) -> bool:
    # The lease is checked again in the UPDATE: its process may have renewed it meanwhile.
    now = timezone.now()
    hold = hold_rows.close(request_id, HoldState.RELEASED, now, if_lease_is_over=True)
    if hold is None:
        return False
    _unreserve(hold, now, cost_nanos=0)
    lasted = now - datetime.fromisoformat(hold.context["started_at"])
    _record(
        hold,
        now,
        UsageDraft(
            outcome=Outcome.FAILED, finish_reason="", error="web_process_lost",
            uncached_tokens=0, cached_tokens=0, output_tokens=0, waived_tokens=0, cost_nanos=0,
            ttft_ms=None, duration_ms=max(0, int(lasted.total_seconds() * 1000)),
            decode_ms=None,
        ),
    )  # fmt: skip
    logger.warning("released the hold of %s: its web process is gone", request_id)
    return True


# --- Reading ---------------------------------------------------------------------------------


def balance(organisation_id: str) -> Balance:
    """One read, in no transaction: on SQLite a transaction would wait for its writers."""
    try:
        account = hold_rows.totals(organisation_id, timezone.now())
    except (OperationalError, InterfaceError) as error:
        raise AccountingUnavailable(str(error)) from error
    return _balance_of(account)


def _balance_of(account: Totals) -> Balance:
    posted = account.credits_posted - account.debits_posted
    return Balance(posted, account.debits_pending, account.credit_line_nanos)
