"""The live answer on the home page: real, streamed, booked, and bounded in what it costs."""

import json
from typing import Any

import pytest
from django.test import AsyncClient, Client
from pytest_django.fixtures import Settings

from accounts import flows
from accounts.models import ApiKey, Organisation
from billing.audit import audit
from billing.models import Account, Transfer, UsageRecord
from inference import catalog, service
from inference.models import ModelState, ServedModel
from portal.lib.db import db
from portal.pages import live_sample
from tests.inference.conftest import add_model, flushable, models, running  # noqa: F401  fixtures
from tests.inference.engines import FakeEngine
from tests.portal.records import offer_starter


async def ask(question: str = "0", **headers: str) -> tuple[int, list[dict[str, str]]]:
    answer: Any = await AsyncClient().post("/sample/", {"question": question}, headers=headers)
    parts = [part async for part in answer.streaming_content] if answer.streaming else answer
    text = b"".join(parts).decode()
    return answer.status_code, [json.loads(line) for line in text.splitlines()]


async def test_it_is_generated_streamed_and_booked(running: service.Service) -> None:  # noqa: F811
    status, gains = await ask()
    assert status == 200
    *texts, last = gains
    assert "".join(gain["text"] for gain in texts)
    record = await db(UsageRecord.objects.get)
    assert (record.organisation_id, record.model) == (live_sample.HOUSE, "starter")
    assert f"{record.output_tokens} tokens" in last["told"]
    account = await db(Account.objects.get, organisation_id=live_sample.HOUSE)
    assert account.credits_posted - account.debits_posted == 10**9 - record.cost_nanos
    assert all(finding.value == 0 for finding in await db(audit))


async def test_a_month_is_granted_once_and_an_empty_purse_answers_nothing(
    running: service.Service,  # noqa: F811
    settings: Settings,
) -> None:
    settings.HOME_SAMPLE_NANOS = 2_000  # less than a sample may cost
    for _again in range(2):
        assert await ask() == (200, [{"error": "The model is busy. Try again in a moment."}])
    assert await db(Transfer.objects.filter(reference__startswith="grant:home:").count) == 1


async def test_an_operator_switches_it_off_by_revoking_its_key(
    running: service.Service,  # noqa: F811
) -> None:
    assert (await ask())[0] == 200

    def revoke() -> None:
        flows.revoke_key(ApiKey.objects.get(organisation_id=live_sample.HOUSE))

    await db(revoke)
    assert await ask() == (200, [{"error": "There is no sample at the moment."}])
    assert await db(ApiKey.objects.filter(organisation_id=live_sample.HOUSE).count) == 1


async def test_it_tells_in_the_language_of_the_page(running: service.Service) -> None:  # noqa: F811
    assert "由我们承担" in (await ask(**{"accept-language": "zh-hans"}))[1][-1]["told"]


@pytest.mark.parametrize("question", ["", "3", "-1", "x", "0" * 99])
async def test_visitors_write_no_questions(models: None, question: str) -> None:  # noqa: F811
    assert await ask(question) == (400, [{"error": "There is no such question."}])


@pytest.mark.django_db
def test_without_a_budget_the_home_page_shows_code(client: Client, settings: Settings) -> None:
    offer_starter()
    assert "<live-sample" in client.get("/").content.decode()
    settings.HOME_SAMPLE_NANOS = 0
    page = client.get("/").content.decode()
    assert "<live-sample" not in page
    assert "curl" in page


@pytest.mark.django_db
def test_a_model_that_is_switched_off_is_not_shown_as_live(client: Client) -> None:
    offer_starter()
    ServedModel.objects.update(state=ModelState.DRAINED)
    catalog.forget()
    assert "<live-sample" not in client.get("/").content.decode()


@pytest.mark.django_db
def test_it_needs_the_token_of_our_page(starter_engine: FakeEngine) -> None:
    assert Client(enforce_csrf_checks=True).post("/sample/", {"question": "0"}).status_code == 403
    assert not Organisation.objects.filter(pk=live_sample.HOUSE).exists()
