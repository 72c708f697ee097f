"""Proves the ledger in SQL: each row is a number that must be 0.

D1 drift between transfers and materialised totals, D2 requests without exactly one terminal
state, D3 holds past their lifetime, D4 overdraft, D7 payments paid but not credited or credited
but not paid; and the triggers that keep posted rows unchanged are all there.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.triggers import missing_triggers

# Promise 3: a hold is gone within 30 seconds of the end of its request.
HOLD_GRACE_S = 30


@dataclass(frozen=True)
class Finding:
    code: str
    subject: Promise
    value: int


QUERIES: dict[str, tuple[Promise, str]] = {
    "D1 credits": (
        _("nanos by which credits_posted differs from transfers in"),
        """
        SELECT COALESCE(SUM(ABS(a.credits_posted - COALESCE(t.total, 0))), 0)
        FROM billing_account a
        LEFT JOIN (SELECT credit_account_id id, SUM(amount_nanos) total
                   FROM billing_transfer GROUP BY 1) t ON t.id = a.id
        WHERE a.kind = 'organisation'
        """,
    ),
    "D1 debits": (
        _("nanos by which debits_posted differs from transfers out"),
        """
        SELECT COALESCE(SUM(ABS(a.debits_posted - COALESCE(t.total, 0))), 0)
        FROM billing_account a
        LEFT JOIN (SELECT debit_account_id id, SUM(amount_nanos) total
                   FROM billing_transfer GROUP BY 1) t ON t.id = a.id
        WHERE a.kind = 'organisation'
        """,
    ),
    "D1 pending": (
        _("nanos by which debits_pending differs from open holds"),
        """
        SELECT COALESCE(SUM(ABS(a.debits_pending - COALESCE(h.total, 0))), 0)
        FROM billing_account a
        LEFT JOIN (SELECT account_id id, SUM(amount_nanos) total
                   FROM billing_hold WHERE state = 'open' GROUP BY 1) h ON h.id = a.id
        WHERE a.kind = 'organisation'
        """,
    ),
    "D1 spent": (
        _("nanos by which what counts towards a cap differs from the charges of its month"),
        """
        SELECT (SELECT COALESCE(SUM(ABS(a.spent_nanos - COALESCE(
                    (SELECT SUM(t.amount_nanos) FROM billing_transfer t
                     WHERE t.debit_account_id = a.id AND t.kind = 'usage'
                       AND t.created_at >= a.spend_month
                       AND SUBSTR(CAST(t.created_at AS VARCHAR), 1, 7)
                           = SUBSTR(CAST(a.spend_month AS VARCHAR), 1, 7)), 0))), 0)
                FROM billing_account a)
             + (SELECT COALESCE(SUM(ABS(k.spent_nanos - COALESCE(u.total, 0))), 0)
                FROM billing_keyspend k
                LEFT JOIN (SELECT f.id, SUM(u.cost_nanos) total
                           FROM billing_usagerecord u
                           JOIN billing_keyspend o ON o.api_key_id = u.api_key_id
                           JOIN billing_keyspend f ON f.id = COALESCE(o.counts_in_id, o.id)
                           WHERE u.created_at >= f.spend_month
                             AND SUBSTR(CAST(u.created_at AS VARCHAR), 1, 7)
                                 = SUBSTR(CAST(f.spend_month AS VARCHAR), 1, 7)
                           GROUP BY 1) u ON u.id = k.id)
        """,
    ),
    "D1 held by keys": (
        _("nanos by which what a key holds differs from its open holds"),
        """
        SELECT COALESCE(SUM(ABS(k.pending_nanos - COALESCE(h.total, 0))), 0)
        FROM billing_keyspend k
        LEFT JOIN (SELECT COALESCE(o.counts_in_id, o.id) id, SUM(h.amount_nanos) total
                   FROM billing_hold h
                   JOIN billing_keyspend o ON o.api_key_id = h.api_key_id
                   WHERE h.state = 'open' GROUP BY 1) h ON h.id = k.id
        """,
    ),
    "D1 usage": (
        _("usage records whose cost is not exactly what was transferred"),
        """
        SELECT COUNT(*) FROM billing_usagerecord u
        LEFT JOIN billing_transfer t ON t.reference = 'usage:' || u.request_id
        WHERE COALESCE(t.amount_nanos, 0) <> u.cost_nanos
        """,
    ),
    "D1 orphans": (
        _("usage transfers without a usage record"),
        """
        SELECT COUNT(*) FROM billing_transfer t
        LEFT JOIN billing_usagerecord u ON u.request_id = SUBSTR(t.reference, 7)
                                       AND t.reference = 'usage:' || u.request_id
        WHERE t.kind = 'usage' AND u.id IS NULL
        """,
    ),
    "D2": (
        _("closed holds without a record, and records without a closed hold"),
        """
        SELECT (SELECT COUNT(*) FROM billing_hold h
                LEFT JOIN billing_usagerecord u ON u.request_id = h.request_id
                WHERE h.state <> 'open' AND u.id IS NULL)
             + (SELECT COUNT(*) FROM billing_usagerecord u
                LEFT JOIN billing_hold h ON h.request_id = u.request_id
                WHERE h.request_id IS NULL OR h.state = 'open')
        """,
    ),
    "D4": (
        _("accounts that owe more than they have"),
        """
        SELECT COUNT(*) FROM billing_account
        WHERE kind = 'organisation'
          AND credits_posted + credit_line_nanos < debits_posted + debits_pending
        """,
    ),
    "D7": (
        _("top-ups paid but not credited, and payments credited without a paid top-up"),
        """
        SELECT (SELECT COUNT(*) FROM billing_topup p
                LEFT JOIN billing_transfer t ON t.reference = 'payment:' || p.payment_intent_id
                WHERE p.state = 'paid'
                  AND COALESCE(t.amount_nanos, 0)
                      <> (p.amount_cents - p.discount_cents) * CAST(10000000 AS BIGINT))
             + (SELECT COUNT(*) FROM billing_transfer t
                LEFT JOIN billing_topup p ON p.payment_intent_id = SUBSTR(t.reference, 9)
                                         AND t.reference = 'payment:' || p.payment_intent_id
                WHERE t.kind = 'payment' AND (p.id IS NULL OR p.state <> 'paid'))
        """,
    ),
    "D7 cash": (
        _("nanos by which the ledger's cash differs from payments less what went back of them"),
        """
        SELECT ABS((SELECT COALESCE(SUM(CASE WHEN d.kind = 'cash' THEN t.amount_nanos
                                             WHEN c.kind = 'cash' THEN -t.amount_nanos
                                             ELSE 0 END), 0)
                    FROM billing_transfer t
                    JOIN billing_account d ON d.id = t.debit_account_id
                    JOIN billing_account c ON c.id = t.credit_account_id)
                 - (SELECT COALESCE(SUM((amount_cents - discount_cents + tax_cents
                                         - refunded_cents - disputed_cents)
                                        * CAST(10000000 AS BIGINT)), 0)
                    FROM billing_topup WHERE state = 'paid'))
        """,
    ),
    "D7 discounts": (
        _("top-ups whose discount is not exactly what was given beside the payment"),
        """
        SELECT COUNT(*) FROM billing_topup p
        LEFT JOIN billing_transfer t
               ON t.reference = 'payment:' || p.payment_intent_id || ':discount'
        WHERE COALESCE(t.amount_nanos, 0)
              <> CASE WHEN p.state = 'paid' THEN p.discount_cents ELSE 0 END
                 * CAST(10000000 AS BIGINT)
        """,
    ),
    "D7 tax": (
        _("nanos by which the ledger's tax differs from what was taken less what went back"),
        """
        SELECT ABS((SELECT COALESCE(SUM(CASE WHEN c.kind = 'tax' THEN t.amount_nanos
                                             WHEN d.kind = 'tax' THEN -t.amount_nanos
                                             ELSE 0 END), 0)
                    FROM billing_transfer t
                    JOIN billing_account d ON d.id = t.debit_account_id
                    JOIN billing_account c ON c.id = t.credit_account_id)
                 - ((SELECT COALESCE(SUM(tax_cents), 0) FROM billing_topup WHERE state = 'paid')
                    - (SELECT COALESCE(SUM(tax_cents), 0) FROM billing_refund
                       WHERE state <> 'failed')
                    - (SELECT COALESCE(SUM(tax_cents), 0) FROM billing_dispute WHERE taken)
                   ) * CAST(10000000 AS BIGINT))
        """,
    ),
    "D7 usage told": (
        _("nanos by which usage told and settled differs from batches and invoices of usage"),
        """
        SELECT (SELECT COALESCE(SUM(ABS(p.metered_nanos - COALESCE(
                    (SELECT SUM(b.amount_nanos) FROM billing_meterbatch b
                     WHERE b.post_paid_id = p.organisation_id), 0))), 0)
                FROM billing_postpaid p)
             + (SELECT COALESCE(SUM(ABS(p.settled_nanos - COALESCE(
                    (SELECT SUM(i.units_nanos) - CASE WHEN SUM(i.unpaid_cents) > 0
                            THEN SUM(i.unpaid_cents) * CAST(10000000 AS BIGINT) ELSE 0 END
                     FROM (SELECT post_paid_id, units_nanos,
                                  CASE WHEN voided THEN 0 ELSE price_cents - credited_cents END
                                  - carried_cents AS unpaid_cents
                           FROM billing_usageinvoice) i
                     WHERE i.post_paid_id = p.organisation_id), 0))), 0)
                FROM billing_postpaid p)
        """,
    ),
    "D7 usage invoices": (
        _("invoices of usage whose credit is not what their payment brought"),
        """
        SELECT (SELECT COUNT(*) FROM billing_usageinvoice i
                LEFT JOIN billing_topup u ON u.invoice_id = i.invoice_id
                WHERE CASE WHEN u.source = 'subscription'
                           THEN i.credited_cents <> 0 OR i.carried_cents > u.amount_cents
                           ELSE i.credited_cents + i.carried_cents <> COALESCE(u.amount_cents, 0)
                      END)
             + (SELECT COUNT(*) FROM billing_topup u
                LEFT JOIN billing_usageinvoice i ON i.invoice_id = u.invoice_id
                WHERE u.source = 'post_paid' AND i.invoice_id IS NULL)
        """,
    ),
    "D7 refunds": (
        _("top-ups whose refunds are not exactly what went back of them"),
        """
        SELECT COUNT(*) FROM billing_topup p
        WHERE p.refunded_cents <> (SELECT COALESCE(SUM(r.amount_cents), 0) FROM billing_refund r
                                   WHERE r.top_up_id = p.id AND r.state <> 'failed')
           OR p.disputed_cents <> (SELECT COALESCE(SUM(d.amount_cents), 0) FROM billing_dispute d
                                   WHERE d.top_up_id = p.id AND d.taken)
        """,
    ),
}

LATE_HOLDS = (
    _("open holds that nobody has vouched for in the last half minute"),
    "SELECT COUNT(*) FROM billing_hold WHERE state = 'open' AND lease_until < %s",
)


def audit() -> list[Finding]:
    """Every number of the audit; a clean ledger has only zeros."""
    findings = [
        Finding(code, subject, _number(query)) for code, (subject, query) in QUERIES.items()
    ]
    # A lease ends up to HOLD_LEASE_S after its process died; the grace counts from there.
    late = timezone.now() - timedelta(seconds=HOLD_GRACE_S - settings.HOLD_LEASE_S)
    findings.append(Finding("D3", LATE_HOLDS[0], _number(LATE_HOLDS[1], [late])))
    findings.append(
        Finding("triggers", _("triggers missing that keep posted rows"), len(missing_triggers()))
    )
    return findings


def _number(query: str, parameters: list[datetime] | None = None) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters or [])
        row = cursor.fetchone()
    return int(row[0])
