"""One machine, the shipped default, as it can get: its disk is full, a thousand sockets are open.

What cannot be written is refused or waits; nothing is free, nothing is charged twice, bystanders
notice nothing, and nobody has to start anything again.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from portal.serving.server import take_more_files
from tests.billing.stripe_double import WEBHOOK_SECRET, sign
from tests.conformance.footprint import footprint
from tests.conformance.load import Load
from tests.conformance.machine import Machine
from tests.conformance.test_faults import records, wait_for
from tests.story import calls
from tests.story.site import Site, embedded_site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
WINDOW = 64  # tokens that are held at a time for who names no max_tokens
EVENT = b'{"id": "evt_drill", "object": "event", "type": "product.created"}'
# Holds a window after the other.
ENDLESS = {
    "model": "starter", "messages": [{"role": "user", "content": calls.PROMPT}],
    "ignore_eos": True, "stream": True,
}  # fmt: skip
SOCKET_KIB = 72  # of memory, at most; an idle one takes 54, with a compressor 92
PEOPLE, SOCKETS_EACH = 10, 100  # as many as one key may have
NEW_KEYS = f"""
from accounts import flows
from accounts.models import User
user = User.objects.get(email="crowd@example.com")
organisation = user.memberships.get().organisation
for number in range({PEOPLE}):
    print(flows.create_key(organisation, user, str(number))[1])
"""
KNOBS = {
    "ENGINE_FAKE": "true",
    "WELCOME_CREDIT": "0",
    "ENGINE_ARGS": "--fake-tokens-per-second 50 --max-running 8",
    "HOLD_WINDOW_TOKENS": str(WINDOW),
    "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
}


@pytest.fixture(scope="module")
def site(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with embedded_site(tmp_path_factory.mktemp("bad"), **KNOBS, **machine.env) as running:
        yield running


def test_a_full_disk_makes_nothing_free_and_clears_up_by_itself(
    site: Site, machine: Machine
) -> None:
    load = Load(site, "full@example.com")
    endless = site.issue_key("endless@example.com", "5.00")

    async def fill() -> None:
        begun = asyncio.Event()
        stream = asyncio.create_task(listen(site, endless, begun))
        await asyncio.wait_for(begun.wait(), 30)
        machine.fill_disk()
        await load.newcomers_are_refused()
        assert await database_of(site) == "takes no writes"
        assert (await deliver(site)).status_code == 503, "Stripe sends it again"
        await asyncio.to_thread(wait_for, site.engine_is_idle, 60, "all wait to be settled")
        machine.clear_disk()
        heard = await asyncio.wait_for(stream, 60)
        assert "accounting_unavailable" in heard
        assert "[DONE]" not in heard

    asyncio.run(load.during(fill))
    assert asyncio.run(database_of(site)) == "ok"
    assert asyncio.run(deliver(site)).status_code == 200
    load.check()
    # What could not be reserved was not made on credit: it broke off, and is ours to pay.
    assert records(site, "endless@example.com") == 1
    assert records(site, "endless@example.com", "outcome = 'failed' AND cost_nanos = 0") == 1
    assert site.log().count("database takes writes again") == 1
    assert "Traceback" not in site.log()


def test_a_thousand_sockets_are_idle_beside_a_request_and_more_are_told_so(site: Site) -> None:
    take_more_files()  # this process has the other ends
    polite = Load(site, "polite@example.com")
    site.issue_key("crowd@example.com", "1.00")
    secrets = site.manage("shell", "-v0", "-c", NEW_KEYS).split()
    before = footprint(site)["serve"]

    async def crowd() -> None:
        async with AsyncExitStack() as stack:
            asked = [secret for secret in secrets for _ in range(SOCKETS_EACH)]
            idle = await opened(site, stack, asked)
            assert {first["type"] for _socket, first in idle} == {"ready"}
            full = footprint(site)["serve"]
            assert full.memory_kib - before.memory_kib < len(idle) * SOCKET_KIB
            for socket, refusal in await opened(site, stack, secrets):
                assert refusal["error"]["code"] == "too_many_sockets"
                await asyncio.wait_for(socket.wait_closed(), 30)
                assert socket.close_code == 4429
            await polite.answers(4)
            for socket, _first in idle:
                await socket.send('{"type": "ping"}')
            assert {await socket.recv() for socket, _first in idle} == {'{"type":"pong"}'}

    asyncio.run(polite.during(crowd, num=2))
    assert polite.seen["refused"] == 0
    polite.check()
    wait_for(
        lambda: footprint(site)["serve"].num_files < before.num_files + 32, 30, "files are closed"
    )
    assert asyncio.run(one_more(site, secrets[0])) == "ready"


async def opened(
    site: Site, stack: AsyncExitStack, secrets: list[str]
) -> list[tuple[ClientConnection, dict[str, Any]]]:
    """A socket for each of these keys, and what it heard first; some at a time."""
    some = asyncio.Semaphore(20)

    async def open_one(secret: str) -> tuple[ClientConnection, dict[str, Any]]:
        async with some:
            socket = await stack.enter_async_context(connect(
                f"{site.url.replace('http', 'ws', 1)}/ws/playground/", open_timeout=60,
                additional_headers={"authorization": f"Bearer {secret}"},
            ))  # fmt: skip
            return socket, json.loads(await asyncio.wait_for(socket.recv(), 60))

    return await asyncio.gather(*map(open_one, secrets))


async def one_more(site: Site, secret: str) -> str:
    async with AsyncExitStack() as stack:
        [(_socket, first)] = await opened(site, stack, [secret])
    said: str = first["type"]
    return said


async def listen(site: Site, secret: str, begun: asyncio.Event) -> str:
    """All of an endless stream."""
    heard = ""
    async with (
        calls.client(site.url, secret) as session,
        session.stream("POST", "/v1/chat/completions", json=ENDLESS) as response,
    ):
        async for part in response.aiter_text():
            begun.set()
            heard += part
    return heard


async def database_of(site: Site) -> str:
    """What /readyz says of it."""
    async with httpx.AsyncClient(timeout=30) as probe:
        answer = await probe.get(f"{site.url}/readyz")
    state: str = answer.json()["database"]
    assert (answer.status_code == 200) == (state == "ok")
    return state


async def deliver(site: Site) -> httpx.Response:
    """As Stripe does."""
    headers = {"stripe-signature": sign(EVENT), "content-type": "application/json"}
    async with httpx.AsyncClient(timeout=30) as session:
        return await session.post(f"{site.url}/webhooks/stripe/", content=EVENT, headers=headers)
