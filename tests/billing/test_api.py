"""The management API of money: what a key that may manage reads and begins, and nobody else."""

import pytest
from django.conf import LazySettings
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, Organisation
from billing import ledger
from billing.models import TierOverride
from portal.lib.money import NANOS_PER_DOLLAR
from tests.management import Program
from tests.portal.records import make_record

READ = ["api_balance", "api_limits", "api_usage", "api_transfers"]


def test_balance_usage_and_transfers_are_read(manager: Program, organisation: Organisation) -> None:
    ten = 10 * NANOS_PER_DOLLAR
    assert manager("get", "api_balance").json() == {
        "posted_nanos": ten, "pending_nanos": 0, "available_nanos": ten,
    }  # fmt: skip
    record = make_record(organisation)
    [found] = manager("get", "api_usage").json()["results"]
    assert (found["request_id"], found["cost_nanos"]) == (record.request_id, record.cost_nanos)
    [line] = manager("get", "api_transfers").json()["results"]
    assert (line["reference"], line["amount_nanos"]) == ("grant:cast", ten)


def test_another_organisations_money_is_not_there(
    stranger: Program, organisation: Organisation
) -> None:
    make_record(organisation)
    assert stranger("get", "api_balance").json()["posted_nanos"] == 0
    assert stranger("get", "api_usage").json()["results"] == []
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
    ledger.record_payment(
        organisation.pk, 5 * NANOS_PER_DOLLAR, reference="payment:a", description=""
    )
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
