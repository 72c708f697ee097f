"""Credit: refusals before the first byte, windows that grow, races that never overdraw."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from accounts import flows
from accounts.models import ApiKey, Organisation
from billing import ledger, pricing, spending
from billing.models import Alert, Hold
from inference import catalog, holding, service, settling
from inference.models import ServedModel
from portal.lib.db import commit, db
from portal.lib.money import format_plain
from tests.inference.api.events import stream
from tests.inference.conftest import Books, chat

PATH = "/v1/chat/completions"
CENT = 10_000_000
# Nanos per million tokens at which one token of output costs a cent; prompts are free.
CENT_A_TOKEN = CENT * 1_000_000


@pytest.fixture
def dear(models: None) -> None:
    """Alice's ten dollars pay for a thousand tokens of any model."""
    for name in ("starter", "slow"):
        pricing.set_price(name, 0, 0, CENT_A_TOKEN)
    catalog.forget()


async def test_an_explicit_max_tokens_is_held_in_full_or_refused(
    dear: None, api: httpx.AsyncClient, books: Books, organisation: Organisation
) -> None:
    response = await api.post(PATH, json=chat(max_tokens=1500))
    assert response.status_code == 402
    error = response.json()["error"]
    assert error["code"] == error["type"] == "insufficient_quota"
    assert error["details"] == {
        "balance": "10.0", "ceiling": "15.0", "max_tokens": 1000,
        "top_up_url": "http://localhost:8000/portal/billing/",
    }  # fmt: skip
    for part in ("$10.00", "$15.00", "max_tokens of 1,000", "/portal/billing/"):
        assert part in error["message"]
    assert response.headers["x-credit-remaining"] == "10.0"
    assert "retry-after" not in response.headers
    fits = await api.post(PATH, json=chat(max_tokens=error["details"]["max_tokens"]))
    assert fits.status_code == 200
    record = await books.record()
    assert record.cost_nanos == record.output_tokens * CENT
    await books.audit()


async def test_a_prompt_that_is_too_dear_by_itself_gets_no_advice_about_its_answer(
    models: None, api: httpx.AsyncClient
) -> None:
    await db(pricing.set_price, "starter", CENT_A_TOKEN, CENT_A_TOKEN, CENT_A_TOKEN)
    catalog.forget()
    error = (await api.post(PATH, json=chat("x" * 1900, max_tokens=5))).json()["error"]
    assert error["code"] == "insufficient_quota"
    assert "fit" not in error["message"]
    assert "max_tokens" not in error["details"]


async def test_who_names_no_limit_is_told_the_one_that_would_fit(
    dear: None, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.conf import settings

    monkeypatch.setattr(settings, "HOLD_WINDOW_TOKENS", 1100)
    error = (await api.post(PATH, json=chat())).json()["error"]
    assert (error["code"], error["details"]["max_tokens"]) == ("insufficient_quota", 1000)
    least = (await api.post(PATH, json=chat(min_tokens=1001))).json()["error"]
    assert "max_tokens" not in least["details"]
    assert (await api.post(PATH, json=chat(max_tokens=1000))).status_code == 200


async def test_a_refusal_is_the_same_for_a_stream(dear: None, api: httpx.AsyncClient) -> None:
    response = await api.post(PATH, json=chat(max_tokens=1500, stream=True))
    assert (response.status_code, response.json()["error"]["code"]) == (402, "insufficient_quota")


async def test_every_sample_and_prompt_counts_for_the_ceiling(
    dear: None, api: httpx.AsyncClient
) -> None:
    body = {"model": "starter", "prompt": ["a", "b"], "n": 6, "max_tokens": 100}
    response = await api.post("/v1/completions", json=body)
    assert response.status_code == 402
    assert response.json()["error"]["details"]["max_tokens"] == 83  # of 12 samples
    assert (await api.post("/v1/completions", json=body | {"max_tokens": 83})).status_code == 200


async def test_without_max_tokens_the_hold_grows_while_it_decodes(
    dear: None, api: httpx.AsyncClient, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.conf import settings

    monkeypatch.setattr(settings, "HOLD_WINDOW_TOKENS", 16)
    body = chat("x" * 150)
    whole = (await api.post(PATH, json=body)).json()
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["usage"]["completion_tokens"] > 150
    events = await stream(api, PATH, body)
    assert events.done
    for record in await books.settled(2):
        assert record.cost_nanos == whole["usage"]["completion_tokens"] * CENT
        assert record.waived_tokens == 0
    await books.audit()


@pytest.fixture
def forty_tokens(models: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Credit for forty tokens of the slow model, taken in windows of sixteen."""
    from django.conf import settings

    monkeypatch.setattr(settings, "HOLD_WINDOW_TOKENS", 16)
    pricing.set_price("slow", 0, 0, 25 * CENT_A_TOKEN)
    catalog.forget()
    return chat(model="slow")


async def test_a_stream_whose_credit_runs_out_ends_with_an_error_and_is_billed(
    forty_tokens: dict[str, Any], api: httpx.AsyncClient, books: Books, organisation: Organisation
) -> None:
    events = await asyncio.wait_for(stream(api, PATH, forty_tokens), 30)
    assert events.error is not None
    assert events.error["code"] == "insufficient_quota"
    assert not events.done
    assert events.finish_reasons == []
    assert events.text
    record = await books.record()
    assert (record.outcome, record.error) == ("aborted", "insufficient_quota")
    # Two windows fit, and are used to their end.
    assert record.output_tokens == 32
    assert record.cost_nanos == record.output_tokens * 25 * CENT
    balance = await books.balance(organisation.id)
    assert balance.posted_nanos == 10**10 - record.cost_nanos >= 0
    await books.audit()


async def test_a_whole_answer_whose_credit_runs_out_is_a_402_and_free(
    forty_tokens: dict[str, Any], api: httpx.AsyncClient, books: Books
) -> None:
    response = await asyncio.wait_for(api.post(PATH, json=forty_tokens), 30)
    assert (response.status_code, response.json()["error"]["code"]) == (402, "insufficient_quota")
    record = await books.record()
    assert record.cost_nanos == 0
    assert record.waived_tokens > 0
    await books.audit()


@pytest.mark.parametrize("cents_a_token", [1, 25])
async def test_what_outran_its_hold_is_billed_if_it_can_be_paid_and_else_waived(
    models: None, api: httpx.AsyncClient, books: Books, monkeypatch: pytest.MonkeyPatch,
    cents_a_token: int,
) -> None:  # fmt: skip
    """It decodes faster than its hold grows: here the hold does not grow before the end."""
    from django.conf import settings

    monkeypatch.setattr(settings, "HOLD_WINDOW_TOKENS", 16)
    monkeypatch.setattr(holding, "must_extend", lambda _generation: False)
    await db(pricing.set_price, "starter", 0, 0, cents_a_token * CENT_A_TOKEN)
    catalog.forget()
    assert (await api.post(PATH, json=chat("x" * 150))).status_code == 200
    record = await books.record()
    sampled = record.output_tokens + record.waived_tokens
    assert 150 < sampled < 1000
    assert record.output_tokens == (sampled if cents_a_token == 1 else 16)
    assert record.cost_nanos == record.output_tokens * cents_a_token * CENT
    await books.audit()


def test_the_top_up_address_is_the_billing_page() -> None:
    from django.urls import reverse

    from inference.errors import TOP_UP_PATH

    assert reverse("billing") == TOP_UP_PATH


async def test_a_keys_monthly_cap(
    dear: None, api: httpx.AsyncClient, api_key: tuple[ApiKey, str], books: Books
) -> None:
    def cap() -> None:
        ApiKey.objects.filter(pk=api_key[0].pk).update(monthly_cap_nanos=20 * CENT)

    await db(cap)
    assert (await api.post(PATH, json=chat(max_tokens=15))).status_code == 200
    refused = await api.post(PATH, json=chat(max_tokens=15))
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (402, "spend_cap_reached")
    assert error["details"]["cap_of"] == "key"
    assert "This key's monthly cap of $0.20" in error["message"]


async def test_an_organisations_monthly_cap(
    dear: None, api: httpx.AsyncClient, organisation: Organisation, books: Books
) -> None:
    await db(ledger.set_monthly_cap, organisation.pk, 20 * CENT)
    assert (await api.post(PATH, json=chat(max_tokens=15))).status_code == 200
    spent = (await books.record()).cost_nanos
    refused = await api.post(PATH, json=chat(max_tokens=20))
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (402, "spend_cap_reached")
    assert error["details"] == {
        "cap_of": "organisation", "cap": "0.2", "spent": format_plain(spent), "held": "0.0",
        "ceiling": "0.2",
    }  # fmt: skip
    for part in ("Your organisation's monthly cap of $0.20", "$0.15 is spent", "/portal/billing/"):
        assert part in error["message"]
    await books.audit()


async def test_the_first_refusal_for_a_cap_is_told(
    dear: None, api: httpx.AsyncClient, organisation: Organisation
) -> None:
    await db(spending.set_monthly_cap, organisation, 20 * CENT)
    for _ in range(2):
        assert (await api.post(PATH, json=chat(max_tokens=30))).status_code == 402
    kinds = await db(lambda: list(Alert.objects.values_list("kind", flat=True)))
    assert kinds == ["spending.cap_reached"]


async def test_the_first_refusal_for_a_keys_cap_is_told(
    dear: None, api: httpx.AsyncClient, api_key: tuple[ApiKey, str]
) -> None:
    def cap() -> None:
        ApiKey.objects.filter(pk=api_key[0].pk).update(monthly_cap_nanos=20 * CENT)

    await db(cap)
    for _ in range(2):
        assert (await api.post(PATH, json=chat(max_tokens=30))).status_code == 402
    told = await db(lambda: list(Alert.objects.values_list("kind", "api_key_id")))
    assert told == [("spending.key_cap_reached", api_key[0].pk)]


async def test_a_stream_ends_where_its_organisations_cap_does(
    forty_tokens: dict[str, Any], api: httpx.AsyncClient, organisation: Organisation, books: Books
) -> None:
    await db(ledger.set_monthly_cap, organisation.pk, 500 * CENT)
    events = await asyncio.wait_for(stream(api, PATH, forty_tokens), 30)
    assert events.error is not None
    assert events.error["code"] == "spend_cap_reached"
    assert events.error["details"]["cap_of"] == "organisation"
    assert (await books.record()).output_tokens == 16
    await books.audit()


async def test_a_stream_ends_where_its_keys_cap_does(
    forty_tokens: dict[str, Any], api: httpx.AsyncClient, api_key: tuple[ApiKey, str], books: Books
) -> None:
    def cap() -> None:
        # Forty tokens are ten dollars: this is twenty of them, less than two windows.
        ApiKey.objects.filter(pk=api_key[0].pk).update(monthly_cap_nanos=500 * CENT)

    await db(cap)
    events = await asyncio.wait_for(stream(api, PATH, forty_tokens), 30)
    assert events.error is not None
    assert events.error["code"] == "spend_cap_reached"
    record = await books.record()
    assert record.output_tokens == 16
    await books.audit()


async def test_accounting_that_is_away_refuses_and_serves_nothing(
    api: httpx.AsyncClient, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing import ledger

    def away(*_: object, **__: object) -> None:
        raise ledger.AccountingUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "open_hold", away)
        response = await asyncio.wait_for(api.post(PATH, json=chat()), 30)
    assert (response.status_code, response.json()["error"]["code"]) == (
        503, "accounting_unavailable",
    )  # fmt: skip
    assert "retry-after" in response.headers
    assert await books.records() == []


async def test_settling_waits_for_accounting_to_come_back(
    api: httpx.AsyncClient, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing import ledger

    real, left = ledger.settle, [3]

    def flaky(*args: Any) -> object:
        if left[0]:
            left[0] -= 1
            raise ledger.AccountingUnavailable
        return real(*args)

    monkeypatch.setattr(ledger, "settle", flaky)
    response = await asyncio.wait_for(api.post(PATH, json=chat(max_tokens=3)), 30)
    assert response.status_code == 200
    assert (await books.record()).output_tokens == 3
    await books.audit()


async def test_a_swept_hold_books_its_tokens_as_waived(
    api: httpx.AsyncClient, running: service.Service, books: Books, organisation: Organisation,
) -> None:  # fmt: skip
    """As if this process had been asleep for longer than its lease."""
    task = asyncio.create_task(api.post(PATH, json=chat(model="slow", max_tokens=40)))
    while await books.open_holds() == 0:
        await asyncio.sleep(0.02)
    await db(lambda: Hold.objects.update(lease=0))
    assert await db(ledger.sweep) == 1
    assert (await task).status_code in {200, 503}
    record = await books.record()
    assert (record.outcome, record.cost_nanos) == ("failed", 0)
    assert (await books.balance(organisation.id)).posted_nanos == 10**10
    await books.audit()


@pytest.mark.parametrize(
    "short", ["credit", "cap of the organisation", "cap of the key", "cap of the rotated key"]
)
async def test_what_was_just_used_will_be_released_soon_and_is_worth_a_retry(
    short: str, dear: None, api: httpx.AsyncClient, books: Books, monkeypatch: pytest.MonkeyPatch,
    organisation: Organisation, api_key: tuple[ApiKey, str],
) -> None:  # fmt: skip
    """A request that ended but is not settled yet holds money: 429, not 402."""
    await db(make_short, short, organisation, api_key[0])
    ended, settle_now = asyncio.Event(), asyncio.Event()

    async def settle_later(*args: Any) -> object:
        ended.set()
        await asyncio.wait_for(settle_now.wait(), 10)
        return await commit(*args)

    monkeypatch.setattr(settling, "commit", settle_later)
    first = asyncio.create_task(api.post(PATH, json=chat(max_tokens=900, stop=["stand"])))
    await ended.wait()
    if short == "cap of the rotated key":
        key = await db(ApiKey.objects.get, pk=api_key[0].pk)
        _, successor = await db(flows.rotate_key, key, None)
        api.headers["authorization"] = f"Bearer {successor}"
    refused = await api.post(PATH, json=chat(max_tokens=900))
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "credit_reserved")
    assert int(refused.headers["retry-after-ms"]) > 0
    settle_now.set()
    assert (await first).status_code == 200
    assert (await api.post(PATH, json=chat(max_tokens=900))).status_code == 200


def make_short(what: str, organisation: Organisation, key: ApiKey) -> None:
    """Ten dollars are left, of one thing or another."""
    if what != "credit":
        ledger.grant(organisation.pk, 10_000 * CENT, reference="grant:more", description="")
    if what == "cap of the organisation":
        ledger.set_monthly_cap(organisation.pk, 1_000 * CENT)
    if what in {"cap of the key", "cap of the rotated key"}:
        ApiKey.objects.filter(pk=key.pk).update(monthly_cap_nanos=1_000 * CENT)


async def test_two_hundred_requests_race_for_credit_that_pays_for_twenty(
    dear: None, running: service.Service, api: httpx.AsyncClient, books: Books,
    organisation: Organisation,
) -> None:  # fmt: skip
    # Fifty tokens are fifty cents, whatever the model says.
    body = {"model": "slow", "prompt": "go", "max_tokens": 50, "ignore_eos": True}
    answers = await asyncio.gather(
        *(api.post("/v1/completions", json=body, timeout=120) for _ in range(200))
    )
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses == {200: 20, 402: 180}
    for answer in answers:
        if answer.status_code == 402:
            assert answer.json()["error"]["code"] == "insufficient_quota"
    records = await books.settled(20)
    assert sum(record.cost_nanos for record in records) == 10**10
    balance = await books.balance(organisation.id)
    assert (balance.posted_nanos, balance.pending_nanos) == (0, 0)
    await books.audit()


async def test_the_cached_part_of_a_prompt_has_its_own_price(
    api: httpx.AsyncClient, books: Books, add_model: Callable[..., ServedModel]
) -> None:
    body = {"model": "starter", "prompt": "unique words of this test " * 20, "max_tokens": 1}
    for _ in range(2):
        answer = (await api.post("/v1/completions", json=body)).json()
    cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
    first, second = await books.settled(2)
    assert first.cached_tokens == 0
    assert second.cached_tokens == cached > 0
    assert second.prompt_tokens == first.prompt_tokens
    assert second.cost_nanos == second.uncached_tokens * 100 + cached * 50 + 400
