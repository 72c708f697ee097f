"""Bad days: web processes replaced, PostgreSQL or Redis gone, wrong clocks, ten times the load.

Customers keep calling meanwhile. No request is lost: it is answered whole, or refused with a time
to come back, and what was answered is what was billed.
"""

import asyncio
import signal
from collections.abc import Iterator

import httpx
import pytest

from tests.conformance.footprint import footprint
from tests.conformance.load import CUSTOMERS, TOKENS, Load
from tests.conformance.machine import Machine
from tests.conformance.restarts import Database, Redis
from tests.conformance.test_faults import WEB, ready, records, wait_for
from tests.story import calls
from tests.story.site import Site, production_site

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(300)]
STEPS_PER_S, SLOTS, QUEUE = 50, 4, 12  # of the engine; all customers fit
KNOBS = {
    "ENGINE_FAKE": "true",
    "WELCOME_CREDIT": "0",
    "ENGINE_ARGS": f"--fake-tokens-per-second {STEPS_PER_S} --max-running {SLOTS} "
    f"--max-waiting {QUEUE}",
}
ANSWERS_PER_S = STEPS_PER_S * SLOTS / TOKENS
# A row, of which only beat and a worker can make a mail: nothing of it is in Redis.
A_MAIL = """
from accounts.models import OutgoingMail
OutgoingMail.objects.create(subject="S", sender="a@example.com", recipients=["b@example.com"])
"""
HOUR_S = 3600
# What nobody has set a price for by their own clock they do not sell.
PRICED_YESTERDAY = """
from datetime import timedelta
from django.db.models import F
from billing.models import Price
Price.objects.update(effective_from=F("effective_from") - timedelta(days=1))
"""
FLOOD = 10  # times what the engine can do
FLOOD_S = 20.0


@pytest.fixture(scope="module")
def site(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with production_site(tmp_path_factory.mktemp("drills"), **KNOBS, **machine.env) as running:
        yield running


@pytest.fixture(scope="module")
def database(site: Site) -> Iterator[Database]:
    with Database(site.env["DATABASE_URL"]).restartable() as server:
        yield server


@pytest.fixture(scope="module")
def store_of_limits(site: Site) -> Iterator[Redis]:
    with Redis(site.env["REDIS_URL"]).restartable() as server:
        yield server


def test_web_processes_are_replaced_under_load_and_no_request_is_lost(site: Site) -> None:
    load = Load(site, "rolling@example.com")

    async def replace() -> None:
        for name in WEB:
            site.processes[name].send_signal(signal.SIGTERM)
            await asyncio.to_thread(site.processes[name].wait, 60)
            assert site.processes[name].returncode in {0, -signal.SIGTERM}
            await asyncio.to_thread(site.restart, name)
            await asyncio.to_thread(wait_for, lambda: ready(site), 60, f"{name} is back")

    asyncio.run(load.during(replace))
    load.check()
    assert load.seen["refused"] == 0, load.seen


def test_postgresql_is_restarted_under_load_and_nothing_is_free(
    site: Site, database: Database
) -> None:
    load = Load(site, "restart@example.com")

    async def restart() -> None:
        await asyncio.to_thread(database.stop)
        # The others may all be waiting for answers that cannot be settled yet.
        await load.newcomers_are_refused()
        await asyncio.to_thread(database.start)

    asyncio.run(load.during(restart))
    load.check()


def test_redis_is_killed_under_load_and_comes_back_empty(
    site: Site, store_of_limits: Redis
) -> None:
    load = Load(site, "limits@example.com")

    async def replace() -> None:
        await asyncio.to_thread(store_of_limits.stop)
        await load.newcomers_are_refused()
        await asyncio.to_thread(store_of_limits.start)
        assert await load.ask_on_a_socket() is None

    asyncio.run(load.during(replace))
    load.check()
    site.manage("shell", "-v0", "-c", A_MAIL)
    unsent = "SELECT COUNT(*) FROM accounts_outgoingmail WHERE sent_at IS NULL"
    wait_for(lambda: site.query(unsent) == 0, 90, "jobs are done again")


def test_clocks_that_are_an_hour_wrong_take_nobodys_hold_and_nobodys_key(
    site: Site, machine: Machine
) -> None:
    """Every process finds its own clock put forward or back while requests run."""
    site.manage("shell", "-v0", "-c", PRICED_YESTERDAY)
    load = Load(site, "clocks@example.com")

    async def turn() -> None:
        for wrong in (
            {"worker": HOUR_S},
            {"worker": 0, "web0": -HOUR_S, "web1": HOUR_S, "beat": -HOUR_S},
        ):
            for name, ahead_s in wrong.items():
                machine.turn_clock(site.processes[name].pid, ahead_s)
            await asyncio.to_thread(wait_for_sweeps, site, 2)
        await one_key_is_one_generation(site)

    try:
        asyncio.run(load.during(turn, num=8))
    finally:
        for process in site.processes.values():
            machine.turn_clock(process.pid, 0)
    load.check()


def wait_for_sweeps(site: Site, more: int) -> None:
    sweeps = "SELECT COALESCE(MAX(number), 0) FROM billing_pulse"
    until = site.query(sweeps) + more
    wait_for(lambda: site.query(sweeps) >= until, 60, "holds were swept")


async def one_key_is_one_generation(site: Site) -> None:
    """Sent to a web process, and while it runs there to another whose clock is two hours ahead."""
    email = "once@example.com"
    headers = {
        "authorization": f"Bearer {site.issue_key(email, '5.00')}", "idempotency-key": "clocks",
    }  # fmt: skip
    body = calls.completion(3 * TOKENS)
    first, second = (httpx.AsyncClient(base_url=front, headers=headers) for front in site.fronts)
    async with first, second:
        answer = asyncio.create_task(first.post("/v1/completions", json=body, timeout=60))
        await asyncio.to_thread(wait_for, lambda: keyed(site, answer), 30, "it has begun")
        again = await second.post("/v1/completions", json=body, timeout=60)
    assert (await answer).status_code == 200, answer.result().text
    assert again.content == answer.result().content
    assert records(site, email) == 1


def keyed(site: Site, answer: asyncio.Task[httpx.Response]) -> bool:
    """Whether its key is known, or it has been answered."""
    return answer.done() or site.query("SELECT COUNT(*) FROM inference_keyedrequest") > 0


def test_ten_times_the_load_costs_no_throughput_and_bystanders_nothing(site: Site) -> None:
    """One organisation asks ten times as often as the engine can answer; its neighbour as before.

    Throughput is counted by the engine's own steps, so that a busy machine changes nothing.
    """
    at_capacity = asyncio.run(full_steps(site))
    rest = footprint(site)
    noisy, polite = Load(site, "noisy@example.com"), Load(site, "polite@example.com")
    engine = Odometer(site)

    async def drill() -> None:
        begun = Odometer(site)
        async with asyncio.TaskGroup() as group:
            flood = group.create_task(noisy.arrive(FLOOD * ANSWERS_PER_S, FLOOD_S))
            group.create_task(watch_health(site, flood))
            while (error := await noisy.ask_on_a_socket()) is None:
                pass  # it came at a moment at which there was a place
        assert (error["status"], error["code"]) == (503, "overloaded")
        assert error["retry_after_ms"] > 0
        assert begun.tokens_per_step() > 0.95 * at_capacity

    asyncio.run(polite.during(drill, num=1))
    assert polite.seen["refused"] == 0
    assert noisy.seen["refused"] > noisy.seen.total() / 2
    for load in (noisy, polite):
        load.check()
    assert engine.tokens() == noisy.tokens + polite.tokens, "all that was made was delivered"
    assert site.engine_is_idle()
    for process, now in footprint(site).items():
        assert now.memory_kib < rest[process].memory_kib + 32 * 1024
        assert now.num_files < rest[process].num_files + 32  # connections to the database are kept


def test_who_comes_back_when_told_finds_a_place(site: Site) -> None:
    """Three times as many as fit, at once; a second refusal is for who was overtaken."""
    load = Load(site, "patient@example.com")
    num_patient = 3 * (SLOTS + QUEUE)

    async def ask_until_answered(stream: bool) -> None:
        while wait_s := await load.ask(stream):
            await asyncio.sleep(wait_s)

    async def crowd() -> None:
        await asyncio.gather(*(ask_until_answered(bool(n % 2)) for n in range(num_patient)))

    asyncio.run(crowd())
    assert load.seen["whole"] == num_patient
    assert load.seen["refused"] < 2 * num_patient
    load.check()


async def full_steps(site: Site) -> float:
    """Tokens in a step while as many ask as can be answered."""
    load = Load(site, "capacity@example.com")
    found = []

    async def measure() -> None:
        begun = Odometer(site)
        await load.answers(2 * CUSTOMERS)
        found.append(begun.tokens_per_step())

    await load.during(measure)
    load.check()
    return found[0]


class Odometer:
    """What the engine has done since this was made."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._before = site.engine_stats()

    def steps(self) -> int:
        return self._site.engine_stats().steps - self._before.steps

    def tokens(self) -> int:
        return self._site.engine_stats().generated_tokens - self._before.generated_tokens

    def tokens_per_step(self) -> float:
        return self.tokens() / self.steps()


async def watch_health(site: Site, until: asyncio.Task[None]) -> None:
    """Balancers and alarms must not take a busy process for a dead one."""
    async with httpx.AsyncClient(timeout=10) as probe:
        while not until.done():
            for front in site.fronts:
                for path in ("/healthz", "/readyz", "/metrics"):
                    answer = await probe.get(f"{front}{path}")
                    assert answer.status_code == 200, answer.text
            await asyncio.sleep(0.5)
