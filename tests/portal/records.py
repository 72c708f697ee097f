"""Makes usage records and a model on offer, without running a generation."""

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from accounts.models import Organisation
from billing import pricing
from billing.models import Outcome, Price, UsageRecord
from inference import catalog
from portal.lib.ids import new_id

MODEL = "starter"


def offer_starter() -> Price:
    """Put the starter model on offer; its price."""
    catalog.ensure_starter()
    return Price.objects.get(pk=pricing.current_price(MODEL).price_id)


def make_record(
    organisation: Organisation, *, at: datetime | None = None, **fields: Any
) -> UsageRecord:
    """A finished request of 100 + 20 tokens in and 30 out, at the price in force, unless said."""
    created_at = at or timezone.now()
    counts = {"uncached_tokens": 100, "cached_tokens": 20, "output_tokens": 30}
    counts |= {name: fields.pop(name) for name in list(counts) if name in fields}
    sheet = pricing.sheet(fields["price"] if "price" in fields else offer_starter())
    values: dict[str, Any] = {
        "request_id": new_id("req"),
        "face": "api",
        "endpoint": "chat.completions",
        "model": MODEL,
        "outcome": Outcome.FINISHED,
        "finish_reason": "stop",
        "price_id": sheet.price_id,
        "multiplier_bp": organisation.multiplier_bp,
        "started_at": created_at - timedelta(milliseconds=500),
        "ttft_ms": 80,
        "duration_ms": 500,
        "created_at": created_at,
        "cost_nanos": pricing.cost_nanos(
            sheet,
            uncached=counts["uncached_tokens"],
            cached=counts["cached_tokens"],
            output=counts["output_tokens"],
            multiplier_bp=organisation.multiplier_bp,
        ),
    }
    return UsageRecord.objects.create(organisation=organisation, **{**values, **counts, **fields})
