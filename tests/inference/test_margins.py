"""The operator's margins: what each model earned, for how many hours of its engines."""

from datetime import UTC, date, datetime

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from accounts.models import Organisation
from billing import waivers
from billing.models import LateWaiver
from inference import margins
from inference.margins import MS_PER_HOUR
from inference.models import EngineTime
from tests.conftest import make_user, signed_in
from tests.portal.records import make_record

MARCH = date(2026, 3, 1)
PAGE = "/operator/inference/servedmodel/margins/"


@pytest.fixture
def march(organisation: Organisation) -> Organisation:
    """Two models earned; the engines of one and of a third ran; others in other months."""
    within = datetime(2026, 3, 31, 23, 59, tzinfo=UTC)
    make_record(organisation, at=within, cost_nanos=7 * 10**9, output_tokens=5)
    make_record(organisation, at=within, cost_nanos=1, output_tokens=2)
    make_record(organisation, at=within, model="other", cost_nanos=3)
    make_record(organisation, at=datetime(2026, 4, 1, tzinfo=UTC), cost_nanos=1000)
    for day in (1, 31):
        margins.add_engine_time("starter", date(2026, 3, day), MS_PER_HOUR)
    margins.add_engine_time("starter", date(2026, 4, 1), MS_PER_HOUR)
    margins.add_engine_time("idle", date(2026, 3, 5), 500)
    return organisation


def test_revenue_stands_beside_the_hours_of_engines(march: Organisation) -> None:
    starter, other, idle = margins.margins(MARCH)
    assert (starter.model, starter.requests, starter.output_tokens) == ("starter", 2, 7)
    assert (starter.revenue_nanos, starter.engine_hours) == (7 * 10**9 + 1, 2.0)
    assert starter.nanos_per_engine_hour == 3_500_000_000
    assert (other.model, other.revenue_nanos, other.nanos_per_engine_hour) == ("other", 3, None)
    assert (idle.model, idle.requests, idle.nanos_per_engine_hour) == ("idle", 0, 0)


def test_tokens_that_no_record_tells_of_are_counted(march: Organisation) -> None:
    for name, model, month in (("a", "starter", 3), ("b", "idle", 3), ("c", "idle", 4)):
        waivers.note(f"req_{name}", 11, model=model)
        moved = LateWaiver.objects.filter(request_id=f"req_{name}")
        moved.update(created_at=datetime(2026, month, 31 if month == 3 else 1, 12, tzinfo=UTC))
    LateWaiver.objects.create(
        request_id="req_old", tokens=5, created_at=datetime(2026, 3, 2, tzinfo=UTC)
    )
    waived = {row.model: row.waived_tokens for row in margins.margins(MARCH)}
    assert waived == {"starter": 11, "other": 0, "idle": 11}


def test_time_is_added_up_by_day(db: None) -> None:
    for _booking in range(2):
        margins.add_engine_time("starter", MARCH, 250)
    assert EngineTime.objects.get().milliseconds == 500
    with pytest.raises(IntegrityError), transaction.atomic():
        EngineTime.objects.create(model="starter", day=MARCH)
    with pytest.raises(IntegrityError), transaction.atomic():
        EngineTime.objects.update(milliseconds=-1)


def test_operators_read_it_and_nobody_else(march: Organisation, alice_client: Client) -> None:
    boss = make_user("boss@example.com", "Boss")
    boss.is_staff = boss.is_superuser = True
    boss.save()
    page = signed_in(boss).get(PAGE, {"month": "2026-03"}).content.decode()
    for part in ("starter", "$7.000000001", "$3.50", "idle", "$7.000000004"):
        assert part in page
    for odd in ("\0", "2026-13", "9999-12", "x" * 1000):
        assert signed_in(boss).get(PAGE, {"month": odd}).status_code == 200
    assert signed_in(boss).post(PAGE).status_code == 405
    assert alice_client.get(PAGE).status_code == 302
    boss.is_superuser = False
    boss.save()
    assert signed_in(boss).get(PAGE).status_code == 403
