"""Short-hands for tests of money: a price, a hold, a draft of usage."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from accounts.models import Organisation
from billing import ledger, pricing, pulse
from billing.ledger import UsageDraft
from billing.models import Account, Outcome, Pulse

PRICE = (100_000_000, 50_000_000, 400_000_000)


def draft(cost_nanos: int, **changes: Any) -> UsageDraft:
    fields: dict[str, Any] = {
        "outcome": Outcome.FINISHED, "finish_reason": "stop", "error": "", "uncached_tokens": 10,
        "cached_tokens": 0, "output_tokens": 5, "waived_tokens": 0, "cost_nanos": cost_nanos,
        "ttft_ms": 12, "duration_ms": 34, "decode_ms": 20,
    }  # fmt: skip
    return UsageDraft(**{**fields, **changes})


def context() -> dict[str, Any]:
    return {
        "face": "api", "endpoint": "completions", "model": "starter", "stream": False,
        "user_id": None, "price_id": pricing.ensure_price("starter", *PRICE).price_id,
        "multiplier_bp": 10_000, "started_at": timezone.now().isoformat(),
    }  # fmt: skip


def hold(request_id: str, organisation_id: str, amount_nanos: int, **more: Any) -> None:
    options: dict[str, Any] = {"owner": "web1", "context": context(), **more}
    ledger.open_hold(request_id, organisation_id, amount_nanos, **options)


def beats(number: int) -> None:
    """So many sweeps' time goes by."""
    Pulse.objects.get_or_create(pk=1)
    for _ in range(number):
        Pulse.objects.update(beat_at=timezone.now() - timedelta(seconds=settings.HOLD_SWEEP_S))
        pulse.beat()


def account_of(organisation_id: str) -> Account:
    return Account.objects.get(organisation_id=organisation_id)


def audit_is_clean() -> None:
    from billing.audit import audit

    assert {finding.code: finding.value for finding in audit() if finding.value} == {}


def spend(organisation: Organisation, nanos: int) -> None:
    """A request that costs so much."""
    request_id = f"r{timezone.now().timestamp()}"
    hold(request_id, organisation.pk, nanos)
    ledger.settle(request_id, draft(nanos))
