"""What the tests of billing share: a stand-in for Stripe."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings as Settings

from tests.billing.stripe_double import SECRET_KEY, WEBHOOK_SECRET, StripeDouble, stripe_double


@pytest.fixture
def double(settings: Settings, reference_data: Callable[[str], Path]) -> Iterator[StripeDouble]:
    reference_data("stripe/fixtures3.json")
    with stripe_double() as running:
        settings.STRIPE_SECRET_KEY = SECRET_KEY
        settings.STRIPE_WEBHOOK_SECRET = WEBHOOK_SECRET
        settings.STRIPE_API_BASE = running.url
        yield running
