"""What operators do under load: web processes replaced one by one, PostgreSQL restarted.

Customers keep calling meanwhile. No request is lost: it is answered whole, or refused with a time
to come back, and what was answered is what was billed.
"""

import asyncio
import os
import shlex
import signal
import subprocess
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.services import Unprivileged
from tests.story import calls
from tests.story.site import Site, production_site
from tests.story.test_faults import LEASE_S, WEB, ready, records, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(300)]
CUSTOMERS = 12
KNOBS = {
    "ENGINE_FAKE": "true", "WELCOME_CREDIT": "0", "ENGINE_ARGS": "--fake-tokens-per-second 50",
}  # fmt: skip
TOKENS = 40


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with production_site(tmp_path_factory.mktemp("drills"), **KNOBS) as running:
        yield running


class Load:
    """Customers who ask one thing after another, each on a new connection; half of them stream."""

    def __init__(self, site: Site, email: str) -> None:
        self.site = site
        self.headers = {
            "authorization": f"Bearer {site.issue_key(email, '50.00')}", "connection": "close",
        }  # fmt: skip
        self.seen: Counter[str] = Counter()
        self.tokens = 0  # of whole answers
        self.ended = False

    async def during(self, drill: Callable[[], Awaitable[None]]) -> None:
        """Ask before, while and for a moment after it runs."""
        customers = [asyncio.create_task(self._ask_on(bool(n % 2))) for n in range(CUSTOMERS)]
        try:
            await self.answers(2 * CUSTOMERS)
            await drill()
            await self.answers(2 * CUSTOMERS)
        finally:
            self.ended = True
            await asyncio.wait_for(asyncio.gather(*customers), 60)

    async def answers(self, more: int) -> None:
        """Until so many more are whole."""
        until = self.seen["whole"] + more
        async with asyncio.timeout(60):
            while self.seen["whole"] < until:
                await asyncio.sleep(0.05)

    async def _ask_on(self, stream: bool) -> None:
        while not self.ended:
            await self.ask(stream)

    async def ask(self, stream: bool) -> None:
        body = calls.completion(TOKENS, stream=stream)
        if stream:
            body["stream_options"] = {"include_usage": True}
        async with httpx.AsyncClient(base_url=self.site.url, timeout=60) as session:
            try:
                answer = await session.post("/v1/completions", json=body, headers=self.headers)
            except httpx.HTTPError as error:
                self.seen[repr(error)] += 1
            else:
                await self._note(answer, stream)

    async def _note(self, answer: httpx.Response, stream: bool) -> None:
        if answer.status_code == 503:
            assert float(answer.headers["retry-after"]) > 0
            self.seen["refused"] += 1
            await asyncio.sleep(0.2)
        elif answer.status_code != 200:
            self.seen[answer.text] += 1
        elif stream and not answer.text.endswith("data: [DONE]\n\n"):
            self.seen[answer.text[-300:]] += 1
        else:
            self.seen["whole"] += 1
            self.tokens += TOKENS

    def check(self, email: str) -> None:
        """Nobody saw anything but answers and refusals, and the bill is of the answers."""
        assert self.seen.keys() <= {"whole", "refused"}, self.seen
        wait_for(lambda: self.site.open_holds() == 0, LEASE_S + 10, "holds are gone")
        assert records(self.site, email, "outcome = 'finished'") == self.seen["whole"]
        assert records(self.site, email, what="SUM(output_tokens)") == self.tokens
        self.site.audit()


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
    load.check("rolling@example.com")
    assert load.seen["refused"] == 0, load.seen


def test_postgresql_is_restarted_under_load_and_nothing_is_free(site: Site) -> None:
    load = Load(site, "restart@example.com")
    with Database(site.env["DATABASE_URL"]).restartable() as database:

        async def restart() -> None:
            await asyncio.to_thread(database.stop)
            # The others may all be waiting for answers that cannot be settled yet.
            refused = load.seen["refused"]
            newcomers = (load.ask(bool(n % 2)) for n in range(CUSTOMERS))
            await asyncio.wait_for(asyncio.gather(*newcomers), 30)
            assert load.seen["refused"] >= refused + CUSTOMERS
            await asyncio.to_thread(database.start)

        asyncio.run(load.during(restart))
        load.check("restart@example.com")


class Database:
    """A running PostgreSQL, from what it says of itself."""

    def __init__(self, address: str) -> None:
        self.address = address
        with psycopg.connect(address) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
        assert row is not None
        self.data = Path(row[0])
        self.command = shlex.split((self.data / "postmaster.opts").read_text())
        self.process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def restartable(self) -> Iterator["Database"]:
        """Who started it stops the first process; the second is stopped here."""
        try:
            yield self
        finally:
            if self.process is not None:
                self.process.send_signal(signal.SIGINT)
                self.process.wait(30)

    def stop(self) -> None:
        """As an administrator does: connections end, what runs is rolled back."""
        pid = int((self.data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGINT)
        wait_for(lambda: not (self.data / "postmaster.pid").exists(), 30, "it has stopped")

    def start(self) -> None:
        options: dict[str, Any] = Unprivileged().options()
        self.process = subprocess.Popen(
            self.command, cwd=self.data, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            **options,
        )  # fmt: skip
        wait_for(self._answers, 30, "it answers again")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.address, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True
