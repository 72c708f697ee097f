"""The first page of the portal: the balance and the sums, in the reader's own day."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts import flows
from accounts.models import Membership, Organisation, Role, User
from billing import ledger
from billing.models import Outcome
from portal.pages import periods
from tests.portal.records import make_record


def test_it_needs_a_sign_in(client: Client, db: None) -> None:
    response = client.get("/portal/")
    assert response.status_code == 302
    assert response["Location"] == "/accounts/login/?next=/portal/"


def test_it_shows_the_balance_of_the_ledger(
    alice_client: Client, organisation: Organisation
) -> None:
    ledger.grant(organisation.id, 12_345, reference="grant:odd", description="")
    assert ledger.balance(organisation.id).available_nanos == 10_000_012_345
    assert "$10.000012345" in alice_client.get("/portal/").content.decode()


@pytest.mark.usefixtures("noon")
def test_it_sums_today_and_this_month(alice_client: Client, organisation: Organisation) -> None:
    today = [make_record(organisation), make_record(organisation, outcome=Outcome.FAILED)]
    make_record(organisation, at=timezone.now() - timedelta(days=40))
    page = alice_client.get("/portal/")
    assert page.context["today"].cost_nanos == sum(record.cost_nanos for record in today)
    assert page.context["today"].requests == 2
    assert page.context["today"].failed == 1
    assert page.context["month"] == page.context["today"]


def test_a_day_begins_at_the_readers_midnight() -> None:
    tokyo = periods.zone_of("Asia/Tokyo")
    now = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)  # already the 24th in Tokyo
    assert periods.start_of_day(tokyo, now) == datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
    assert periods.start_of_month(tokyo, now) == datetime(2026, 10, 31, 15, 0, tzinfo=UTC)


def test_percentiles_are_ranks_of_real_rows(
    alice_client: Client, organisation: Organisation
) -> None:
    for ttft_ms in range(1, 101):
        make_record(organisation, ttft_ms=ttft_ms)
    make_record(organisation, ttft_ms=None)
    page = alice_client.get("/portal/")
    assert page.context["ttft_p50"] == 50
    assert page.context["ttft_p95"] == 95
    assert "median; 95 % within 95 ms" in page.content.decode()


def test_another_organisations_requests_count_for_nothing(
    charlie_client: Client, organisation: Organisation
) -> None:
    record = make_record(organisation)
    page = charlie_client.get("/portal/")
    assert page.context["today"].requests == 0
    assert record.request_id not in page.content.decode()


def test_next_steps_go_away_once_they_are_done(
    alice_client: Client, alice: User, organisation: Organisation
) -> None:
    def undone() -> list[str]:
        steps = alice_client.get("/portal/").context["steps"]
        return [step.title for step in steps if not step.done]

    assert undone() == [
        "Create an API key",
        "Make the first call",
        "Try the playground",
        "Protect your sign-in",
    ]
    flows.create_key(organisation, alice, "first")
    make_record(organisation, face="api")
    assert undone() == ["Try the playground", "Protect your sign-in"]
    make_record(organisation, face="playground")
    alice.authenticator_set.create(type="totp", data={"secret": "x"})
    assert alice_client.get("/portal/").context["steps"] == []


@pytest.mark.parametrize(
    ("role", "steps"),
    [
        (Role.ADMIN, ["Get some credit", "Create an API key", "Make the first call",
                      "Try the playground", "Protect your sign-in"]),
        (Role.DEVELOPER, ["Create an API key", "Make the first call", "Try the playground",
                          "Protect your sign-in"]),
        (Role.BILLING, ["Get some credit", "Protect your sign-in"]),
        (Role.VIEWER, ["Protect your sign-in"]),
    ],
)  # fmt: skip
def test_next_steps_are_those_that_a_role_can_take(
    role: Role, steps: list[str], bob: User, bob_client: Client
) -> None:
    Membership.objects.filter(user=bob).update(role=role)
    page = bob_client.get("/portal/")
    assert [step.title for step in page.context["steps"]] == steps


def test_the_chart_and_its_table_hold_the_same_numbers(
    alice_client: Client, organisation: Organisation
) -> None:
    record = make_record(organisation)
    page = alice_client.get("/portal/")
    chart = page.context["chart"]
    assert len(chart["times"]) == 30
    assert chart["lines"][0]["values"][-1] == pytest.approx(record.cost_nanos / 1e9)
    assert page.context["days"][-1][1].cost_nanos == record.cost_nanos
