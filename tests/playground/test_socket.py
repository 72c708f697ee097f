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
