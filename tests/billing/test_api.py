"""The management API of money: what a key that may manage reads and begins, and nobody else."""

from datetime import UTC, datetime, timedelta

import pytest
from django.conf import LazySettings
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, Organisation, User
from billing import ledger, postpaid, topups
from billing.models import Plan, Subscription, TierOverride, TopUp
from portal.lib.money import NANOS_PER_DOLLAR
from tests.billing.money import draft, hold
from tests.management import Program
from tests.portal.records import make_record

READ = ["api_balance", "api_limits", "api_usage", "api_transfers"]


def test_balance_usage_and_transfers_are_read(manager: Program, organisation: Organisation) -> None:
    ten = 10 * NANOS_PER_DOLLAR
    assert manager("get", "api_balance").json() == {
        "posted_nanos": ten, "pending_nanos": 0, "available_nanos": ten, "pays_later": False,
        "credit_line_nanos": 0, "owed_nanos": 0, "plans": [],
    }  # fmt: skip
    record = make_record(organisation)
    [today] = manager("get", "api_usage").json()
    assert (today["requests"], today["cost_nanos"]) == (1, record.cost_nanos)
    [line] = manager("get", "api_transfers").json()["results"]
    assert (line["reference"], line["amount_nanos"]) == ("grant:cast", ten)


def test_the_balance_says_what_is_owed_and_which_plan_there_is(
    manager: Program, stranger: Program, organisation: Organisation
) -> None:
    postpaid.turn_on(organisation, 5 * NANOS_PER_DOLLAR, "operator@example.com")
    hold("req_1", organisation.pk, 12 * NANOS_PER_DOLLAR)
    ledger.settle("req_1", draft(12 * NANOS_PER_DOLLAR))
    plan = Plan.objects.create(
        name="Team", stripe_price_id="price_1", price_cents=2000, interval="month",
        credit_cents=2200,
    )  # fmt: skip
    Subscription.objects.create(
        subscription_id="sub_1", organisation=organisation, plan=plan, status="active",
        period_ends_at=datetime(2026, 12, 1, tzinfo=UTC),
    )  # fmt: skip
    told = manager("get", "api_balance").json()
    plans = told.pop("plans")
    assert told == {
        "posted_nanos": -2 * NANOS_PER_DOLLAR, "pending_nanos": 0,
        "available_nanos": 3 * NANOS_PER_DOLLAR, "pays_later": True,
        "credit_line_nanos": 5 * NANOS_PER_DOLLAR, "owed_nanos": 2 * NANOS_PER_DOLLAR,
    }  # fmt: skip
    assert plans == [
        {
            "name": "Team", "status": "active", "price_nanos": 20 * NANOS_PER_DOLLAR,
            "credit_nanos": 22 * NANOS_PER_DOLLAR, "interval": "month",
            "period_ends_at": "2026-12-01T00:00:00Z", "ends": False,
        }
    ]  # fmt: skip
    theirs = stranger("get", "api_balance").json()
    assert (theirs["pays_later"], theirs["plans"]) == (False, [])


def test_another_organisations_money_is_not_there(
    stranger: Program, organisation: Organisation
) -> None:
    make_record(organisation)
    assert stranger("get", "api_balance").json()["posted_nanos"] == 0
    assert stranger("get", "api_usage").json() == []
    assert stranger("get", "api_transfers").json()["results"] == []


def test_the_limits_say_the_tier_and_why(
    manager: Program, organisation: Organisation, settings: LazySettings
) -> None:
    settings.RATE_LIMIT_TIERS = ["small:0:10:1000", "large:5:20:0"]
    small = {"name": "small", "paid_nanos": 0, "requests_per_minute": 10, "tokens_per_minute": 1000}
    large = {"name": "large", "paid_nanos": 5 * NANOS_PER_DOLLAR, "requests_per_minute": 20,
             "tokens_per_minute": 0}  # fmt: skip
    told = manager("get", "api_limits").json()
    assert told == {"tier": small, "paid_nanos": 0, "overridden": False, "tiers": [small, large]}
    paid = TopUp.objects.create(organisation=organisation, amount_cents=500, form_token="a")
    topups.book(paid, "pi_1", "Top-up by card")
    assert manager("get", "api_limits").json()["tier"] == large
    TierOverride.objects.create(organisation=organisation, tier="small", reason="too fast")
    told = manager("get", "api_limits").json()
    assert (told["tier"], told["overridden"]) == (small, True)


@pytest.mark.parametrize("name", READ)
def test_only_a_management_key_reads(name: str, api_key: tuple[ApiKey, str]) -> None:
    assert Client().get(reverse(name)).status_code == 401
    assert Program(api_key[1])("get", name).status_code == 403


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_what_is_read_only_is_not_written(name: str, method: str, manager: Program) -> None:
    assert manager(method, name, {}).status_code == 405


def test_usage_is_summed_by_day_model_and_key(
    manager: Program, organisation: Organisation, api_key: tuple[ApiKey, str], charlie: User
) -> None:
    now = datetime(2026, 3, 14, 23, 59, tzinfo=UTC)
    make_record(organisation, at=now, api_key_id=api_key[0].pk, cost_nanos=1)
    make_record(organisation, at=now + timedelta(minutes=2), cost_nanos=2, output_tokens=7)
    make_record(organisation, at=now - timedelta(days=9), cost_nanos=4)
    make_record(organisation, at=datetime(2026, 3, 16, tzinfo=UTC), cost_nanos=8)  # `until` itself
    make_record(charlie.memberships.get().organisation, at=now)
    days = {"since": "2026-03-14", "until": "2026-03-16"}
    first, second = summary(manager, days).json()
    assert second == {
        "group": "2026-03-15", "requests": 1, "uncached_tokens": 100, "cached_tokens": 20,
        "output_tokens": 7, "cost_nanos": 2,
    }  # fmt: skip
    assert (first["group"], first["cost_nanos"]) == ("2026-03-14", 1)
    [model] = summary(manager, {**days, "group_by": "model"}).json()
    assert (model["group"], model["requests"], model["cost_nanos"]) == ("starter", 2, 3)
    by_key = summary(manager, {**days, "group_by": "key"}).json()
    assert {row["group"] for row in by_key} == {"", str(api_key[0].pk)}


def summary(manager: Program, query: dict[str, str]) -> HttpResponse:
    return Client().get(reverse("api_usage"), query, headers=manager.headers)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"since": "yesterday"}, "since"), ({"until": "2026-02-30"}, "until"),
        ({"since": "2026-03-02", "until": "2026-03-02"}, "since"),
        ({"since": "2024-01-01", "until": "2026-01-01"}, "since"),
        ({"since": "9999-12-31"}, "since"), ({"until": "0001-01-02"}, "until"),
        ({"group_by": "face"}, "group_by"), ({"until": ""}, "until"),
        ({"groupby": "model"}, "groupby"),
    ],
)  # fmt: skip
def test_a_span_of_time_that_is_none_is_named(
    manager: Program, query: dict[str, str], param: str
) -> None:
    answer = summary(manager, query)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
