"""Calendar months, in UTC: what caps, ceilings and statements count by."""

from datetime import UTC, date, datetime


def month_of(moment: datetime) -> date:
    """The first day of its month."""
    return moment.astimezone(UTC).date().replace(day=1)


def bounds(month: date) -> tuple[datetime, datetime]:
    """Its first moment, and the next month's. Raises ValueError for the last month there is."""
    after = following(month)
    begin = datetime(month.year, month.month, 1, tzinfo=UTC)
    return begin, datetime(after.year, after.month, 1, tzinfo=UTC)


def following(month: date) -> date:
    if month.month == 12:
        return date(month.year + 1, 1, 1)
    return month.replace(month=month.month + 1)


def before(month: date) -> date:
    if month.month == 1:
        return date(month.year - 1, 12, 1)
    return month.replace(month=month.month - 1)
