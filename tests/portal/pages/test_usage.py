"""Usage: sums of the organisation's own records, as page and as CSV."""

import csv
import io
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import flows
from accounts.models import ApiKey, Organisation, User
from billing.models import Outcome
from tests.portal.records import make_record


def lines_of(client: Client, query: str = "") -> list[dict[str, str]]:
    response = client.get(f"/portal/usage.csv{query}")
    assert response.status_code == 200
    text = response.content.decode()
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("path", ["/portal/usage/", "/portal/usage.csv"])
def test_it_needs_a_sign_in(client: Client, db: None, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("path", ["/portal/usage/", "/portal/usage.csv"])
def test_it_is_read_only(alice_client: Client, path: str) -> None:
    assert alice_client.post(path).status_code == 405


def test_an_empty_organisation_is_shown_what_to_do(alice_client: Client) -> None:
    page = alice_client.get("/portal/usage/").content.decode()
    assert "Nothing in this time" in page
    assert "/docs/quickstart/" in page


def test_totals_buckets_and_breakdowns_agree(
    alice_client: Client, organisation: Organisation
) -> None:
    records = [
        make_record(organisation, at=timezone.now() - timedelta(days=day), output_tokens=day + 1)
        for day in range(6)
    ]
    page = alice_client.get("/portal/usage/?range=week")
    spent = sum(record.cost_nanos for record in records)
    assert page.context["totals"].cost_nanos == spent
    assert sum(found.cost_nanos for _start, found in page.context["buckets"]) == spent
    for breakdown in page.context["breakdowns"]:
        assert sum(found.cost_nanos for _name, _value, found in breakdown.rows) == spent


@pytest.mark.parametrize("name", ["hour", "day", "week", "month", "year"])
@pytest.mark.parametrize("metric", ["spend", "tokens", "requests", "cache", "errors"])
def test_every_range_and_metric_has_a_page(
    alice_client: Client, organisation: Organisation, name: str, metric: str
) -> None:
    record = make_record(organisation)
    page = alice_client.get(f"/portal/usage/?range={name}&metric={metric}&group=model")
    assert page.status_code == 200
    assert page.context["totals"].cost_nanos == record.cost_nanos
    assert page.context["chart"]["lines"][0]["label"] == "starter"


def test_a_filter_narrows_everything(
    alice_client: Client, organisation: Organisation, api_key: tuple[ApiKey, str]
) -> None:
    mine = make_record(organisation, api_key_id=api_key[0].pk)
    make_record(organisation)
    page = alice_client.get(f"/portal/usage/?key={api_key[0].pk}")
    assert page.context["totals"].requests == 1
    assert page.context["totals"].cost_nanos == mine.cost_nanos
    (line,) = lines_of(alice_client, f"?key={api_key[0].pk}")
    assert line["cost_nanos"] == str(mine.cost_nanos)


def test_a_split_by_key_draws_a_line_for_each_and_the_rest_together(
    alice_client: Client, alice: User, organisation: Organisation
) -> None:
    for number in range(6):
        key, _secret = flows.create_key(organisation, alice, f"key {number}")
        make_record(organisation, api_key_id=key.pk, output_tokens=1000 * (number + 1))
    chart = alice_client.get("/portal/usage/?group=key&metric=requests").context["chart"]
    labels = [line["label"].partition(" (")[0] for line in chart["lines"]]
    assert labels == ["key 5", "key 4", "key 3", "key 2", "Others"]
    assert chart["lines"][-1]["values"][-1] == 2


def test_the_records_are_added_up_once_for_the_whole_page(
    alice_client: Client, organisation: Organisation
) -> None:
    make_record(organisation)
    with CaptureQueriesContext(connection) as asked:
        alice_client.get("/portal/usage/?group=model")
    assert len([query for query in asked.captured_queries if "SUM(" in query["sql"]]) == 1


def test_another_organisation_sees_nothing(
    charlie_client: Client, organisation: Organisation, api_key: tuple[ApiKey, str]
) -> None:
    make_record(organisation, api_key_id=api_key[0].pk)
    page = charlie_client.get("/portal/usage/")
    assert page.context["totals"].requests == 0
    assert api_key[0].name not in page.content.decode()
    assert lines_of(charlie_client) == []


@pytest.mark.parametrize(
    "query",
    [
        "range=never",
        "range=day%00",
        "metric=money",
        "group=user_id",
        "model=%00",
        "model=gpt-9",
        "key=1",
        "key=00000000-0000-0000-0000-000000000000",
        "member=-1",
        "member=1%20OR%201=1",
        "key=" + "x" * 5000,
    ],
)
def test_a_bad_filter_is_named_not_guessed(alice_client: Client, query: str) -> None:
    field = query.partition("=")[0]
    page = alice_client.get(f"/portal/usage/?{query}")
    assert page.status_code == 400
    assert f"<code>{field}</code>" in page.content.decode()
    download = alice_client.get(f"/portal/usage.csv?{query}")
    assert download.status_code == 400
    assert field in download.content.decode()


def test_another_organisations_key_is_a_bad_filter(
    charlie_client: Client, api_key: tuple[ApiKey, str]
) -> None:
    assert charlie_client.get(f"/portal/usage/?key={api_key[0].pk}").status_code == 400


def test_the_csv_adds_up_to_what_was_billed(
    alice_client: Client, alice: User, organisation: Organisation
) -> None:
    records = [
        make_record(organisation, output_tokens=7),
        make_record(organisation, user_id=alice.pk, outcome=Outcome.FAILED, cost_nanos=0),
        make_record(organisation, at=timezone.now() - timedelta(days=3)),
    ]
    lines = lines_of(alice_client)
    assert sum(int(line["cost_nanos"]) for line in lines) == sum(r.cost_nanos for r in records)
    assert sum(int(line["requests"]) for line in lines) == 3
    assert sum(int(line["failed"]) for line in lines) == 1
    assert {line["member"] for line in lines} == {"No member", alice.email}


def test_columns_of_input_say_which_part_of_it_they_hold(
    alice_client: Client, organisation: Organisation
) -> None:
    """Both are prices of their own: their sum is what the page counts as tokens in."""
    make_record(organisation, uncached_tokens=1_100, cached_tokens=700)
    page = alice_client.get("/portal/usage/")
    heads = re.findall(r'<th scope="col"[^>]*>([^<]+)</th>', page.content.decode())
    assert heads.count("Uncached input") == heads.count("Cached input") == 4
    assert "Input" not in heads
    assert page.context["totals"].prompt_tokens == 1_800
    (line,) = lines_of(alice_client)
    assert (line["uncached_input_tokens"], line["cached_input_tokens"]) == ("1100", "700")


def test_the_csv_holds_no_formula(
    alice_client: Client, alice: User, organisation: Organisation
) -> None:
    key, _secret = flows.create_key(organisation, alice, '=HYPERLINK("http://x")')
    make_record(organisation, api_key_id=key.pk)
    (line,) = lines_of(alice_client)
    assert line["key"].startswith("'=")


def test_buckets_follow_the_readers_time_zone(
    alice_client: Client, alice: User, organisation: Organisation
) -> None:
    alice.time_zone = "Pacific/Auckland"
    alice.save(update_fields=["time_zone"])
    make_record(organisation)
    (line,) = lines_of(alice_client)
    assert line["start"].endswith(("T00:00:00+13:00", "T00:00:00+12:00"))


def test_a_key_that_was_deleted_keeps_its_use_on_record(
    alice_client: Client, organisation: Organisation
) -> None:
    make_record(organisation, api_key_id="11111111-1111-1111-1111-111111111111")
    assert "Deleted" in alice_client.get("/portal/usage/").content.decode()
