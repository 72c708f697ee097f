"""Sums by bucket: a record falls into the bucket that its moment lies in, to the microsecond."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from accounts.models import Organisation
from billing.models import UsageRecord
from portal.pages import measures, periods
from tests.portal.records import make_record

# A week in which a day has 25 hours; in India hours begin at half past.
NOW = datetime(2026, 10, 27, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Europe/Zurich", "Asia/Kolkata"])
@pytest.mark.parametrize("name", list(periods.RANGES))
def test_a_bucket_begins_with_its_first_moment_and_ends_before_the_next(
    organisation: Organisation, name: str, zone: str
) -> None:
    period = periods.period(periods.RANGES[name], ZoneInfo(zone), NOW)
    for number, start in enumerate(period.starts):
        make_record(organisation, at=start.astimezone(UTC), cost_nanos=number)
        before = start.astimezone(UTC) - timedelta(microseconds=1)
        make_record(organisation, at=before, cost_nanos=1000 * number)
    make_record(organisation, at=NOW, cost_nanos=7)
    found = [
        totals.cost_nanos
        for _start, totals in measures.over_time(UsageRecord.objects.all(), period)
    ]
    last = len(period.starts) - 1
    assert found == [*(number + 1000 * (number + 1) for number in range(last)), last + 7]
