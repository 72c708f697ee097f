"""What templates print: exact where it is money, readable where it is a count."""

from datetime import UTC, datetime

import pytest
from django.template import Context, Template
from django.test import RequestFactory
from django.utils.translation import override

from portal.templatetags import parlance


@pytest.mark.parametrize(
    ("nanos", "shown"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (250, "$0.00000025"),
        (1_500_000_000, "$1.50"),
        (-12_000, "-$0.000012"),
        (None, "–"),
    ],
)
def test_nanos_shows_every_digit(nanos: int | None, shown: str) -> None:
    assert parlance.nanos(nanos) == shown


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        (0.0, "0.0"), (12.345, "12.3"), (50.25, "50.3"), (99.96, "100.0"), (100.5, "101"),
        (1146.94, "1,147"), (None, "–"),
    ],
)  # fmt: skip
def test_a_rate_is_rounded_as_the_playground_rounds_it(
    rate: float | None, shown: str, language: str
) -> None:
    with override(language):
        assert parlance.rate(rate) == shown


@pytest.mark.parametrize(
    ("nanos", "shown"),
    [
        (5_000_000_000, "$5.00"),
        (4_998_712_345, "$4.9987"),
        (1_234_567_890_123, "$1,234.5679"),
        (99_999, "$0.000099999"),
        (100_000, "$0.0001"),
        (0, "$0.00"),
        (None, "–"),
    ],
)
def test_dollars_is_short_but_never_hides_a_small_amount(nanos: int | None, shown: str) -> None:
    assert parlance.dollars(nanos) == shown


@pytest.mark.parametrize(
    ("nanos", "shown"),
    [
        (5_000_000_000, "$5.00"),
        (9_999_999_999, "$9.9999"),
        (4_999_012_345, "$4.999"),
        (99_999, "$0.000099999"),
        (0, "$0.00"),
        (None, "–"),
    ],
)
def test_a_balance_is_rounded_down(nanos: int | None, shown: str) -> None:
    assert parlance.balance(nanos) == shown


def test_dollars_takes_a_number_of_decimals() -> None:
    assert parlance.dollars(4_998_712_345, 2) == "$5.00"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(84, "84 ms"), (999, "999 ms"), (1240, "1.24 s"), (125_000, "2 min 5 s"), (None, "–")],
)
def test_ms(value: float | None, shown: str) -> None:
    assert parlance.ms(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(812, "812"), (9_999, "9,999"), (12_345, "12.3k"), (4_560_000, "4.56M"), (None, "–")],
)
def test_tokens(value: int | None, shown: str) -> None:
    assert parlance.tokens(value) == shown


def test_number_groups_digits_and_percent_takes_a_share() -> None:
    assert parlance.number(1_234_567) == "1,234,567"
    assert parlance.percent(0.125) == "12.5%"
    assert parlance.percent(None) == "–"


def test_iso_is_what_a_datetime_attribute_holds() -> None:
    moment = datetime(2026, 11, 23, 15, 4, 5, 678_000, tzinfo=UTC)
    assert parlance.iso(moment) == "2026-11-23T15:04:05.678+00:00"


def test_query_changes_one_field_and_begins_again_at_the_first_page() -> None:
    request = RequestFactory().get("/", {"model": "a b", "page": "3"})
    template = Template("{% query model='x&y' %}|{% query page=4 %}|{% query model=None %}")
    changed, paged, less = template.render(Context({"request": request}, autoescape=False)).split(
        "|"
    )
    assert changed == "?model=x%26y"
    assert paged == "?model=a+b&page=4"
    assert less == "?"


def test_query_is_escaped_in_a_page() -> None:
    request = RequestFactory().get("/", {"model": '"><script>', "key": "k"})
    shown = Template("{% query page=2 %}").render(Context({"request": request}))
    assert "<" not in shown
    assert '"' not in shown


@override("zh-hans")
def test_money_counts_and_times_as_chinese_writes_them() -> None:
    assert parlance.nanos(-12_000) == "-US$0.000012"
    assert parlance.dollars(1_234_567_890_123) == "US$1,234.5679"
    assert parlance.balance(9_999_999_999) == "US$9.9999"
    assert parlance.number(1_234_567) == "1,234,567"
    counts = (9_999, 12_345, 4_560_000, 123_000_000)
    assert [parlance.tokens(count) for count in counts] == ["9,999", "1.23万", "456.00万", "1.23亿"]
    assert parlance.ms(125_000) == "2 分 5 秒"
    assert parlance.limit(0) == "不限"


@pytest.mark.parametrize(
    ("language", "shown"),
    [
        ("en", ["Mar 5, 2027", "Mar 5, 2027, 16:07", "March 2027", "Mar 5, 16:07:09", "Mar 2027"]),
        (
            "zh-hans",
            ["2027年3月5日", "2027年3月5日 16:07", "2027年3月", "3月5日 16:07:09", "2027年3月"],
        ),
    ],
)
def test_a_date_is_written_as_the_language_writes_it(language: str, shown: list[str]) -> None:
    names = ("", "DATETIME_FORMAT", "YEAR_MONTH_FORMAT", "SECONDS_FORMAT", "SHORT_MONTH_FORMAT")
    filters = [f'date:"{name}"' if name else "date" for name in names]
    template = Template("|".join(f"{{{{ at|{each} }}}}" for each in filters))
    at = datetime(2027, 3, 5, 16, 7, 9, tzinfo=UTC)
    with override(language):
        assert template.render(Context({"at": at})).split("|") == shown
