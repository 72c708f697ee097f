"""Who may use the socket, and for how long."""

import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from accounts import flows
from accounts.authentication import key_cache
from accounts.models import ApiKey, Membership, Organisation, Role, User
from playground import consumers
from playground.models import Conversation
from portal.lib.db import db
from tests.inference.conftest import Books, Looks
from tests.playground.conftest import Site, run


async def test_it_refuses_a_page_of_another_origin(site: Site, alice_browser: Client) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        async with site.page(alice_browser, origin="https://evil.example"):
            pass
    assert refusal.value.response.status_code == 403


@pytest.mark.parametrize("path", ["/v1/realtime?model=starter", "/v1/responses", "/"])
async def test_there_is_no_socket_elsewhere(site: Site, path: str) -> None:
    """OpenAI's library opens the first two."""
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(f"ws://{site.host}{path}"):
            pass
    assert refusal.value.response.status_code == 404
    error = json.loads(refusal.value.response.body)["error"]
    assert error["code"] == "unknown_url"
    assert "/ws/playground/" in error["message"]


async def test_it_turns_a_page_without_a_session_away(site: Site) -> None:
    async with site.socket(origin=site.origin) as page:
        assert (await page.hear())["error"]["code"] == "session_ended"
        assert await page.closed() == 4401


async def test_it_ignores_the_session_of_a_program(site: Site, alice_browser: Client) -> None:
    cookie = f"sessionid={alice_browser.cookies['sessionid'].value}"
    async with site.socket(headers={"Cookie": cookie}) as program:
        await program.say(**run())
        assert (await program.hear())["error"]["code"] == "not_authenticated"
        assert await program.closed() == 4401


async def test_it_serves_a_program_with_a_key_in_the_header(
    site: Site, secret: str, books: Books
) -> None:
    async with site.socket(headers={"Authorization": f"Bearer {secret}"}) as program:
        assert (await program.hear())["type"] == "ready"
        await program.say(**run())
        assert (await program.hear_until("finished", "error"))[-1]["type"] == "finished"
    [record] = await books.settled(1)
    assert record.api_key_id is not None


async def test_it_serves_a_program_with_a_key_in_the_first_frame(
    site: Site, secret: str, organisation: Organisation
) -> None:
    async with site.socket() as program:
        await program.say(type="auth", key=secret)
        ready = await program.hear()
        assert (ready["type"], ready["organisation"]) == ("ready", organisation.id)
        await program.say(type="auth", key=secret)
        assert (await program.hear())["error"]["param"] == "type"
        await program.say(type="ping")
        assert (await program.hear())["type"] == "pong"


@pytest.mark.parametrize("key", ["", "nonsense", "x" * 200])
async def test_it_turns_a_wrong_key_away(site: Site, key: str) -> None:
    async with site.socket(headers={"Authorization": f"Bearer {key}"}) as program:
        assert (await program.hear())["error"]["code"] == "invalid_api_key"
        assert await program.closed() == 4401


async def test_it_turns_away_who_sends_no_key_in_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "AUTH_TIMEOUT_S", 0.05)
    async with site.socket() as program:
        assert (await program.hear())["error"]["code"] == "not_authenticated"
        assert await program.closed() == 4401


async def test_a_key_saves_no_conversation(site: Site, secret: str, books: Books) -> None:
    async with site.socket(headers={"Authorization": f"Bearer {secret}"}) as program:
        await program.hear()
        await program.say(**run(conversation="new"))
        assert (await program.hear())["error"]["param"] == "conversation"
    assert await books.records() == []


async def test_revoking_the_key_ends_a_running_answer_within_two_seconds(
    site: Site, api_key: tuple[ApiKey, str], alice: User, books: Books, looks: Looks
) -> None:
    key, secret = api_key
    async with site.socket(headers={"Authorization": f"Bearer {secret}"}) as program:
        await program.hear()
        await program.say(**run(model="slow"))
        await program.hear_until("delta")
        await db(lambda: ApiKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now()))
        with looks.the_next_one_finds_it():
            await program.hear_until("error")
    await books.settled(1)


async def end_session(client: Client, _alice: User, _organisation: Organisation) -> None:
    await db(client.logout)


async def remove_member(_client: Client, alice: User, _organisation: Organisation) -> None:
    await db(lambda: Membership.objects.filter(user=alice).delete())


async def deactivate(_client: Client, alice: User, _organisation: Organisation) -> None:
    await db(lambda: User.objects.filter(pk=alice.pk).update(is_active=False))


async def change_password(_client: Client, alice: User, _organisation: Organisation) -> None:
    alice.set_password("another quite long one")
    await db(alice.save)


async def suspend(_client: Client, _alice: User, organisation: Organisation) -> None:
    rows = Organisation.objects.filter(pk=organisation.pk)
    await db(rows.update, suspended_at=timezone.now())


@pytest.mark.parametrize(
    ("withdraw", "why"),
    [
        (end_session, "session_ended"),
        (change_password, "session_ended"),
        (remove_member, "not_a_member"),
        (suspend, "organisation_suspended"),
    ],
)
async def test_the_end_of_a_session_ends_a_running_answer_within_two_seconds(
    site: Site,
    alice_browser: Client,
    alice: User,
    organisation: Organisation,
    books: Books,
    looks: Looks,
    withdraw: Any,
    why: str,
) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run(model="slow"))
        await page.hear_until("delta")
        await withdraw(alice_browser, alice, organisation)
        with looks.the_next_one_finds_it():
            frames = await page.hear_until("error")
        assert frames[-1]["error"]["code"] == "access_withdrawn"
        [record] = await books.settled(1)
        assert frames[-1]["summary"]["cost_nanos"] == record.cost_nanos
        told = await page.hear()
        assert (told["error"]["code"], "id" in told) == (why, False)
        assert await page.closed() == 4401


@pytest.mark.parametrize(
    ("withdraw", "why"),
    [
        (end_session, "session_ended"),
        (remove_member, "not_a_member"),
        (deactivate, "session_ended"),
        (change_password, "session_ended"),
    ],
)
async def test_an_open_socket_does_not_outlive_its_credentials(
    site: Site,
    alice_browser: Client,
    alice: User,
    organisation: Organisation,
    books: Books,
    withdraw: Any,
    why: str,
) -> None:
    async with site.page(alice_browser) as page:
        await withdraw(alice_browser, alice, organisation)
        await page.say(**run())
        assert (await page.hear())["error"]["code"] == why
        assert await page.closed() == 4401
    assert await books.records() == []


@pytest.mark.parametrize("role", [Role.BILLING, Role.VIEWER])
async def test_it_serves_only_those_who_may_spend(
    site: Site, alice_browser: Client, alice: User, books: Books, role: str
) -> None:
    async with site.page(alice_browser) as page:
        await db(lambda: Membership.objects.filter(user=alice).update(role=role))
        await page.say(**run())
        assert (await page.hear())["error"]["code"] == "wrong_role"
    assert await books.records() == []


async def test_it_serves_nobody_of_a_suspended_organisation(
    site: Site, alice_browser: Client, organisation: Organisation, secret: str, books: Books
) -> None:
    async with site.page(alice_browser) as page:
        suspended = Organisation.objects.filter(pk=organisation.pk)
        await db(suspended.update, suspended_at=timezone.now())
        key_cache.clear()
        await page.say(**run())
        assert (await page.hear())["error"]["code"] == "organisation_suspended"
    async with site.socket(headers={"Authorization": f"Bearer {secret}"}) as program:
        assert (await program.hear())["error"]["code"] == "organisation_suspended"
        assert await program.closed() == 4401
    assert await books.records() == []


async def test_the_session_says_which_organisation_pays(
    site: Site, alice_browser: Client, alice: User, organisation: Organisation, books: Books
) -> None:
    second = await db(flows.create_organisation, alice, "Second", welcome=False)

    def choose() -> None:
        session = alice_browser.session
        session["organisation_id"] = second.id
        session.save()

    await db(choose)
    async with site.page(alice_browser) as page:
        await page.say(**run())
        refused = await page.hear()
        assert refused["error"]["status"] == 402
        assert refused["error"]["code"] == "insufficient_quota"
    assert await books.records() == []


async def test_it_saves_into_nobody_elses_conversation(
    site: Site, alice_browser: Client, bob: User, organisation: Organisation
) -> None:
    foreign = await db(
        Conversation.objects.create, organisation=organisation, user=bob, title="Bob's", model="x"
    )
    async with site.page(alice_browser) as page:
        await page.say(**run(conversation=foreign.id))
        assert (await page.hear())["error"]["code"] == "conversation_not_found"
    assert await db(foreign.messages.count) == 0
