"""`GET /v1/requests/{id}`: what one request used and cost, for its own organisation."""

from typing import Any

import httpx
import pytest

from accounts import flows
from accounts.authentication import key_cache
from accounts.models import ApiKey, Organisation, Scope, User
from inference.models import RequestMetadata
from portal.lib.db import db
from tests.inference.conftest import Books, chat

CHAT = "/v1/chat/completions"


async def made(api: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    answer = await api.post(CHAT, json=chat(max_tokens=5, **fields))
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("stream", [False, True])
async def test_the_bill_and_the_metadata_of_a_request(
    api: httpx.AsyncClient, books: Books, api_key: tuple[ApiKey, str], stream: bool
) -> None:
    pairs = {"job": "nightly", "empty": "", "": "no name", "日": "本"}
    answer = await made(api, metadata=pairs, stream=stream)
    [record] = await books.settled(1)
    found = (await api.get(f"/v1/requests/{answer.headers['x-request-id']}")).json()
    assert found["object"] == "request"
    assert found["id"] == record.request_id == answer.headers["x-request-id"]
    assert found["metadata"] == pairs
    assert found["bodies"] is None
    assert (found["status"], found["finish_reason"]) == ("finished", "length")
    assert (found["endpoint"], found["stream"]) == ("chat.completions", stream)
    assert found["api_key_id"] == str(api_key[0].pk)
    assert (found["prompt_tokens"], found["output_tokens"]) == (record.prompt_tokens, 5)
    assert found["cost_nanos"] == record.cost_nanos > 0
    if not stream:
        assert found["cost"] == answer.headers["x-request-cost"]
    assert found["price"].keys() >= {"input_nanos_per_mtok", "output_nanos_per_mtok"}
    assert 0 <= found["ttft_ms"] <= found["duration_ms"]


async def test_the_bodies_when_they_are_kept(
    api: httpx.AsyncClient, organisation: Organisation
) -> None:
    await db(Organisation.objects.filter(pk=organisation.pk).update, keeps_bodies=True)
    key_cache.clear()
    answer = await made(api)
    found = (await api.get(f"/v1/requests/{answer.headers['x-request-id']}")).json()
    assert found["bodies"]["answer"] == answer.text
    assert found["bodies"]["request"] == answer.request.content.decode()


async def test_another_organisations_is_not_found(api: httpx.AsyncClient, charlie: User) -> None:
    answer = await made(api)
    _key, secret = await db(
        lambda: flows.create_key(charlie.memberships.get().organisation, charlie, "k")
    )
    theirs = await api.get(
        f"/v1/requests/{answer.headers['x-request-id']}",
        headers={"authorization": f"Bearer {secret}"},
    )
    assert (theirs.status_code, theirs.json()["error"]["code"]) == (404, "request_not_found")


@pytest.mark.parametrize("name", ["req_nothing", "a%00b", "x" * 300, "%F0%9F%92%A9", "a-b"])
async def test_an_unknown_id_is_a_404(api: httpx.AsyncClient, name: str) -> None:
    answer = await api.get(f"/v1/requests/{name}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "id")


async def test_it_needs_a_key_that_calls_models(
    api: httpx.AsyncClient, organisation: Organisation, alice: User
) -> None:
    assert (await api.get("/v1/requests/req_1", headers={"authorization": ""})).status_code == 401
    _key, secret = await db(flows.create_key, organisation, alice, "m", scope=Scope.MANAGEMENT)
    managing = {"authorization": f"Bearer {secret}"}
    assert (await api.get("/v1/requests/req_1", headers=managing)).status_code == 403
    assert (await api.post("/v1/requests/req_1")).status_code == 405


async def test_what_was_refused_leaves_no_metadata(
    api: httpx.AsyncClient, organisation: Organisation
) -> None:
    _key, capped = await db(flows.create_key, organisation, None, "poor", monthly_cap_nanos=1)
    poor = {"authorization": f"Bearer {capped}"}
    body = chat(metadata={"job": "nightly"})
    assert (await api.post(CHAT, json=body, headers=poor)).status_code == 402
    assert (await api.post(CHAT, json=body | {"temperature": 9})).status_code == 400
    assert not await db(RequestMetadata.objects.exists)
