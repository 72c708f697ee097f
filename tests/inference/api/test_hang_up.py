"""The client goes away: at every event of a stream, at every await of a request, or by stalling."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Hashable
from pathlib import Path
from typing import Any

import httpx
import pytest

from accounts.authentication import key_cache
from billing import ledger
from billing.models import Hold
from inference import catalog, service
from inference.api import streams
from inference.api.app import build_app
from inference.api.streams import EventStream
from inference.engine import fake
from inference.engine.fake import FakeOptions
from inference.engine.limits import SchedulerLimits
from inference.engine.server import EngineServer
from inference.engine.wire import engine_pb2 as wire
from inference.models import ServedModel
from portal.lib.db import db
from tests.inference.conftest import Books, chat, under_way

PATH = "/v1/chat/completions"


async def engine_stats(running: service.Service, model: str) -> wire.EngineStats:
    link = running.pool.pick(model)
    assert link is not None
    info: wire.EngineInfo = await link._ask_info()
    return info.stats


async def assert_engine_idle(running: service.Service, model: str) -> None:
    """Nothing runs there any more, and every block of its cache is free."""
    for _ in range(100):
        stats = await engine_stats(running, model)
        if stats.num_running == stats.num_waiting == stats.kv_blocks_used == 0:
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"the engine still works: {stats}")


class Stepped:
    """An engine in the hand of a test: its steps, and when it hears of a cancel."""

    def __init__(self, turnstile: threading.Semaphore, server: EngineServer) -> None:
        self.turnstile = turnstile
        self.cancelled = asyncio.Event()
        cancel = server.loop.cancel

        def noted(handle: Hashable, sequence_id: int) -> None:
            cancel(handle, sequence_id)
            self.cancelled.set()

        server.loop.cancel = noted  # type: ignore[method-assign]


@pytest.fixture
async def stepped(
    running: service.Service, add_model: Callable[..., ServedModel]
) -> AsyncIterator[Stepped]:
    """The model `stepped`, whose engine takes a step when the test lets it."""
    turnstile = threading.Semaphore(0)
    limits = SchedulerLimits(max_model_len=2048, token_budget=512)
    options = FakeOptions("stepped", text="word " * 500, turnstile=turnstile, limits=limits)
    address = catalog.local_address("stepped", 1)
    Path(address.removeprefix("unix:")).parent.mkdir(parents=True, exist_ok=True)
    async with fake.running(options, address) as (_, server):
        await db(add_model, "stepped", max_model_len=2048)
        await running.pool._follow()
        assert await running.pool.wait_until_healthy("stepped", 60)
        yield Stepped(turnstile, server)
        turnstile.release(10_000)


@pytest.mark.parametrize("num_events", range(0, 12, 2))
async def test_a_hang_up_after_any_event_stops_the_engine_and_bills_until_then(
    web: httpx.AsyncClient, running: service.Service, stepped: Stepped, books: Books,
    num_events: int,
) -> None:  # fmt: skip
    """The engine waits until all is counted, and until it was told.

    With a pace of its own it would run on, on a busy machine, while either is on its way.
    """
    body = chat(model="stepped", max_tokens=500, stream=True)
    before = await engine_stats(running, "stepped")
    stepped.turnstile.release()
    async with web.stream("POST", PATH, json=body) as response:
        seen, steps = 0, 1
        async for line in response.aiter_lines():
            seen += line.startswith("data:")
            if seen >= num_events:
                break
            if line.startswith("data:") and seen > 1:  # the first says whose turn it is
                stepped.turnstile.release()  # one at a time: tokens in a hurry share an event
                steps += 1
        assert seen >= num_events
        [generation] = running.generations.values()
        async with asyncio.timeout(10):
            while generation.output_tokens < steps:  # what is on its way is not overrun
                await asyncio.sleep(0.001)
    await asyncio.wait_for(stepped.cancelled.wait(), 10)
    stepped.turnstile.release(1000)  # it may run on for as long as it likes
    [record] = await books.settled(1)
    assert record.outcome == "aborted"
    assert record.output_tokens == steps  # what was sampled until the hang-up
    assert record.waived_tokens <= 2  # the overrun of at most two steps
    await assert_engine_idle(running, "stepped")
    after = await engine_stats(running, "stepped")
    sampled = after.generated_tokens - before.generated_tokens
    assert sampled == record.output_tokens + record.waived_tokens
    await books.audit()


async def test_a_request_that_is_not_streamed_stops_too(
    web: httpx.AsyncClient, running: service.Service, books: Books
) -> None:
    leaving = asyncio.create_task(web.post(PATH, json=chat(model="slow", max_tokens=500)))
    await under_way(running)
    leaving.cancel()
    [record] = await books.settled(1)
    assert record.outcome == "aborted"
    assert record.prompt_tokens > 0
    assert 0 < record.output_tokens < 250
    await assert_engine_idle(running, "slow")
    await books.audit()


async def test_a_neighbour_does_not_notice(web: httpx.AsyncClient, books: Books) -> None:
    async def hang_up() -> None:
        async with web.stream("POST", PATH, json=chat(model="slow", stream=True)) as response:
            await anext(response.aiter_lines())

    polite = asyncio.create_task(web.post(PATH, json=chat(model="slow", max_tokens=30)))
    await asyncio.gather(*(hang_up() for _ in range(5)))
    answer = (await polite).json()
    assert answer["usage"]["completion_tokens"] == 30
    records = await books.settled(6)
    assert sorted(record.outcome for record in records) == ["aborted"] * 5 + ["finished"]


class Interruption:
    """Acts at the n-th suspension of a request: cancels its task, or lets its client go.

    A cancelled one is cancelled again at every later await, as an `anyio` cancel scope does. The
    task that sends a stream counts as well.
    """

    def __init__(self, at: int, how: str) -> None:
        self.at = at
        self.how = how
        self.count = 0
        self.reached = False
        self.gone = asyncio.Event()
        self.request: asyncio.Task[None] | None = None

    async def drive(self, steps: Awaitable[None]) -> None:
        await Interrupted(steps, self)

    def make_task(
        self, loop: asyncio.AbstractEventLoop, steps: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        """The loop's factory of tasks."""
        if getattr(steps, "__qualname__", "") == EventStream._send_all.__qualname__:
            steps = self.drive(steps)
        return asyncio.Task(steps, loop=loop, **options)

    def suspended(self) -> None:
        self.count += 1
        if self.count == self.at or (self.reached and self.how == "cancel"):
            self.reached = True
            self.gone.set()
            if self.how == "cancel":
                assert self.request is not None
                self.request.cancel()


class Interrupted:
    """Steps through a coroutine and tells of each suspension."""

    def __init__(self, inner: Awaitable[None], interruption: Interruption) -> None:
        self.inner = inner
        self.interruption = interruption

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self.inner.__await__()
        while True:
            try:
                waits_for = next(steps)
            except StopIteration:
                return
            self.interruption.suspended()
            try:
                yield waits_for
            except asyncio.CancelledError as error:
                try:
                    waits_for = steps.throw(error)  # type: ignore[attr-defined]
                except StopIteration:
                    return
                yield waits_for


async def request_interrupted_at(step: int, how: str, body: dict[str, Any], secret: str) -> bool:
    """Send one request, straight to the application; whether its `step`-th await was reached."""
    key_cache.clear()  # so that authenticating awaits the database, too
    interruption = Interruption(step, how)
    sent = asyncio.Queue[dict[str, Any]]()
    sent.put_nowait({"type": "http.request", "body": json.dumps(body).encode()})

    async def receive() -> dict[str, Any]:
        if not sent.empty():
            return sent.get_nowait()
        await interruption.gone.wait()
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        await asyncio.sleep(0)

    scope = {
        "type": "http", "method": "POST", "path": PATH, "query_string": b"", "http_version": "1.1",
        "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {secret}".encode())],
        "client": ("127.0.0.1", 1), "server": ("localhost", 80), "scheme": "http",
    }  # fmt: skip
    loop = asyncio.get_running_loop()
    loop.set_task_factory(interruption.make_task)
    try:
        driven = interruption.drive(build_app()(scope, receive, send))
        task = interruption.request = asyncio.create_task(driven)
        await asyncio.wait([task], timeout=20)
    finally:
        loop.set_task_factory(None)
    assert task.done()
    if not task.cancelled():
        task.result()
    return interruption.reached


@pytest.mark.parametrize("how", ["cancel", "disconnect"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_hang_up_at_any_await_leaves_nothing_open(
    running: service.Service, secret: str, books: Books, how: str, streamed: bool
) -> None:
    # Of the latter every token of a stream is waited for, unless the machine was busy meanwhile:
    # they are more than have to be counted.
    for model, num_tokens in (("starter", 3), ("slow", 8)):
        short = chat(model=model, max_tokens=num_tokens, stream=streamed)
        steps = 0
        while await request_interrupted_at(steps + 1, how, short, secret):
            steps += 1
    assert steps >= (12 if streamed else 7), "the driver saw too few awaits to mean anything"
    # Once more with answers that would go on for half a minute, were they not stopped. The last
    # three awaits of a whole one come after that: it is settled, and its head and body are sent.
    for step in range(1, steps + 1 if streamed else steps - 2):
        await request_interrupted_at(
            step, how, chat(model="slow", max_tokens=1500, stream=streamed), secret
        )
    for _ in range(200):
        if not running.generations and await books.open_holds() == 0:
            break
        await asyncio.sleep(0.02)
    assert running.generations == {}
    assert await books.open_holds() == 0
    await assert_engine_idle(running, "starter")
    await assert_engine_idle(running, "slow")
    # Nor does anything turn up when every lease is over.
    await db(lambda: Hold.objects.update(lease=0))
    assert await db(ledger.sweep) == 0
    for record in await books.records():
        assert record.output_tokens <= (3 if record.model == "starter" else 150)
    await books.audit()


async def test_a_stalled_reader_is_given_up(
    running: service.Service, base_url: str, secret: str, books: Books,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It connects, asks for a long answer and reads nothing."""
    monkeypatch.setattr(streams, "STALLED_CLIENT_S", 0.5)
    port = int(base_url.rpartition(":")[2])
    _reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    long = chat("x" * 200, n=100, logprobs=True, top_logprobs=20, stream=True, max_tokens=1500)
    body = json.dumps(long | {"ignore_eos": True}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    [record] = await books.settled(1, timeout_s=60)
    assert record.outcome == "aborted", record.error
    await assert_engine_idle(running, "starter")
    writer.close()
    await books.audit()
