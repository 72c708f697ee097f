"""Buckets of time: aligned to the reader's clock, none lost when clocks change."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from portal.pages import periods

ZURICH = ZoneInfo("Europe/Zurich")
NOW = datetime(2026, 11, 23, 16, 20, 30, tzinfo=UTC)


@pytest.mark.parametrize("name", list(periods.RANGES))
def test_a_range_has_its_number_of_buckets_and_holds_now(name: str) -> None:
    chosen = periods.RANGES[name]
    period = periods.period(chosen, ZURICH, NOW)
    assert len(period.starts) == chosen.count
    assert period.starts[-1] <= NOW
    assert list(period.starts) == sorted(set(period.starts))


def test_hours_go_on_evenly_when_clocks_change() -> None:
    night = datetime(2026, 10, 25, 12, 0, tzinfo=UTC)  # summer time ended at 01:00 UTC
    period = periods.period(periods.RANGES["day"], ZURICH, night)
    steps = {later - earlier for earlier, later in pairwise(period.starts)}
    assert steps == {timedelta(hours=1)}


def test_days_begin_at_local_midnight_also_when_clocks_change() -> None:
    after = datetime(2026, 10, 26, 12, 0, tzinfo=UTC)
    period = periods.period(periods.RANGES["week"], ZURICH, after)
    assert [start.astimezone(ZURICH).hour for start in period.starts] == [0] * 7
    assert period.starts[-1].astimezone(UTC).hour == 23  # winter
    assert period.starts[0].astimezone(UTC).hour == 22  # summer


def test_months_reach_back_a_year() -> None:
    period = periods.period(periods.RANGES["year"], ZURICH, NOW)
    assert [start.month for start in period.starts] == [12, *range(1, 12)]
    assert period.starts[0].year == 2025


@pytest.mark.parametrize("name", ["", "Nowhere/Nothing", "../../etc/passwd", "\0"])
def test_an_unknown_zone_is_utc(name: str) -> None:
    assert periods.zone_of(name) is UTC
