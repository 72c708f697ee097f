"""Makes usage records and a model on offer, without running a generation."""

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from accounts.models import Organisation
from billing import ledger_payments, pricing
from billing.models import (
    AutoTopUp,
    AutoTopUpState,
    Outcome,
    Price,
    StripeCustomer,
    TopUp,
    TopUpState,
    UsageRecord,
)
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


def make_payments(organisation: Organisation) -> None:
    """All that the billing page shows of Stripe: a payment, a card, a bank that wants consent."""
    top_up = TopUp.objects.create(
        organisation=organisation, amount_cents=2500, form_token="form", state=TopUpState.PAID,
        payment_intent_id="pi_1", paid_at=timezone.now(), created_by="alice@example.com",
    )  # fmt: skip
    ledger_payments.record_payment(
        organisation.id, top_up.amount_nanos, reference="payment:pi_1", description="Top-up by card"
    )
    StripeCustomer.objects.create(
        organisation=organisation, customer_id="cus_1", payment_method_id="pm_1",
        card_brand="visa", card_last4="4242", card_expires="08/2030",
    )  # fmt: skip
    AutoTopUp.objects.create(
        organisation=organisation, threshold_cents=500, amount_cents=2500, ceiling_cents=10000,
        state=AutoTopUpState.NEEDS_CONSENT, failures=1, set_by="alice@example.com",
    )  # fmt: skip
