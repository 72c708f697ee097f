"""Home, models and status: open to everyone, true to the catalogue and the records."""

import re
from datetime import datetime, timedelta
from html import unescape
from urllib.robotparser import RobotFileParser

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Organisation
from billing import pricing
from billing.models import Outcome
from inference import catalog
from inference.models import ModelKind, ServedModel
from inference.service import ModelLoad
from portal.pages import status
from portal.pages.measures import Totals
from tests.portal.records import MODEL, make_record, offer_starter

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_catalogue() -> None:
    catalog.forget()


def test_home_shows_the_prices_that_are_billed(client: Client) -> None:
    price = offer_starter()
    page = client.get("/").content.decode()
    assert "$0.10" in page
    assert price.output_nanos_per_mtok == 400_000_000
    assert "$0.40" in page


def test_home_works_without_a_model(client: Client) -> None:
    assert client.get("/").status_code == 200


def test_models_lists_what_is_on_offer_and_its_measured_speed(
    client: Client, organisation: Organisation
) -> None:
    offer_starter()
    for ttft_ms in (100, 200, 400):
        make_record(organisation, ttft_ms=ttft_ms, duration_ms=ttft_ms + 1000, output_tokens=51)
    make_record(organisation, ttft_ms=200, duration_ms=9_000, decode_ms=1000, output_tokens=51)
    # All at once: a speed that is told nowhere else is no part of the models' either.
    make_record(organisation, ttft_ms=200, duration_ms=201, decode_ms=1, output_tokens=900)
    make_record(organisation, at=timezone.now() - timedelta(hours=2), ttft_ms=9_000)
    page = client.get("/models/").content.decode()
    assert "200 ms" in page  # the median of the last hour
    assert ">50.0<" in page  # 50 tokens after the first, in a second
    assert "9.00 s" not in page


def test_a_disabled_model_is_not_listed(client: Client) -> None:
    offer_starter()
    ServedModel.objects.update(enabled=False)
    catalog.forget()
    assert MODEL not in client.get("/models/").content.decode()
    assert client.get(f"/models/{MODEL}/").status_code == 404


def test_a_models_page_says_when_it_will_be_switched_off(client: Client) -> None:
    offer_starter()
    ServedModel.objects.update(shutdown_date="2027-03-01")
    catalog.forget()
    assert "Mar 1, 2027" in client.get(f"/models/{MODEL}/").content.decode()


@pytest.mark.parametrize("state", ["unloaded", "drained"])
def test_a_model_that_is_switched_off_for_now_says_so(client: Client, state: str) -> None:
    offer_starter()
    paths = ("/models/", f"/models/{MODEL}/")
    said = "Switched off for now"
    assert not [path for path in paths if said in client.get(path).content.decode()]
    ServedModel.objects.update(state=state)
    catalog.forget()
    assert all(said in client.get(path).content.decode() for path in paths)


def test_a_name_with_slashes_has_a_page(client: Client) -> None:
    offer_starter()
    ServedModel.objects.create(name="family/small", max_model_len=512)
    pricing.ensure_price("family/small", 1, 1, 1)
    catalog.forget()
    page = client.get("/models/family/small/")
    assert page.status_code == 200
    assert "$0.000000001" in page.content.decode()


@pytest.mark.parametrize(
    ("loads", "mask"), [({}, "[MASK]"), ({"blanks": ModelLoad(mask_token="<mask>")}, "<mask>")]
)
def test_samples_write_the_mask_as_the_model_does(
    client: Client, monkeypatch: pytest.MonkeyPatch, loads: dict[str, ModelLoad], mask: str
) -> None:
    ServedModel.objects.create(name="blanks", kind=ModelKind.FILL_MASK, is_chat=False)
    pricing.ensure_price("blanks", 1, 1, 0)
    catalog.forget()
    monkeypatch.setattr("inference.service.loads", lambda: loads)
    for path in ("/models/blanks/", "/docs/fill-mask/"):
        page = unescape(re.sub(r"<[^>]*>", "", client.get(path).content.decode()))
        assert f'"Paris is the {mask} of France."' in page


@pytest.mark.parametrize("name", ["nothing", "../etc/passwd", "%00", "<script>", "x" * 3000])
def test_an_unknown_model_is_a_404(client: Client, name: str) -> None:
    assert client.get(f"/models/{name}/").status_code == 404


def test_status_counts_the_last_day_alone(client: Client, organisation: Organisation) -> None:
    make_record(organisation)
    make_record(organisation, outcome=Outcome.FAILED)
    make_record(organisation, at=timezone.now() - timedelta(hours=25), outcome=Outcome.FAILED)
    page = client.get("/status/")
    assert page.context["day"].requests == 2
    assert page.context["day"].failed == 1
    assert "50.00%" in page.content.decode()


def test_status_says_in_words_what_its_columns_count(client: Client) -> None:
    """Not where only a pointer finds it."""
    catalog.ensure_starter()
    page = client.get("/status/").content.decode()
    assert ">From the cache: of the tokens of all prompts since the engine started." in page


def test_status_says_whether_engines_answer(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer_starter()
    assert "No model answers" in client.get("/status/").content.decode()
    loads = {
        MODEL: ModelLoad(
            engines=1, healthy=1, running=3, waiting=7, prompt_tokens=8, cached_tokens=5
        )
    }
    monkeypatch.setattr("inference.service.loads", lambda: loads)
    page = client.get("/status/").content.decode()
    assert "Every model answers" in page
    assert ">3<" in page
    assert ">7<" in page
    assert ">62%<" in page  # of the prompts' tokens


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("drained", "loaded", "Every model that is switched on answers."),
        ("drained", "unloaded", "Every model is switched off for now."),
        ("drained", "dead", "No model answers at the moment."),
        ("loaded", "dead", "Not every model answers at the moment."),
    ],
)
def test_status_counts_no_switched_off_model_as_answering(
    client: Client, monkeypatch: pytest.MonkeyPatch, first: str, second: str, told: str
) -> None:
    offer_starter()
    starter = ServedModel.objects.get()
    other = ServedModel.objects.create(name="other", source="x")
    pricing.set_price("other", 1, 1, 1)
    for model, state in ((starter, first), (other, second)):
        model.state = "loaded" if state == "dead" else state
        model.save(update_fields=["state"])
    catalog.forget()
    alive = {
        model.name: ModelLoad(engines=1, healthy=1)  # a drained one's engine still runs
        for model, state in ((starter, first), (other, second))
        if state != "dead"
    }
    monkeypatch.setattr("inference.service.loads", lambda: alive)
    page = client.get("/status/").content.decode()
    assert told in page
    assert "Every model answers." not in page


def test_status_shows_each_hour_of_the_day_and_says_it_in_words(
    noon: datetime, client: Client, organisation: Organisation
) -> None:
    offer_starter()
    at = noon.replace(minute=0) - timedelta(hours=3)
    for outcome in (Outcome.FINISHED, Outcome.FAILED, Outcome.FINISHED, Outcome.ABORTED):
        make_record(organisation, at=at + timedelta(minutes=1), outcome=outcome)
    page = client.get("/status/")
    [shown] = page.context["models"]
    assert [hour.totals.requests for hour in shown.hours] == [0] * 20 + [4, 0, 0, 0]
    bad = shown.hours[20]
    assert bad.start == at
    assert (bad.failed_height, bad.good_height) == (7, 19)  # a quarter of 28, and a gap
    assert (shown.hours[0].failed_height, shown.hours[0].good_height) == (0, 2)
    assert f"starter: {at:%H:%M} UTC: 1 of 4 failed" in page.content.decode()
    assert "75.00%" in page.content.decode()
    assert "4 requests, 1 failed" in page.content.decode()
    make_record(organisation)
    assert "1 request, 0 failed" in client.get("/status/").content.decode()


def test_a_failure_among_many_is_still_seen() -> None:
    hours = status.hours_of([Totals(requests=9_999, failed=1)] * 24, timezone.now())
    assert hours[0].failed_height == 7


def test_robots_keeps_crawlers_out_of_what_needs_an_account(client: Client) -> None:
    text = client.get("/robots.txt").content.decode()
    assert "Disallow: /portal/" in text
    rules = RobotFileParser()
    rules.parse(text.splitlines())
    assert rules.can_fetch("any", "/accounts/signup/")
    assert not rules.can_fetch("any", "/accounts/email/")


@pytest.mark.parametrize(
    "path", ["/", "/models/", "/status/", "/docs/", "/llms.txt", "/robots.txt"]
)
def test_pages_are_read_only(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405
    assert client.head(path).status_code == 200


def test_models_say_what_they_can_do_in_words(client: Client, db: None) -> None:
    offer_starter()
    for path in ("/models/", "/models/starter/"):
        page = client.get(path).content.decode()
        assert '<span class="badge">structured output</span>' in page
        assert "structured_output" not in page
