"""Responses that are stored: read again, gone on with, listed, deleted; and nobody else's."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import openai
import pytest
from django.db import DatabaseError
from django.utils import timezone
from openai import AsyncOpenAI
from pytest_django.fixtures import Settings

from accounts import flows
from accounts.authentication import key_cache
from accounts.models import Organisation, User
from inference import service
from inference.log import responses as log
from inference.log import retention
from inference.models import StoredResponse
from portal.lib.db import db
from tests.inference.api.openai_schema import OpenAISchema
from tests.inference.api.typed_events import stream_typed
from tests.inference.conftest import Books

PATH = "/v1/responses"


async def keep_bodies(organisation: Organisation, *, keeps: bool = True) -> None:
    await db(Organisation.objects.filter(pk=organisation.pk).update, keeps_bodies=keeps)
    key_cache.clear()


@pytest.fixture
async def keeper(organisation: Organisation) -> Organisation:
    await keep_bodies(organisation)
    return organisation


def ask(content: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "starter", "input": content, "max_output_tokens": 9, **fields}


async def create(api: httpx.AsyncClient, content: Any, **fields: Any) -> dict[str, Any]:
    response = await api.post(PATH, json=ask(content, **fields))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_nothing_is_stored_for_who_does_not_keep_bodies(api: httpx.AsyncClient) -> None:
    answer = await create(api, "hi", store=True)
    assert answer["store"] is False
    missing = await api.get(f"{PATH}/{answer['id']}")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "response_not_found"
    assert "Settings" in missing.json()["error"]["message"]
    refused = await api.post(PATH, json=ask("hi", previous_response_id=answer["id"]))
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "previous_response_not_found"
    assert refused.json()["error"]["param"] == "previous_response_id"
    assert "Settings" in refused.json()["error"]["message"]
    assert await db(StoredResponse.objects.count) == 0


@pytest.mark.usefixtures("keeper")
async def test_a_response_is_read_again_as_it_was(
    api: httpx.AsyncClient, schema: OpenAISchema
) -> None:
    answer = await create(api, "hi")
    assert answer["store"] is True
    assert (await api.get(f"{PATH}/{answer['id']}")).json() == answer
    events = await stream_typed(api, PATH, ask("hi"))
    response = events[-1]["response"]
    assert (await api.get(f"{PATH}/{response['id']}")).json() == response
    schema.check("Response", response)
    unwanted = await create(api, "hi", store=False)
    assert unwanted["store"] is False
    assert (await api.get(f"{PATH}/{unwanted['id']}")).status_code == 404
    whole = await api.get(f"{PATH}/{answer['id']}", params={"stream": "true"})
    assert (whole.status_code, whole.json()["error"]["param"]) == (400, "stream")


@pytest.mark.usefixtures("keeper")
async def test_none_is_larger_than_a_request(api: httpx.AsyncClient, settings: Settings) -> None:
    settings.API_MAX_BODY_BYTES = 8_000
    part = {"type": "output_text", "text": "hi", "annotations": [{"beside": "the text" * 400}]}
    said = [{"role": "assistant", "content": [part]}, {"role": "user", "content": "on"}]
    first = await create(api, said)
    assert first["store"] is True
    second = await create(api, said, previous_response_id=first["id"])
    assert second["store"] is False
    assert second["usage"]["input_tokens"] < 100, "what is beside the text is no part of the prompt"
    refused = await api.post(PATH, json=ask("on", previous_response_id=second["id"]))
    assert refused.json()["error"]["code"] == "previous_response_not_found"
    events = await stream_typed(api, PATH, ask(said, previous_response_id=first["id"]))
    assert events[-1]["response"]["store"] is False
    assert await db(StoredResponse.objects.count) == 1


@pytest.mark.usefixtures("keeper")
async def test_a_conversation_goes_on_from_a_stored_response(
    api: httpx.AsyncClient, schema: OpenAISchema
) -> None:
    first = await create(api, "one", instructions="Be brief.")
    second = await create(api, "two", previous_response_id=first["id"])
    third = {"model": "starter", "input": "three", "previous_response_id": second["id"]}
    counted = (await api.post(f"{PATH}/input_tokens", json=third)).json()["input_tokens"]
    texts = [answer["output"][0]["content"][0]["text"] for answer in (first, second)]
    spelled = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": texts[0]},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": texts[1]},
        {"role": "user", "content": "three"},
    ]  # without the instructions: they are each request's own
    expected = await api.post("/tokenize", json={"model": "starter", "messages": spelled})
    assert counted == expected.json()["count"]
    answer = await create(api, "three", previous_response_id=second["id"])
    assert answer["usage"]["input_tokens"] == counted
    listed = (await api.get(f"{PATH}/{answer['id']}/input_items?order=asc")).json()
    schema.check("ResponseItemList", listed)
    assert [item["content"][0]["text"] for item in listed["data"]] == [
        "one", texts[0], "two", texts[1], "three",
    ]  # fmt: skip
    await api.delete(f"{PATH}/{first['id']}")  # nothing depends on it
    assert (await api.post(f"{PATH}/input_tokens", json=third)).json()["input_tokens"] == counted


@pytest.mark.usefixtures("keeper")
async def test_calls_and_their_results_are_part_of_it(
    api: httpx.AsyncClient, schema: OpenAISchema
) -> None:
    tool = {"type": "function", "name": "f", "parameters": {"additionalProperties": False}}
    first = await create(api, "hi", tools=[tool], tool_choice="required", max_output_tokens=100)
    [call] = first["output"]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "17 °C"}
    second = await create(
        api, [result], tools=[tool], previous_response_id=first["id"], max_output_tokens=80
    )
    assert "17 °C" in second["output"][0]["content"][0]["text"]
    listed = (await api.get(f"{PATH}/{second['id']}/input_items")).json()
    schema.check("ResponseItemList", listed)
    assert [item["type"] for item in listed["data"]] == [
        "function_call_output", "function_call", "message",
    ]  # fmt: skip
    assert listed["data"][1] == call


@pytest.mark.usefixtures("keeper")
async def test_input_items_come_in_pages(api: httpx.AsyncClient) -> None:
    items = [{"role": "user", "content": str(number)} for number in range(5)]
    answer = await create(api, items)
    path = f"{PATH}/{answer['id']}/input_items"
    first = (await api.get(path, params={"limit": 2})).json()
    assert [item["content"][0]["text"] for item in first["data"]] == ["4", "3"]
    assert (first["has_more"], first["last_id"]) == (True, first["data"][1]["id"])
    rest = (await api.get(path, params={"after": first["last_id"]})).json()
    assert [item["content"][0]["text"] for item in rest["data"]] == ["2", "1", "0"]
    assert rest["has_more"] is False
    end = (await api.get(path, params={"after": rest["last_id"]})).json()
    assert (end["data"], end["first_id"]) == ([], "")
    for query in (
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "x"},
        {"order": "up"},
        {"after": "x"},
    ):
        refused = await api.get(path, params=query)
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == next(iter(query))


@pytest.mark.usefixtures("keeper")
async def test_a_deleted_one_is_gone(api: httpx.AsyncClient) -> None:
    answer = await create(api, "hi")
    path = f"{PATH}/{answer['id']}"
    deleted = await api.delete(path)
    assert deleted.json() == {"id": answer["id"], "object": "response", "deleted": True}
    for response in (await api.delete(path), await api.get(path), await api.get(f"{PATH}/%00")):
        assert response.status_code == 404


@pytest.mark.usefixtures("keeper")
async def test_another_organisation_finds_nothing(api: httpx.AsyncClient, charlie: User) -> None:
    answer = await create(api, "hi")

    def theirs() -> str:
        other = Organisation.objects.get(members=charlie)
        Organisation.objects.filter(pk=other.pk).update(keeps_bodies=True)
        return flows.create_key(other, charlie, "test")[1]

    headers = {"authorization": f"Bearer {await db(theirs)}"}
    path = f"{PATH}/{answer['id']}"
    for method, address in (("GET", path), ("DELETE", path), ("GET", f"{path}/input_items")):
        assert (await api.request(method, address, headers=headers)).status_code == 404
    body = ask("hi", previous_response_id=answer["id"])
    refused = await api.post(PATH, json=body, headers=headers)
    assert refused.json()["error"]["code"] == "previous_response_not_found"
    assert (await api.get(path)).status_code == 200


async def test_it_goes_with_the_setting_and_with_its_time(
    api: httpx.AsyncClient, keeper: Organisation
) -> None:
    first, second = await create(api, "hi"), await create(api, "ho")
    age = timedelta(days=keeper.body_retention_days, seconds=1)
    old = StoredResponse.objects.filter(pk=first["id"])
    await db(old.update, created_at=timezone.now() - age)
    assert (await api.get(f"{PATH}/{first['id']}")).status_code == 404  # before it is deleted
    await db(retention.delete_what_is_over)
    assert await db(lambda: [row.pk for row in StoredResponse.objects.all()]) == [second["id"]]
    await keep_bodies(keeper, keeps=False)
    assert (await api.get(f"{PATH}/{second['id']}")).status_code == 404
    await db(retention.delete_what_is_over)
    assert await db(StoredResponse.objects.count) == 0


@pytest.mark.usefixtures("keeper")
async def test_what_is_stored_cannot_be_read_in_the_database(api: httpx.AsyncClient) -> None:
    await create(api, "a secret")
    row = await db(StoredResponse.objects.get)
    assert b"secret" not in bytes(row.sealed)


@pytest.mark.usefixtures("keeper")
async def test_an_answer_that_cannot_be_stored_is_answered_and_says_so(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(log, "keep", away)
    assert (await create(api, "hi"))["store"] is False
    events = await stream_typed(api, PATH, ask("hi"))
    assert events[-1]["response"]["store"] is False


@pytest.mark.usefixtures("keeper")
async def test_one_that_broke_off_is_not_stored_and_says_so(
    api: httpx.AsyncClient, running: service.Service, books: Books
) -> None:
    body = {"model": "slow", "input": "hi", "max_output_tokens": 500}
    streaming = asyncio.create_task(stream_typed(api, PATH, body))
    while not any(each.output_tokens > 3 for each in running.generations.values()):
        await asyncio.sleep(0.01)
    for generation in running.generations.values():
        generation.on_lost()
    last = (await streaming)[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["store"] is False
    assert (await api.get(f"{PATH}/{last['response']['id']}")).status_code == 404
    await books.settled(1)


@pytest.mark.usefixtures("keeper")
async def test_the_official_library_reads_goes_on_and_deletes(base_url: str, secret: str) -> None:
    async with AsyncOpenAI(
        base_url=f"{base_url}/v1", api_key=secret, _strict_response_validation=True, timeout=30
    ) as client:
        first = await client.responses.create(model="starter", input="hi")
        again = await client.responses.retrieve(first.id)
        assert again.output_text == first.output_text
        second = await client.responses.create(
            model="starter", input="ho", previous_response_id=first.id
        )
        assert second.previous_response_id == first.id
        listed = [item async for item in client.responses.input_items.list(second.id, limit=1)]
        assert len(listed) == 3
        await client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(first.id)
