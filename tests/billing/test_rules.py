"""docs/billing.md: each of its queries is 0 on a used ledger, and not where one is broken."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.models import Organisation
from billing import alert_settings, alerts, ledger, ledger_payments, pricing, spending, triggers
from billing.audit import QUERIES
from billing.models import (
    Alert,
    Closing,
    MeterBatch,
    PostPaid,
    TopUp,
    UsageInvoice,
    UsageRecord,
)
from portal.lib.money import NANOS_PER_CENT
from tests.billing.money import context, draft, hold
from tests.billing.rules import SQL, broken, flat


@pytest.fixture
def used(organisation: Organisation) -> Organisation:
    """A ledger with a payment, charges by a key that was rotated, a failure, a hold, an alert."""
    key, successor = uuid4(), uuid4()
    spending.set_monthly_cap(organisation, 10**9)
    alert_settings.change(organisation, low_balance_nanos=10**12)
    TopUp.objects.create(
        organisation=organisation, amount_cents=500, discount_cents=100, tax_cents=32,
        state="paid", form_token="t", payment_intent_id="pi_1", invoice_id="in_1",
        paid_at=timezone.now(), created_by="alice@example.com",
    )  # fmt: skip
    ledger_payments.record_payment(
        organisation.pk, 400 * NANOS_PER_CENT, reference="payment:pi_1", description="",
        discount_nanos=100 * NANOS_PER_CENT, tax_nanos=32 * NANOS_PER_CENT,
    )  # fmt: skip
    spending.count_together(key, successor)
    for request_id, key_id in (("r0", key), ("r1", None), ("r2", successor)):
        hold(
            request_id, organisation.pk, 10_000, api_key_id=key_id,
            context={**context(), "multiplier_bp": 9_999, "rate_bp": 9_999},
        )  # fmt: skip
    ledger.settle("r0", sold())
    ledger.settle("r1", draft(0, outcome="failed", uncached_tokens=0, output_tokens=0))
    alerts.check_all()
    Closing.objects.create(organisation=organisation)
    PostPaid.objects.create(organisation=organisation, metered_nanos=7, settled_nanos=9)
    MeterBatch.objects.create(post_paid_id=organisation.pk, amount_nanos=7)
    UsageInvoice.objects.create(
        post_paid_id=organisation.pk, invoice_id="in_2", units_nanos=9, price_cents=0,
        credited_cents=0,
    )  # fmt: skip
    return organisation


def sold() -> ledger.UsageDraft:
    """Seven, three and five tokens at nearly the list price: 2849.715 nanos, rounded up."""
    price = pricing.current_price("starter")
    counts = {"uncached": 7, "cached": 3, "output": 5}
    cost = pricing.cost_nanos(price, **counts, multiplier_bp=9_999)
    return draft(cost, uncached_tokens=7, cached_tokens=3, output_tokens=5)


def test_every_rule_holds_on_a_ledger_that_was_used(used: Organisation) -> None:
    assert len(SQL) >= 19
    assert broken() == []
    assert UsageRecord.objects.get(request_id="r0").cost_nanos == 2850
    assert Alert.objects.filter(cleared_at=None).count() == 1


def test_what_the_audit_runs_stands_here_word_for_word() -> None:
    here = {flat(query) for query in SQL}
    assert {code for code, (_words, query) in QUERIES.items() if flat(query) not in here} == set()


BREAK = {
    "billing_transfer WHERE amount_nanos": "UPDATE billing_transfer SET amount_nanos = 0",
    "a.credits_posted -": "UPDATE billing_account SET credits_posted = credits_posted + 1",
    "a.debits_posted -": "UPDATE billing_account SET debits_posted = debits_posted + 1",
    "a.debits_pending -": "UPDATE billing_account SET debits_pending = debits_pending + 1",
    "credit_line_nanos < debits_posted": "UPDATE billing_account SET credits_posted = 1",
    "h.state <> 'open' AND u.id IS NULL": "DELETE FROM billing_usagerecord",
    "<> u.cost_nanos": "UPDATE billing_usagerecord SET cost_nanos = cost_nanos + 1",
    "t.kind = 'usage' AND u.id IS NULL": "DELETE FROM billing_usagerecord",
    "u.cost_nanos > h.amount_nanos": "UPDATE billing_hold SET amount_nanos = 1",
    "u.rate_bp": "UPDATE billing_usagerecord SET service_tier = 'flex', rate_bp = 9998",
    "AS whole": "UPDATE billing_usagerecord SET output_tokens = output_tokens + 1",
    "p.effective_from > u.started_at": "UPDATE billing_price SET effective_from = '2100-01-01'",
    "outcome = 'failed'": "UPDATE billing_usagerecord SET outcome = 'failed'",
    "a.spent_nanos -": "UPDATE billing_account SET spent_nanos = spent_nanos + 1",
    "k.pending_nanos -": "UPDATE billing_keyspend SET pending_nanos = pending_nanos + 1",
    "(p.amount_cents - p.discount_cents)": "UPDATE billing_topup SET amount_cents = 501",
    "disputed_cents) * CAST": "UPDATE billing_topup SET amount_cents = 501",
    "THEN p.discount_cents": "UPDATE billing_topup SET discount_cents = 99",
    "c.kind = 'tax'": "UPDATE billing_topup SET tax_cents = 33",
    "p.refunded_cents <>": "UPDATE billing_topup SET refunded_cents = 1",
    "c.given_up_nanos": "UPDATE billing_closing SET finished_at = created_at",
    "p.metered_nanos": "UPDATE billing_postpaid SET metered_nanos = metered_nanos + 1",
    "i.units_nanos": "UPDATE billing_usageinvoice SET units_nanos = units_nanos + 1",
    "i.carried_cents > ": "UPDATE billing_topup SET source = 'post_paid'",
}


# What even an unguarded ledger cannot be made to hold.
REFUSED = {
    "COUNT(DISTINCT reference)": "UPDATE billing_transfer SET reference = 'usage:r0'",
    "AS twice": (
        "INSERT INTO billing_alert (id, organisation_id, kind, threshold, value_nanos, created_at)"
        " SELECT 'again', organisation_id, kind, threshold, value_nanos, created_at"
        " FROM billing_alert"
    ),
    "AS repeated": (
        "INSERT INTO billing_topup (id, organisation_id, amount_cents, discount_cents, tax_cents,"
        " state, source, automatic, payment_method_id, failure, form_token, checkout_url,"
        " invoice_id, refunded_cents, disputed_cents, created_by, created_at)"
        " SELECT 'again', organisation_id, 1, 0, 0, 'created', source, automatic, '', '', 'again',"
        " '', invoice_id, 0, 0, '', created_at FROM billing_topup WHERE invoice_id <> ''"
    ),
    "AS again": (
        "INSERT INTO billing_meterbatch (id, post_paid_id, amount_nanos, created_at, error)"
        " SELECT 'again', post_paid_id, amount_nanos, created_at, '' FROM billing_meterbatch"
    ),
}


@pytest.fixture
def unguarded(used: Organisation) -> Iterator[None]:
    """Without triggers and CHECKs: SQLite forgets them for a moment."""
    with connection.cursor() as cursor:
        for name in triggers.names():
            cursor.execute(f"DROP TRIGGER {name}")
        cursor.execute("PRAGMA ignore_check_constraints = ON")
        yield
        cursor.execute("PRAGMA ignore_check_constraints = OFF")


@pytest.mark.parametrize("rule", BREAK)
def test_a_broken_rule_is_seen(rule: str, unguarded: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(BREAK[rule])
    assert any(rule in query for query in broken())


@pytest.mark.parametrize("rule", REFUSED)
def test_what_is_there_once_cannot_be_there_twice(rule: str, unguarded: None) -> None:
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(REFUSED[rule])


def test_every_rule_was_broken_or_cannot_be() -> None:
    tried = BREAK | REFUSED
    assert [query for query in map(flat, SQL) if not any(rule in query for rule in tried)] == []
