"""Kills and races against the whole product; each ends with a clean audit.

On the embedded default and on PostgreSQL with Redis and two web processes. The engine is the fake
one: what is tested is the path of money and of errors, not the model.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.story import calls
from tests.story.site import Site, embedded_site, production_site

pytestmark = [pytest.mark.slow, pytest.mark.services]
LEASE_S = 20
# Slow enough that a kill or a hang-up comes in the middle of an answer.
KNOBS = {
    "ENGINE_FAKE": "true", "WELCOME_CREDIT": "0", "ENGINE_ARGS": "--fake-tokens-per-second 50",
}  # fmt: skip


@pytest.fixture(scope="module", params=["embedded", "production"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    data_dir = tmp_path_factory.mktemp(request.param)
    start = embedded_site if request.param == "embedded" else production_site
    with start(data_dir, **KNOBS) as running:
        yield running


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.2)


def test_two_hundred_at_once_on_credit_for_twenty(site: Site) -> None:
    max_tokens = 50
    key = site.issue_key("race@example.com", "0.000001")
    probe = httpx.post(
        f"{site.url}/v1/completions", json=calls.completion(max_tokens),
        headers={"Authorization": f"Bearer {key}"}, timeout=30,
    )  # fmt: skip
    assert probe.status_code == 402, probe.text
    ceiling_nanos = price_ceiling(site, max_tokens)
    key = site.issue_key("race20@example.com", f"{20 * ceiling_nanos / 1e9:.9f}")

    async def race() -> list[int]:
        async with calls.client(site.url, key) as session:
            answers = await asyncio.gather(
                *(
                    session.post("/v1/completions", json=calls.completion(max_tokens))
                    for _ in range(200)
                )
            )
            return [answer.status_code for answer in answers]

    statuses = Counter(asyncio.run(race()))
    # Holds of requests that are still running count as spent; what they release is free again, so
    # a few more than twenty may run. 429 says that a hold will soon be released.
    assert statuses.keys() <= {200, 402, 429}, statuses
    assert 18 <= statuses[200] <= 22, statuses
    assert site.balance_nanos("race20@example.com") >= 0
    site.audit()


def price_ceiling(site: Site, max_tokens: int) -> int:
    """What one request of the race holds: its prompt and all of `max_tokens`, at list price."""
    key = site.issue_key("ruler@example.com", "1.00")
    headers = {"Authorization": f"Bearer {key}"}
    tokens = httpx.post(
        f"{site.url}/tokenize", headers=headers, timeout=30,
        json={"model": "starter", "prompt": calls.PROMPT},
    ).json()["count"]  # fmt: skip
    pricing = httpx.get(f"{site.url}/v1/models/starter", headers=headers).json()["pricing"]
    nanos = 1e9 * (tokens * float(pricing["input"]) + max_tokens * float(pricing["output"]))
    return round(nanos + 0.5)


def test_a_killed_engine_ends_every_stream_with_an_error(site: Site) -> None:
    key = site.issue_key("kill@example.com", "5.00")
    killed = []

    def kill_when_all_run(heard: calls.Heard) -> None:
        running.add(id(heard))
        if len(running) == 8 and not killed:
            for pid in site.engine_pids():
                os.kill(pid, signal.SIGKILL)
                killed.append(time.monotonic())

    running: set[int] = set()

    async def streams() -> list[calls.Heard]:
        async with calls.client(site.url, key) as session:
            return await asyncio.gather(
                *(calls.listen(session, calls.completion(400), kill_when_all_run) for _ in range(8))
            )

    before = site.balance_nanos("kill@example.com")
    heard = asyncio.run(streams())
    assert killed, "the engine was not found"
    for each in heard:
        assert each.status == 200
        assert each.error is not None
        assert not each.done
        assert all(
            choice["finish_reason"] is None for chunk in each.chunks for choice in chunk["choices"]
        )
    restart_engine(site)
    again = httpx.post(
        f"{site.url}/v1/completions", json=calls.completion(5),
        headers={"Authorization": f"Bearer {key}"}, timeout=30,
    )  # fmt: skip
    assert again.status_code == 200, again.text
    wait_for(lambda: site.open_holds() == 0, LEASE_S + 10, "holds are gone")
    assert site.balance_nanos("kill@example.com") <= before
    site.audit()


def restart_engine(site: Site) -> None:
    """`serve` restarts its engine; in production that is systemd's part, played here."""
    if "engine" in site.processes:
        site.restart("engine")
    wait_for(lambda: ready(site), 60, "an engine answers again")


def ready(site: Site) -> bool:
    """Ready on every web process: a balancer may ask any of them."""
    try:
        return all(httpx.get(f"{site.url}/readyz").status_code == 200 for _ in range(4))
    except httpx.HTTPError:
        return False


def test_hang_ups_leave_nothing_open(site: Site) -> None:
    key = site.issue_key("hangup@example.com", "5.00")

    async def hang_up(session: httpx.AsyncClient, after: int) -> None:
        body = {**calls.completion(400), "stream": True}
        async with session.stream("POST", "/v1/completions", json=body) as response:
            count = 0
            async for _data in calls.events(response):
                count += 1
                if count > after:
                    return

    async def many() -> None:
        async with calls.client(site.url, key) as session:
            await asyncio.gather(*(hang_up(session, after) for after in range(12)))

    asyncio.run(many())
    wait_for(lambda: site.open_holds() == 0, LEASE_S + 10, "holds are gone")
    site.audit()
    wait_for(lambda: site.engine_is_idle(), 10, "the engine stopped generating")


def test_a_killed_web_process_leaves_no_hold_behind(tmp_path: Path) -> None:
    """Both web processes die mid-stream: the sweep releases the hold, and it costs nothing."""
    with production_site(tmp_path, **KNOBS) as site:
        key = site.issue_key("webkill@example.com", "5.00")
        outcome: list[Any] = []
        heard: list[calls.Heard] = []

        def kill(_heard: calls.Heard) -> None:
            for name in ("web0", "web1"):
                if not outcome:
                    site.processes[name].kill()
            outcome.append(True)

        async def stream() -> None:
            async with calls.client(site.url, key) as session:
                heard.append(await calls.listen(session, calls.completion(400), kill))

        with pytest.raises(httpx.HTTPError):
            asyncio.run(stream())
        wait_for(lambda: site.open_holds() == 0, LEASE_S + 10, "the sweep released the hold")
        assert site.balance_nanos("webkill@example.com") == 5 * 10**9
        wait_for(lambda: site.engine_is_idle(), 10, "the engine stopped generating")
        site.audit()
