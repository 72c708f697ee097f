"""An engine that begins while the hold is written, where the balance seen last covers it."""

import asyncio
import time
from collections.abc import Callable
from functools import partial

import httpx
import pytest
from django.db import OperationalError

from accounts import flows
from accounts.models import Organisation, User
from billing import ledger, pricing, waivers
from billing.models import LateWaiver
from inference import balances, catalog, service
from inference import generation as generation_module
from inference.engine.wire import engine_pb2 as wire
from inference.engine.wire.asking import ask
from inference.engine.wire.methods import INFO
from inference.generation import Generation
from portal.lib.db import db
from portal.pages.requests import speed_of
from tests.inference.conftest import Books, Holds, chat
from tests.inference.engines import FakeEngine

PATH = "/v1/chat/completions"
CENT = 10_000_000
CENT_A_TOKEN = CENT * 1_000_000


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def only(running: service.Service) -> Generation:
    [generation] = running.generations.values()
    return generation


async def begin(
    running: service.Service, api: httpx.AsyncClient, holds: Holds, **fields: object
) -> tuple["asyncio.Task[httpx.Response]", Generation]:
    """A request that waits for its hold, and its generation."""
    holds.asked.clear()
    holds.allowed.clear()
    asked = asyncio.create_task(api.post(PATH, json=chat(**fields)))
    await until(holds.asked.is_set)
    return asked, only(running)


async def speaking(
    running: service.Service, api: httpx.AsyncClient, holds: Holds
) -> tuple["asyncio.Task[httpx.Response]", Generation]:
    """A request that waits for its hold while tokens come, slowly."""
    asked, generation = await begin(running, api, holds, model="slow", max_tokens=500)
    await until(lambda: generation.output_tokens >= 2)
    return asked, generation


async def known(api: httpx.AsyncClient, holds: Holds) -> None:
    """A request after which this process knows the organisation's balance."""
    holds.allowed.set()
    assert (await api.post(PATH, json=chat(max_tokens=1))).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_it_answers_when_the_hold_is_written(
    running: service.Service, api: httpx.AsyncClient, late_holds: Holds, books: Books, stream: bool
) -> None:
    await known(api, late_holds)
    asked, generation = await begin(running, api, late_holds, max_tokens=3, stream=stream)
    await until(lambda: generation.output_tokens == 3)
    await asyncio.sleep(0.3)
    assert not asked.done()
    assert await books.open_holds() == 0
    late_holds.allowed.set()
    answer = await asked
    assert answer.status_code == 200
    if stream:
        assert answer.headers["x-credit-remaining"]
    _, record = await books.settled(2)
    assert record.output_tokens == 3
    assert record.ttft_ms is not None
    assert record.ttft_ms >= 300  # when the reader could have it
    await books.audit()


async def test_what_has_begun_is_not_begun_again(
    running: service.Service, api: httpx.AsyncClient, late_holds: Holds, books: Books,
    slow_engine: FakeEngine,
) -> None:  # fmt: skip
    await known(api, late_holds)
    before = counted(slow_engine)
    asked, generation = await begin(running, api, late_holds, model="slow", max_tokens=30)
    await until(lambda: generation.output_tokens >= 1)
    late_holds.allowed.set()
    assert (await asked).json()["usage"]["completion_tokens"] == 30
    assert counted(slow_engine).generated_tokens - before.generated_tokens == 30
    await books.audit()


async def test_whoever_is_unknown_waits_for_the_hold(
    running: service.Service, api: httpx.AsyncClient, late_holds: Holds, books: Books
) -> None:
    asked, generation = await begin(running, api, late_holds, max_tokens=3)
    await asyncio.sleep(0.3)
    assert (generation.submitted, generation.output_tokens) == (False, 0)
    late_holds.allowed.set()
    assert (await asked).json()["usage"]["completion_tokens"] == 3
    await books.audit()


async def test_whoever_had_less_waits_for_the_hold(
    running: service.Service, api: httpx.AsyncClient, late_holds: Holds, books: Books
) -> None:
    await db(pricing.set_price, "starter", 0, 0, CENT_A_TOKEN)
    catalog.forget()
    await known(api, late_holds)  # leaves 999 cents
    asked, generation = await begin(running, api, late_holds, max_tokens=1000)
    await asyncio.sleep(0.3)
    assert not generation.submitted
    late_holds.allowed.set()
    assert (await asked).status_code == 402
    asked, generation = await begin(running, api, late_holds, max_tokens=999)
    assert not generation.submitted  # it was refused: nothing is known of it any more
    late_holds.allowed.set()
    assert (await asked).status_code == 200
    await books.audit()


async def test_what_began_and_is_refused_stops_and_is_waived(
    running: service.Service, api: httpx.AsyncClient, late_holds: Holds, books: Books,
    organisation: Organisation, slow_engine: FakeEngine,
) -> None:  # fmt: skip
    await known(api, late_holds)
    await db(ledger.set_monthly_cap, organisation.pk, 1)  # as from another process
    before = counted(slow_engine)
    asked, generation = await speaking(running, api, late_holds)
    late_holds.allowed.set()
    refused = await asked
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "spend_cap_reached")
    await until(lambda: not running.generations)
    assert len(await books.settled(1)) == 1  # that of the first request
    waiver = await db(LateWaiver.objects.get)
    after = counted(slow_engine)
    assert 2 <= waiver.tokens == after.generated_tokens - before.generated_tokens < 100
    assert (waiver.request_id, waiver.model) == (generation.request_id, generation.model)
    assert after.num_running == after.num_waiting == 0
    with running.balances.writing(balances.payer_of(generation.caller), 0) as covered:
        assert not covered
    await books.audit()


async def test_who_hangs_up_before_the_hold_is_written_pays_for_what_was_begun(
    running: service.Service, api: httpx.AsyncClient, late_holds: Holds, books: Books
) -> None:
    await known(api, late_holds)
    asked, generation = await speaking(running, api, late_holds)
    generation.cancel()
    late_holds.allowed.set()
    await asked
    _, record = await books.settled(2)
    assert (record.outcome, record.output_tokens) == ("aborted", generation.output_tokens)
    await books.audit()


async def test_an_engine_lost_before_the_hold_is_written_costs_nothing(
    running: service.Service, api: httpx.AsyncClient, late_holds: Holds, books: Books
) -> None:
    await known(api, late_holds)
    asked, generation = await speaking(running, api, late_holds)
    generation.on_lost()
    late_holds.allowed.set()
    assert (await asked).status_code == 503
    _, record = await books.settled(2)
    assert (record.outcome, record.cost_nanos) == ("failed", 0)
    await books.audit()


async def test_what_is_held_at_once_is_covered_together(
    running: service.Service, api: httpx.AsyncClient, late_holds: Holds, books: Books
) -> None:
    await db(pricing.set_price, "starter", 0, 0, CENT_A_TOKEN)
    catalog.forget()
    await known(api, late_holds)  # leaves 999 cents
    late_holds.allowed.clear()
    crowd = [asyncio.create_task(api.post(PATH, json=chat(max_tokens=600))) for _ in range(5)]
    await until(lambda: len(running.generations) == 5)
    await asyncio.sleep(0.3)
    assert sum(each.submitted for each in running.generations.values()) == 1
    late_holds.allowed.set()
    codes = [answer.status_code for answer in await asyncio.gather(*crowd)]
    assert codes.count(200) == 1
    await books.audit()


async def test_a_key_that_was_refused_waits_whatever_other_keys_had(
    running: service.Service, api: httpx.AsyncClient, late_holds: Holds, books: Books,
    organisation: Organisation, alice: User,
) -> None:  # fmt: skip
    await db(pricing.set_price, "starter", 0, 0, CENT_A_TOKEN)
    catalog.forget()
    capped = partial(flows.create_key, monthly_cap_nanos=5 * CENT)
    _, secret = await db(capped, organisation, alice, "capped")
    others, its = api.headers["authorization"], f"Bearer {secret}"
    api.headers["authorization"] = its
    await known(api, late_holds)
    begun = []
    for _ in range(2):
        api.headers["authorization"] = others
        await known(api, late_holds)
        api.headers["authorization"] = its
        asked, generation = await begin(running, api, late_holds, max_tokens=10)
        begun.append(generation.submitted)
        late_holds.allowed.set()
        assert (await asked).json()["error"]["code"] == "spend_cap_reached"
        await until(lambda: not running.generations)
    assert begun == [True, False]
    await books.audit()


async def test_a_waiver_waits_for_accounting_to_come_back(
    running: service.Service, api: httpx.AsyncClient, late_holds: Holds, books: Books,
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    await known(api, late_holds)
    await db(ledger.set_monthly_cap, organisation.pk, 1)
    real, left = waivers.note, [3]

    def flaky(request_id: str, tokens: int, *, model: str) -> None:
        if left[0]:
            left[0] -= 1
            raise OperationalError("away")
        real(request_id, tokens, model=model)

    monkeypatch.setattr(waivers, "note", flaky)
    asked, generation = await begin(running, api, late_holds, max_tokens=3)
    await until(lambda: generation.output_tokens == 3)
    late_holds.allowed.set()
    assert (await asked).status_code == 402
    await until(lambda: not running.generations)
    assert (await db(LateWaiver.objects.get)).tokens == 3
    await books.audit()


async def test_whoever_waits_for_the_hold_is_not_a_stalled_reader(
    running: service.Service, api: httpx.AsyncClient, late_holds: Holds, books: Books,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(generation_module, "STALLED_READER_S", 0.3)
    await known(api, late_holds)
    fields = {"model": "slow", "max_tokens": 60, "stream": True}
    asked, generation = await begin(running, api, late_holds, **fields)
    await until(lambda: generation.output_tokens >= 40 or generation.outcome is not None)
    late_holds.allowed.set()
    assert (await asked).text.endswith("data: [DONE]\n\n")
    assert generation.output_tokens == 60
    await books.audit()


async def test_the_speed_is_the_engine_s_and_one_wherever_it_is_told(
    running: service.Service, api: httpx.AsyncClient, late_holds: Holds, books: Books
) -> None:
    """By the clock of this test: the engine's own pace slackens on a busy machine."""
    await known(api, late_holds)
    began = time.monotonic()
    asked, generation = await begin(running, api, late_holds, model="slow", max_tokens=60)
    await until(lambda: generation.output_tokens >= 1)
    first = time.monotonic()
    await until(lambda: generation.output_tokens >= 40)
    waited_s = time.monotonic() - first
    late_holds.allowed.set()
    await asked
    assert generation.summary is not None
    told = generation.summary.tokens_per_s
    assert told is not None
    assert 59 / (time.monotonic() - began) <= told <= 1.3 * 59 / waited_s
    [*_others, record] = await books.records()
    assert record.request_id == generation.request_id
    assert speed_of(record) == generation.summary.tokens_per_s


def counted(engine: FakeEngine) -> wire.EngineStats:
    return ask(engine.address, INFO, wire.InfoRequest(), timeout_s=5).stats


def covers(some: balances.Balances, organisation_id: str, nanos: int) -> bool:
    with some.writing((organisation_id, None), nanos) as covered:
        return covered


def test_the_longest_silent_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balances, "MOST_PAYERS", 2)
    some = balances.Balances()
    for organisation_id in ("a", "b", "a", "c"):
        some.note((organisation_id, None), 5)
    assert [covers(some, name, 5) for name in "abc"] == [True, False, True]
    assert not covers(some, "a", 6)


def test_what_is_being_written_counts_until_it_is() -> None:
    some = balances.Balances()
    some.note(("a", None), 5)
    with some.writing(("a", None), 3):
        assert [covers(some, "a", nanos) for nanos in (2, 3, 0)] == [True, False, True]
    assert covers(some, "a", 5)
    assert not some._unwritten_nanos
