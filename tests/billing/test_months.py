"""Months by which money is counted: around the end of a year, and in UTC."""

from datetime import UTC, date, datetime, timedelta, timezone

from billing import months


def test_a_year_ends_with_december() -> None:
    assert months.following(date(2026, 12, 1)) == date(2027, 1, 1)
    assert months.following(date(2026, 11, 1)) == date(2026, 12, 1)
    assert months.before(date(2027, 1, 1)) == date(2026, 12, 1)
    assert months.before(date(2026, 12, 1)) == date(2026, 11, 1)


def test_a_month_lasts_until_the_next_begins() -> None:
    begin, end = months.bounds(date(2026, 12, 1))
    assert begin == datetime(2026, 12, 1, tzinfo=UTC)
    assert end == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_moment_is_in_the_month_that_it_is_in_utc() -> None:
    east = timezone(timedelta(hours=8))
    assert months.month_of(datetime(2027, 1, 1, 7, 59, tzinfo=east)) == date(2026, 12, 1)
    assert months.month_of(datetime(2027, 1, 1, 8, 0, tzinfo=east)) == date(2027, 1, 1)
