"""Meter events: what Stripe takes of one, and what becomes of more."""

import pytest

from accounts.models import Organisation
from billing import ledger, postpaid
from billing.models import MeterBatch
from portal.lib.money import NANOS_PER_DOLLAR
from tests.billing.money import audit_is_clean, draft, hold
from tests.billing.payments import TEN, told
from tests.billing.stripe_double import StripeDouble

pytestmark = pytest.mark.django_db(transaction=True)


def test_more_than_stripe_takes_at_once_is_told_in_parts(
    double: StripeDouble, organisation: Organisation
) -> None:
    owed = 1_234_567 * NANOS_PER_DOLLAR + 890_123_456
    postpaid.turn_on(organisation, owed, "operator@example.com")
    hold("req_1", organisation.pk, TEN + owed)
    ledger.settle("req_1", draft(TEN + owed))
    for _ in range(3):
        postpaid.run()
    assert told(double) == [postpaid.MOST_NANOS, owed - postpaid.MOST_NANOS]
    assert not MeterBatch.objects.exclude(error="").exists()
    audit_is_clean()
