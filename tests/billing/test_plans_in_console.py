"""The operator's pages for plans: made of a price at Stripe, edited and withdrawn without it."""

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from accounts.models import User
from billing.models import Plan
from tests.billing.payments import make_plan
from tests.billing.stripe_double import StripeDouble, subscriptions
from tests.conftest import signed_in

pytestmark = pytest.mark.django_db(transaction=True)
ADD = "admin:billing_plan_add"


@pytest.fixture
def operator(alice: User) -> Client:
    User.objects.filter(pk=alice.pk).update(is_staff=True, is_superuser=True)
    return signed_in(alice)


def test_a_plan_costs_what_stripe_says(double: StripeDouble, operator: Client) -> None:
    price = subscriptions.make_plan_price(double, 2000)
    said = {"name": "Team", "stripe_price_id": price["id"], "credit_cents": "1999", "active": "on"}
    errors = operator.post(reverse(ADD), said).context["errors"]
    assert any("at least as much as it costs" in str(error) for error in errors)
    assert operator.post(reverse(ADD), said | {"credit_cents": "2200"}).status_code == 302
    assert Plan.objects.get().price_cents == 2000


def test_a_price_that_lacks_or_is_not_there_is_named(
    double: StripeDouble, operator: Client
) -> None:
    said = {"name": "Team", "credit_cents": "2200"}
    for price_id in ("", "price_nowhere"):
        answer = operator.post(reverse(ADD), said | {"stripe_price_id": price_id})
        assert answer.context["adminform"].form.errors.keys() == {"stripe_price_id"}


def test_a_plan_is_renamed_and_withdrawn_also_while_stripe_is_away(
    double: StripeDouble, operator: Client, settings: Settings
) -> None:
    plan = make_plan(double)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    page = reverse("admin:billing_plan_change", args=[plan.pk])
    assert operator.post(page, {"name": "Old", "credit_cents": "2100"}).status_code == 302
    assert operator.post(page, {"name": "Old", "credit_cents": "1"}).status_code == 200
    plan.refresh_from_db()
    assert (plan.name, plan.active, plan.credit_cents, plan.price_cents) == (
        "Old", False, 2100, 2000,
    )  # fmt: skip
