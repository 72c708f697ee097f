"""The inference service over fake engine processes, a real database and, where asked, real HTTP."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from typing import Any

import httpx
import pytest
import uvicorn
from django.core.management import call_command
from django.db import connection

from accounts.authentication import Caller, key_cache
from accounts.models import ApiKey
from billing import ledger, pricing, triggers
from billing.models import Hold, HoldState, UsageRecord
from inference import catalog, service
from inference.api.app import build_app
from inference.models import ServedModel
from portal.lib.db import db
from tests.environment import CI, REFERENCE_DATA
from tests.inference.api.openai_schema import DESCRIPTION, OpenAISchema
from tests.inference.api.witness import Witness
from tests.inference.engines import FakeEngine

# Makes a model of this name and an engine for it, as `serve` says.
Serve = Callable[..., AbstractAsyncContextManager[FakeEngine]]


@pytest.fixture
def add_model() -> Callable[..., ServedModel]:
    """Registers a model at a dollar per million tokens of anything."""

    def add(name: str, **fields: object) -> ServedModel:
        row = ServedModel.objects.create(name=name, source="fake", **fields)
        pricing.ensure_price(name, 1_000_000_000, 1_000_000_000, 1_000_000_000)
        catalog.forget()
        return row

    return add


@pytest.fixture
def flushable(transactional_db: None) -> Iterator[None]:
    """Lets the flush after the test delete posted rows; it makes the triggers again itself."""
    yield
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            for name in triggers.names():
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}")


@pytest.fixture
def models(flushable: None, add_model: Callable[..., ServedModel]) -> Iterator[None]:
    """`starter` with its aliases, and `slow`."""
    key_cache.clear()
    catalog.ensure_starter()
    add_model("slow", max_model_len=2048)
    yield
    catalog.forget()


@pytest.fixture
async def running(
    models: None, starter_engine: FakeEngine, slow_engine: FakeEngine
) -> AsyncIterator[service.Service]:
    """The service, connected to both engines."""
    async with running_service() as started:
        for name in ("starter", "slow"):
            healthy = await started.pool.wait_until_healthy(name, 60)
            assert healthy, [vars(link) for link in started.pool._links.values()]
        yield started


@asynccontextmanager
async def running_service() -> AsyncIterator[service.Service]:
    await service.start()
    started = service._Current.service
    assert started is not None
    try:
        yield started
    finally:
        await service.stop(drain_s=5)


@pytest.fixture
def serve(running: service.Service, add_model: Callable[..., ServedModel]) -> Serve:
    """Makes a model and an engine of its own for a part of a test."""

    @asynccontextmanager
    async def serving(
        name: str, *, flags: Sequence[str] = (), **options: Any
    ) -> AsyncIterator[FakeEngine]:
        engine = FakeEngine(name, **options)
        engine.flags = list(flags)
        await asyncio.to_thread(engine.start)
        try:
            await db(add_model, name)
            await running.pool._follow()
            assert await running.pool.wait_until_healthy(name, 60)
            yield engine
        finally:
            engine.stop()

    return serving


@pytest.fixture
def secret(api_key: tuple[ApiKey, str], models: None) -> str:
    return api_key[1]


@pytest.fixture
def witness() -> Iterator[Witness]:
    """Every answer of the test's API fits OpenAI's description, where that is at hand.

    Where it is not, the test is as good as it can be without; in CI it has to be.
    """
    witness = Witness()
    yield witness
    description = REFERENCE_DATA / DESCRIPTION
    if CI or description.exists():
        witness.check(OpenAISchema(description))


@pytest.fixture
async def api(
    running: service.Service, secret: str, witness: Witness
) -> AsyncIterator[httpx.AsyncClient]:
    """Alice's program, speaking to the application without a socket."""
    app = witness.before(build_app())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport,
        base_url="http://localhost",
        headers={"authorization": f"Bearer {secret}"},
        timeout=30,
    ) as client:
        yield client


@pytest.fixture
async def base_url(running: service.Service, secret: str, witness: Witness) -> AsyncIterator[str]:
    """A real server on a free port, in this event loop."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        witness.before(build_app()), lifespan="off", ws="none", log_config=None,
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    with suppress(asyncio.CancelledError):
        await serving


@pytest.fixture
async def web(base_url: str, secret: str) -> AsyncIterator[httpx.AsyncClient]:
    """Alice's program, over a real connection."""
    headers = {"authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=30) as client:
        yield client


async def under_way(running: service.Service, model: str = "slow", number: int = 1) -> None:
    """Wait until this many answers of a model have begun to come."""

    def begun() -> list[bool]:
        found = [each for each in running.generations.values() if each.model == model]
        return [each.output_tokens > 0 for each in found]

    async with asyncio.timeout(20):
        while begun() != [True] * number:
            await asyncio.sleep(0.01)


class Looks:
    """What each look for callers who are no longer valid found; one is taken every second."""

    def __init__(self) -> None:
        self.found: list[set[Caller]] = []

    @contextmanager
    def the_next_one_finds_it(self) -> Iterator[None]:
        """That whoever was turned away is found by the first look that begins after, at the latest.

        Which is within two seconds, however busy the machine is that runs the test. A look may have
        found it already when the test goes on.
        """
        num_before = len(self.found)
        yield
        assert service.REVOCATION_POLL_S <= 1
        assert any(self.found[: num_before + 1])


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    looks, look = Looks(), service.no_longer_valid

    def noted(callers: Iterable[Caller]) -> set[Caller]:
        found: set[Caller] = set()
        looks.found.append(found)
        found |= look(callers)
        return found

    monkeypatch.setattr(service, "no_longer_valid", noted)
    return looks


class Holds:
    """Opens none before it may."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.allowed = threading.Event()


@pytest.fixture
def late_holds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Holds]:
    holds = Holds()
    real = ledger.open_hold

    def open_hold(*args: Any, **kwargs: Any) -> ledger.Balance:
        holds.asked.set()
        assert holds.allowed.wait(30)
        return real(*args, **kwargs)

    monkeypatch.setattr(ledger, "open_hold", open_hold)
    yield holds
    holds.allowed.set()


class Books:
    """Reads the ledger from async tests."""

    async def records(self) -> list[UsageRecord]:
        return await db(lambda: list(UsageRecord.objects.order_by("created_at", "id")))

    async def record(self) -> UsageRecord:
        [record] = await self.records()
        return record

    async def open_holds(self) -> int:
        return await db(Hold.objects.filter(state=HoldState.OPEN).count)

    async def balance(self, organisation_id: str) -> ledger.Balance:
        return await db(ledger.balance, organisation_id)

    async def settled(self, num_records: int, timeout_s: float = 30.0) -> list[UsageRecord]:
        """Wait until this many requests have a usage record and no hold is open."""
        for _ in range(int(timeout_s / 0.02)):
            records = await self.records()
            if len(records) >= num_records and await self.open_holds() == 0:
                assert len(records) == num_records
                return records
            await asyncio.sleep(0.02)
        pytest.fail(f"{len(records)} records, {await self.open_holds()} holds open")

    async def audit(self) -> None:
        """Exits non-zero, which raises here, when D1–D4 or D7 is not 0."""
        await db(call_command, "auditledger", verbosity=0)


@pytest.fixture
def books() -> Books:
    return Books()


def chat(content: str = "hi", model: str = "starter", **fields: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": content}], **fields}
