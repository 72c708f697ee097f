"""The socket over a real server, the real service and a fake engine."""

from django.test import Client

from accounts.models import Organisation
from tests.inference.conftest import Books
from tests.playground.conftest import Site, run


async def test_it_streams_an_answer_and_says_what_is_billed(
    site: Site, alice_browser: Client, books: Books, organisation: Organisation
) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run(content="hello", parameters={"seed": 7}))
        started, *deltas, finished = await page.hear_until("finished", "error")
    assert started["type"] == "started"
    assert started["model"] == "starter"
    assert "".join(frame["text"] for frame in deltas).startswith('You wrote: "hello"')
    summary = finished["summary"]
    [record] = await books.settled(1)
    assert summary["request_id"] == started["request_id"] == record.request_id
    assert summary["cost_nanos"] == record.cost_nanos > 0
    assert summary["prompt_tokens"] == record.uncached_tokens + record.cached_tokens
    assert summary["completion_tokens"] == record.output_tokens
    assert summary["outcome"] == "finished"
    assert summary["finish_reason"] == "stop"
    assert summary["seed"] == 7
    assert summary["balance_nanos"] == (await books.balance(organisation.id)).available_nanos
    assert record.face == "playground"


async def test_it_stops_at_cancel_and_bills_what_came(
    site: Site, alice_browser: Client, books: Books
) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run(model="slow"))
        await page.hear_until("delta")
        await page.say(type="cancel", id="r1")
        frames = await page.hear_until("finished", "error")
    assert frames[-1]["type"] == "finished"
    assert frames[-1]["summary"]["outcome"] == "aborted"
    [record] = await books.settled(1)
    assert record.outcome == "aborted"
    assert record.cost_nanos == frames[-1]["summary"]["cost_nanos"] > 0
    assert record.output_tokens < 100


async def test_it_takes_a_cancel_that_comes_at_once(
    site: Site, alice_browser: Client, books: Books
) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run(model="slow"))
        await page.say(type="cancel", id="r1")
        frames = await page.hear_until("finished", "error")
    assert frames[-1]["summary"]["outcome"] == "aborted"
    [record] = await books.settled(1)
    assert record.output_tokens < 100


async def test_it_runs_several_at_once_and_refuses_the_ninth(
    site: Site, alice_browser: Client, books: Books
) -> None:
    async with site.page(alice_browser) as page:
        for number in range(9):
            await page.say(**run(id=f"r{number}", model="slow", parameters={"max_tokens": 60}))
        ended: dict[str, dict[str, object]] = {}
        heard = set()
        while len(ended) < 9:
            frame = await page.hear()
            if frame["type"] == "delta":
                heard.add(frame["id"])
            elif frame["type"] in {"finished", "error"}:
                ended[frame["id"]] = frame
    refused = [frame for frame in ended.values() if frame["type"] == "error"]
    assert [frame["error"]["code"] for frame in refused] == ["too_many_generations"]  # type: ignore[index]
    assert len(heard) == 8
    await books.settled(8)


async def test_it_refuses_a_second_run_with_a_running_id(
    site: Site, alice_browser: Client, books: Books
) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run(model="slow", parameters={"max_tokens": 40}))
        await page.say(**run(model="slow"))
        frames = await page.hear_until("error")
        assert frames[-1]["error"]["code"] == "duplicate_id"
        assert (await page.hear_until("finished"))[-1]["id"] == "r1"
    await books.settled(1)


async def test_it_completes_a_prompt(site: Site, alice_browser: Client, books: Books) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run(messages=None, prompt="Once upon", parameters={"max_tokens": 5}))
        frames = await page.hear_until("finished", "error")
    assert frames[-1]["summary"]["finish_reason"] == "length"
    [record] = await books.settled(1)
    assert record.output_tokens == 5


async def test_it_leaves_no_hold_open_when_the_page_goes_away(
    site: Site, alice_browser: Client, books: Books
) -> None:
    async with site.page(alice_browser) as page:
        for number in range(3):
            await page.say(**run(id=f"r{number}", model="slow"))
        await page.hear_until("delta")
    records = await books.settled(3)
    assert {record.outcome for record in records} == {"aborted"}
    await books.audit()


async def test_it_leaves_no_hold_open_when_the_page_goes_before_the_first_token(
    site: Site, alice_browser: Client, books: Books
) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run(model="slow"))
        assert (await page.hear())["type"] == "started"
    await books.settled(1)
    await books.audit()


async def test_it_says_pong(site: Site, alice_browser: Client) -> None:
    async with site.page(alice_browser) as page:
        await page.say(type="ping")
        assert await page.hear() == {"type": "pong"}


async def test_it_names_the_field_of_what_it_refuses_and_goes_on(
    site: Site, alice_browser: Client, books: Books
) -> None:
    refused = [
        (run(organisation="org_2"), "organisation", "unknown_field"),
        (run(price=0), "price", "unknown_field"),
        (run(parameters={"cost_nanos": 0}), "parameters.cost_nanos", "unknown_field"),
        (run(parameters={"temperature": 3}), "parameters.temperature", "invalid_value"),
        (run(model="missing"), "model", "model_not_found"),
        ({"type": "grant", "id": "r1"}, "type", "unknown_type"),
        (run(parameters={"max_tokens": 5000}), "max_tokens", "context_length_exceeded"),
        (run(conversation="conv_other"), "conversation", "conversation_not_found"),
    ]
    async with site.page(alice_browser) as page:
        for frame, param, code in refused:
            await page.say(**frame)
            error = await page.hear()
            assert error["type"] == "error"
            assert error["id"] == "r1"
            assert (error["error"]["param"], error["error"]["code"]) == (param, code)
        await page.connection.send(b"\x00\xff")
        assert (await page.hear())["type"] == "error"
        await page.connection.send("[" * 100_000)
        assert (await page.hear())["error"]["code"] == "invalid_json"
        await page.say(**run())
        assert (await page.hear_until("finished", "error"))[-1]["type"] == "finished"
    await books.settled(1)


async def test_it_refuses_huge_frames_with_a_sentence_and_huger_ones_by_closing(
    site: Site, alice_browser: Client, books: Books
) -> None:
    async with site.page(alice_browser) as page:
        await page.say(**run(content="x" * 800_000))
        assert (await page.hear())["error"]["code"] == "frame_too_large"
        await page.connection.send([b"a" * 700_000 for _ in range(3)])  # fragmented
        assert await page.closed() == 1009
    assert await books.records() == []
