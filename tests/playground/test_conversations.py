"""What is kept of a conversation, and that a client cannot write what the server counted."""

import asyncio

from django.test import Client

from accounts import flows
from accounts.models import Organisation, User
from playground.models import Conversation, Message
from portal.lib.db import db
from tests.inference.conftest import Books
from tests.playground.conftest import Site, run


async def rows(conversation_id: str) -> list[Message]:
    return await db(lambda: list(Message.objects.filter(conversation_id=conversation_id)))


async def test_it_saves_a_finished_run_with_what_was_measured(
    site: Site, alice_browser: Client, alice: User, organisation: Organisation, books: Books
) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run(content="What is  this?", conversation="new"))
        started, *_, finished = await page.hear_until("finished", "error")
    conversation = await db(Conversation.objects.get)
    assert conversation.id == started["conversation"] == finished["conversation"]
    assert (conversation.user_id, conversation.organisation_id) == (alice.pk, organisation.id)
    assert conversation.title == "What is this?"
    question, answer = await rows(conversation.id)
    assert (question.role, question.content) == ("user", "What is  this?")
    assert answer.content.startswith("You wrote:")
    assert answer.request_id == started["request_id"]
    assert answer.measured == finished["summary"]


async def test_it_goes_on_in_the_same_conversation_and_keeps_what_was_measured(
    site: Site, alice_browser: Client, books: Books
) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run(conversation="new"))
        started, *_, finished = await page.hear_until("finished")
        first = await rows(started["conversation"])
        messages = [{"role": row.role, "content": row.content} for row in first]
        messages.append({"role": "user", "content": "more"})
        await page.say(**run(messages=messages, conversation=started["conversation"]))
        await page.hear_until("finished")
    after = await rows(started["conversation"])
    assert [row.role for row in after] == ["user", "assistant", "user", "assistant"]
    assert after[1].measured == finished["summary"]
    assert after[3].request_id != after[1].request_id


async def test_what_another_tab_got_is_not_written_over(
    site: Site, alice_browser: Client, books: Books
) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run(conversation="new"))
        started, *_, finished = await page.hear_until("finished")
        kept = started["conversation"]
        first = [{"role": row.role, "content": row.content} for row in await rows(kept)]
        fields = {"conversation": kept, "after": finished["summary"]["request_id"]}
        places = []
        for question in ("first tab", "second tab"):
            messages = [*first, {"role": "user", "content": question}]
            await page.say(**run(messages=messages, **fields))
            begun, *_ = await page.hear_until("finished")
            places.append(begun["conversation"])
    assert places[0] == kept != places[1]
    for place, question in zip(places, ("first tab", "second tab"), strict=True):
        _asked, answer, more, _new = await rows(place)
        assert more.content == question
        assert answer.measured == finished["summary"]


async def test_tabs_that_run_at_once_do_not_write_over_each_other(
    site: Site, alice_browser: Client, books: Books
) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run(conversation="new"))
        started, *_, finished = await page.hear_until("finished")
        kept = started["conversation"]
        fields = {"conversation": kept, "after": finished["summary"]["request_id"]}
        slow = {"model": "slow", "parameters": {"max_tokens": 30}}
        await page.say(**run("slow", "slow", **slow, **fields))
        await page.hear_until("delta")
        await page.say(**run("quick", "quick", **fields))
        places: dict[str, str] = {}
        while len(places) < 2:
            finished = (await page.hear_until("finished"))[-1]
            places[finished["id"]] = finished["conversation"]
    assert places["quick"] == kept != places["slow"]
    assert (await rows(places["slow"]))[0].content == "slow"
    questions = await db(lambda: set(Message.objects.filter(role="user").values_list("content")))
    assert questions == {("slow",), ("quick",)}
    assert len(await rows(kept)) == 2


async def test_two_answers_that_say_the_same_keep_what_each_measured(
    site: Site, alice_browser: Client, books: Books
) -> None:
    short = {"model": "slow", "parameters": {"max_tokens": 3}}
    async with site.page(alice_browser) as page:
        await page.say(**run(conversation="new", **short))
        started, *_ = await page.hear_until("finished")
        kept = started["conversation"]
        for _ in range(2):
            messages = [{"role": row.role, "content": row.content} for row in await rows(kept)]
            messages.append({"role": "user", "content": "again"})
            await page.say(**run(messages=messages, conversation=kept, **short))
            await page.hear_until("finished")
    answers = [row for row in await rows(kept) if row.role == "assistant"]
    assert len({row.content for row in answers}) == 1
    requests = [record.request_id for record in await books.settled(3)]
    assert sorted(row.request_id for row in answers) == sorted(requests)
    assert all(row.measured["request_id"] == row.request_id for row in answers)


async def test_an_edited_answer_loses_its_measurements(
    site: Site, alice_browser: Client, books: Books
) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run(conversation="new"))
        started, *_ = await page.hear_until("finished")
        messages = [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "I never said this"},
            {"role": "user", "content": "more"},
        ]
        await page.say(**run(messages=messages, conversation=started["conversation"]))
        await page.hear_until("finished")
    edited = (await rows(started["conversation"]))[1]
    assert (edited.request_id, edited.measured) == ("", {})


async def test_it_keeps_the_text_that_was_paid_for_when_the_page_goes_away(
    site: Site, alice_browser: Client, books: Books
) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run(model="slow", conversation="new"))
        frames = await page.hear_until("delta")
    [record] = await books.settled(1)
    for _ in range(400):
        saved = await rows(frames[0]["conversation"])
        if saved:
            break
        await asyncio.sleep(0.05)
    assert saved[1].content.startswith(frames[-1]["text"])
    assert saved[1].measured["cost_nanos"] == record.cost_nanos > 0
    assert saved[1].measured["outcome"] == "aborted"


async def test_a_refused_run_saves_nothing(site: Site, alice_browser: Client) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run(model="missing", conversation="new"))
        await page.hear_until("error")
    assert await db(Conversation.objects.count) == 0


async def test_a_conversation_deleted_meanwhile_stays_deleted(
    site: Site, alice_browser: Client, books: Books
) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run(conversation="new"))
        started, *_ = await page.hear_until("finished")
        fields = {"conversation": started["conversation"], "parameters": {"max_tokens": 30}}
        await page.say(**run(model="slow", **fields))
        await page.hear_until("delta")
        await db(Conversation.objects.all().delete)
        assert (await page.hear_until("finished", "error"))[-1]["type"] == "finished"
    assert await db(Conversation.objects.count) == 0


async def test_of_an_organisation_deleted_meanwhile_nothing_is_kept(
    site: Site, alice_browser: Client, organisation: Organisation, books: Books
) -> None:
    """What is saved after the deletion would stay for ever, where nobody sees it."""
    async with site.page(alice_browser) as page:
        await page.say(**run(model="slow", conversation="new", parameters={"max_tokens": 30}))
        await page.hear_until("delta")
        await db(flows.suspend, organisation)
        await db(flows.erase, organisation)
        await page.hear_until("finished", "error")
    assert await db(Conversation.objects.count) == 0
