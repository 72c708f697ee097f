"""Short-hands for tests of automatic top-ups: a saved card, turned on, tried again."""

from typing import Any

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing import autotopup
from billing.models import AutoTopUp, StripeCustomer, TopUp
from billing.months import before, bounds, month_of
from portal.lib.money import NANOS_PER_CENT
from tests.billing.payments import hear
from tests.billing.stripe_double import StripeDouble

CHARGE = 2500 * NANOS_PER_CENT


def save_card(double: StripeDouble, client: Client, card: str = "4242") -> StripeCustomer:
    answer = client.post(reverse("billing_save_card"))
    double.pay(answer["Location"].rpartition("/")[2], card)
    hear(double, client)
    return StripeCustomer.objects.get()


def turn_on(client: Client, **changes: str) -> Any:
    form = {"threshold": "20.00", "amount": "25.00", "ceiling": "60.00", **changes}
    return client.post(reverse("billing_auto_top_up"), form)


def charges(double: StripeDouble) -> list[int]:
    return [each["amount_received"] for each in double.all("payment_intent")]


def auto() -> AutoTopUp:
    return AutoTopUp.objects.get()


def again() -> None:
    """The next run, when its time has come."""
    AutoTopUp.objects.update(next_attempt_at=timezone.now())
    autotopup.run()


def a_month_later() -> None:
    """What was until now was in the month before."""
    earlier = before(month_of(timezone.now()))
    TopUp.objects.update(created_at=bounds(earlier)[0])
    AutoTopUp.objects.update(month=earlier)
