"""The list of requests and the page of one: own organisation alone, explained to the nano."""

import html
import re
from datetime import timedelta

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey, Organisation
from billing.models import Outcome, Price
from portal.pages.requests import PER_PAGE, sum_of
from tests.portal.records import make_record, offer_starter


def test_it_needs_a_sign_in(client: Client, organisation: Organisation) -> None:
    record = make_record(organisation)
    for path in ("/portal/requests/", f"/portal/requests/{record.request_id}/"):
        assert client.get(path).status_code == 302


def test_the_newest_come_first_and_the_rest_on_further_pages(
    alice_client: Client, organisation: Organisation
) -> None:
    now = timezone.now()
    for number in range(PER_PAGE + 1):
        make_record(organisation, at=now - timedelta(minutes=number))
    first = alice_client.get("/portal/requests/")
    times = [record.created_at for record, *_rest in first.context["rows"]]
    assert times == sorted(times, reverse=True)
    assert len(times) == PER_PAGE
    second = alice_client.get("/portal/requests/?page=2")
    assert len(second.context["rows"]) == 1
    assert len(alice_client.get("/portal/requests/?page=99").context["rows"]) == 1


def test_a_further_page_that_was_come_to_by_its_number_goes_on_by_number(
    alice_client: Client, organisation: Organisation
) -> None:
    """As by an address that somebody kept: it does not know which row the first page began with."""
    for _ in range(3 * PER_PAGE + 1):
        make_record(organisation)
    second = alice_client.get("/portal/requests/?page=2")
    third = alice_client.get(f"/portal/requests/{link(second, 'next')}")
    assert len(third.context["rows"]) == PER_PAGE


def test_what_arrives_meanwhile_repeats_no_row_on_a_further_page(
    alice_client: Client, organisation: Organisation
) -> None:
    for _ in range(PER_PAGE + 1):
        make_record(organisation)
    first = alice_client.get("/portal/requests/")
    make_record(organisation)
    second = alice_client.get(f"/portal/requests/{link(first, 'next')}")
    shown = [record.pk for page in (first, second) for record, *_rest in page.context["rows"]]
    assert len(shown) == len(set(shown)) == PER_PAGE + 1
    newer = alice_client.get(f"/portal/requests/{link(second, 'prev')}")
    assert newer.context["page_obj"].paginator.count == PER_PAGE + 2, "the first page is live"


def link(page: HttpResponse, rel: str) -> str:
    """Where the button leads, newer (`prev`) or older (`next`)."""
    [address] = re.findall(rf'rel="{rel}" href="([^"]+)"', page.content.decode())
    return html.unescape(address)


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ("status=failed", 1),
        ("status=finished", 2),
        ("face=playground", 1),
        ("model=starter", 3),
        ("range=hour", 2),
        ("status=failed&face=playground", 0),
    ],
)
def test_filters(
    alice_client: Client, organisation: Organisation, query: str, matches: int
) -> None:
    make_record(organisation, outcome=Outcome.FAILED)
    make_record(organisation, face="playground")
    make_record(organisation, at=timezone.now() - timedelta(days=2))
    assert len(alice_client.get(f"/portal/requests/?{query}").context["rows"]) == matches


def test_a_request_is_found_by_its_id(alice_client: Client, organisation: Organisation) -> None:
    record = make_record(organisation)
    make_record(organisation)
    page = alice_client.get(f"/portal/requests/?request=%20{record.request_id}%20")
    assert [found for found, *_rest in page.context["rows"]] == [record]


@pytest.mark.parametrize(
    "query",
    ["status=paid", "page=0", "page=x", "page=99999999999", "face=fax", "request=%00", "key=k",
     "model=%F0%9F%92%A9", "range=1", "request=" + "r" * 41],
)  # fmt: skip
def test_a_bad_filter_is_named(alice_client: Client, query: str) -> None:
    page = alice_client.get(f"/portal/requests/?{query}")
    assert page.status_code == 400
    assert f"<code>{query.partition('=')[0]}</code>" in page.content.decode()


@pytest.mark.parametrize(
    ("duration_ms", "speed"), [(31, None), (34, None), (35, 3_000), (45, 1_000)]
)
def test_a_speed_is_told_where_there_was_time_to_measure_it(
    alice_client: Client, organisation: Organisation, duration_ms: int, speed: float | None
) -> None:
    """An answer whose tokens came all at once would have had any number of them a second."""
    record = make_record(organisation, ttft_ms=30, duration_ms=duration_ms, output_tokens=16)
    page = alice_client.get(f"/portal/requests/{record.request_id}/")
    assert page.context["tokens_per_s"] == (speed and pytest.approx(speed))


def test_the_speed_is_that_of_the_tokens_whatever_else_took_time(
    alice_client: Client, organisation: Organisation
) -> None:
    """A hold that is late, or an extension of it, is in the duration."""
    record = make_record(organisation, ttft_ms=30, duration_ms=900, decode_ms=100, output_tokens=16)
    page = alice_client.get(f"/portal/requests/{record.request_id}/")
    assert page.context["tokens_per_s"] == 150


def test_another_organisation_sees_neither_list_nor_request(
    charlie_client: Client, organisation: Organisation
) -> None:
    record = make_record(organisation)
    assert record.request_id not in charlie_client.get("/portal/requests/").content.decode()
    found = charlie_client.get(f"/portal/requests/?request={record.request_id}")
    assert found.context["rows"] == []
    assert charlie_client.get(f"/portal/requests/{record.request_id}/").status_code == 404


def test_the_live_fragment_is_the_table_alone(
    alice_client: Client, organisation: Organisation
) -> None:
    record = make_record(organisation)
    fragment = alice_client.get(
        "/portal/requests/", headers={"X-Fragment": "live-requests"}
    ).content.decode()
    assert record.request_id in fragment
    assert "<html" not in fragment


def test_the_drawer_gets_the_request_alone(
    alice_client: Client, organisation: Organisation
) -> None:
    record = make_record(organisation)
    address = f"/portal/requests/{record.request_id}/"
    fragment = alice_client.get(address, headers={"X-Fragment": "request"}).content.decode()
    assert record.request_id in fragment
    assert "<html" not in fragment


def test_the_sum_adds_up_to_what_was_charged(
    alice_client: Client, organisation: Organisation, api_key: tuple[ApiKey, str]
) -> None:
    record = make_record(organisation, api_key_id=api_key[0].pk)
    added = sum_of(record)
    assert added.rounded_nanos == added.charged_nanos == record.cost_nanos
    page = alice_client.get(f"/portal/requests/{record.request_id}/").content.decode()
    assert "$0.00001</td>" in page  # 100 tokens at $0.10 a million
    assert "$0.000001</td>" in page  # 20 cached at $0.05
    assert "$0.000012</td>" in page  # 30 at $0.40
    assert "$0.000023</td>" in page
    assert api_key[0].name in page


def test_fractions_of_a_nano_are_shown_before_the_rounding_up(
    alice_client: Client, organisation: Organisation
) -> None:
    price = Price.objects.create(
        model="odd",
        input_nanos_per_mtok=133_333,
        cached_input_nanos_per_mtok=0,
        output_nanos_per_mtok=1,
    )
    organisation.multiplier_bp = 8_000
    organisation.save(update_fields=["multiplier_bp"])
    record = make_record(
        organisation, price=price, model="odd",
        uncached_tokens=10, cached_tokens=0, output_tokens=1,
    )  # fmt: skip
    assert record.cost_nanos == 2  # 1.06666 rounded up
    page = alice_client.get(f"/portal/requests/{record.request_id}/").content.decode()
    assert "$0.00000000133333</td>" in page
    assert "× 0.8<" in page
    assert "$0.0000000010666648</td>" in page
    assert "$0.000000002</td>" in page
    assert "Charged, rounded up to the nano-dollar" in page


def test_a_request_of_the_flex_tier_says_what_part_of_the_price_it_cost(
    alice_client: Client, organisation: Organisation
) -> None:
    price = Price.objects.create(
        model="odd", input_nanos_per_mtok=10**9, cached_input_nanos_per_mtok=0,
        output_nanos_per_mtok=0, flex_multiplier_bp=5_000,
    )  # fmt: skip
    record = make_record(
        organisation, price=price, model="odd", service_tier="flex", rate_bp=8_000,
        multiplier_bp=4_000, cost_nanos=40_000, uncached_tokens=100,
    )  # fmt: skip
    page = alice_client.get(f"/portal/requests/{record.request_id}/").content.decode()
    assert "Flex tier (50 % of the price) at your organisation&#x27;s rate (80 %)" in page.replace(
        "&#39;", "&#x27;"
    ).replace("organisation's", "organisation&#x27;s")
    assert "× 0.4<" in page
    assert "$0.00004</td>" in page


def test_what_was_waived_is_said(alice_client: Client, organisation: Organisation) -> None:
    record = make_record(
        organisation, outcome=Outcome.FAILED, cost_nanos=0, waived_tokens=2, error="engine_lost"
    )
    page = alice_client.get(f"/portal/requests/{record.request_id}/").content.decode()
    assert "the rest is on us" in page
    assert "2 more tokens were sampled and not charged" in page
    assert "engine_lost" in page


def test_codes_have_words_and_stay_to_be_seen(
    alice_client: Client, organisation: Organisation
) -> None:
    lost = make_record(organisation, outcome=Outcome.FAILED, error="engine_lost", finish_reason="")
    page = alice_client.get(f"/portal/requests/{lost.request_id}/").content.decode()
    assert (
        'The engine that served it was lost. <code class="small muted">engine_lost</code>' in page
    )
    cut = make_record(organisation, finish_reason="length")
    page = alice_client.get(f"/portal/requests/{cut.request_id}/").content.decode()
    assert 'cut at max_tokens or at the end of the context <code class="small muted">' in page
    make_record(organisation, outcome=Outcome.ABORTED)
    page = alice_client.get("/portal/requests/").content.decode()
    assert page.count("Stopped") == 2  # in the filter and in the table: one word for it
    assert "Aborted" not in page


def test_what_a_stranger_put_into_a_record_is_text(
    alice_client: Client, organisation: Organisation
) -> None:
    record = make_record(organisation, price=offer_starter(), model="<script>alert(1)</script>")
    for path in ("/portal/requests/", f"/portal/requests/{record.request_id}/", "/portal/usage/"):
        assert "<script>alert" not in alice_client.get(path).content.decode()


@pytest.mark.parametrize("name", ["nothing", "req_0%00", "a%2Fb", "x" * 300])
def test_an_unknown_request_is_a_404(alice_client: Client, name: str) -> None:
    assert alice_client.get(f"/portal/requests/{name}/").status_code == 404
