"""Short-hands for tests of plans: one of them, a subscription to it, its credit."""

from typing import Any

from django.test import Client
from django.urls import reverse

from billing.models import Plan
from portal.lib.money import NANOS_PER_CENT
from tests.billing.money import audit_is_clean
from tests.billing.rules import broken

CREDIT = 2200 * NANOS_PER_CENT


def subscribe(client: Client, plan: Plan) -> Any:
    return client.post(reverse("billing_subscribe", args=[plan.pk]))


def all_is_well() -> None:
    audit_is_clean()
    assert broken() == []
