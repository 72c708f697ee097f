"""How many sockets one has: who comes when all are taken is told so, and others are not."""

import asyncio

import pytest
from django.test import Client

from playground import crowd
from tests.playground.conftest import Site, Socket, run

pytestmark = pytest.mark.usefixtures("few")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "MAX_SOCKETS", 2)


async def are_open(num: int) -> None:
    """The server hears a moment later than its client that a socket has gone."""
    async with asyncio.timeout(10):
        while crowd._open.total() != num:
            await asyncio.sleep(0.01)


async def is_refused(socket: Socket) -> None:
    refusal = await socket.hear()
    assert refusal["type"] == "error"
    assert refusal["error"]["code"] == "too_many_sockets"
    assert "At most 2 connections" in refusal["error"]["message"]
    assert await socket.closed() == 4429


async def test_a_person_has_so_many_and_a_place_again_when_one_goes(
    site: Site, alice_browser: Client
) -> None:
    headers = {"Cookie": f"sessionid={alice_browser.cookies['sessionid'].value}"}
    async with site.page(alice_browser) as first:
        async with (
            site.page(alice_browser),
            site.socket(headers=headers, origin=site.origin) as third,
        ):
            await is_refused(third)
        await are_open(1)
        async with site.page(alice_browser) as again:
            for page in (first, again):
                await page.say(**run(content="hello"))
                assert (await page.hear_until("finished", "error"))[-1]["type"] == "finished"


async def test_a_key_has_its_own(site: Site, alice_browser: Client, secret: str) -> None:
    headers = {"Authorization": f"Bearer {secret}"}
    async with (
        site.page(alice_browser),
        site.page(alice_browser),
        site.socket(headers=headers) as first,
        site.socket(headers=headers) as second,
    ):
        for socket in (first, second):
            assert (await socket.hear())["type"] == "ready"
        async with site.socket(headers=headers) as third:
            await is_refused(third)


async def test_an_address_has_so_many_that_have_not_said_who_they_are(
    site: Site, secret: str
) -> None:
    async with site.socket() as first, site.socket() as second:
        async with site.socket() as third:
            await is_refused(third)
        for socket in (first, second):
            await socket.say(type="auth", key=secret)
            assert (await socket.hear())["type"] == "ready"
        async with site.socket() as fourth:  # a place is free again, but none of the key
            await fourth.say(type="auth", key=secret)
            await is_refused(fourth)


async def test_nothing_is_left_when_all_have_gone(site: Site, alice_browser: Client) -> None:
    async with site.page(alice_browser), site.socket():
        await are_open(2)
    await are_open(0)
    assert not crowd._open
