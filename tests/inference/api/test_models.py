"""`/v1/models` and the tokenizer endpoints."""

from datetime import timedelta

import httpx
import pytest
from django.utils import timezone

from accounts import flows
from accounts.authentication import key_cache
from accounts.models import ApiKey, Organisation, User
from inference import catalog
from inference.models import ServedModel
from portal.lib.db import db
from tests.inference.api.openai_schema import OpenAISchema
from tests.inference.conftest import Books


async def test_it_lists_what_the_key_may_call(api: httpx.AsyncClient, schema: OpenAISchema) -> None:
    listed = (await api.get("/v1/models")).json()
    schema.check("ListModelsResponse", listed)
    assert [model["id"] for model in listed["data"]] == ["starter", "slow"]
    starter = listed["data"][0]
    assert starter["pricing"] == {
        "input": "0.0000001", "cached_input": "0.00000005", "output": "0.0000004",
        "flex_multiplier_bp": 10_000,
    }  # fmt: skip
    assert starter["max_model_len"] == 2048
    assert (starter["quantization"], starter["dimensions"]) == (None, None)
    assert "chat.completions" in starter["capabilities"]
    one = (await api.get("/v1/models/gpt-3.5-turbo")).json()
    assert one == starter
    schema.check("Model", one)


async def test_it_says_which_weights_are_rounded(api: httpx.AsyncClient) -> None:
    await db(lambda: ServedModel.objects.filter(name="starter").update(quantization="int8"))
    catalog.forget()
    assert (await api.get("/v1/models/starter")).json()["quantization"] == "int8"


async def test_it_says_when_a_model_will_be_switched_off(api: httpx.AsyncClient) -> None:
    assert (await api.get("/v1/models/starter")).json()["shutdown_date"] is None
    await db(lambda: ServedModel.objects.filter(name="starter").update(shutdown_date="2027-03-01"))
    catalog.forget()
    assert (await api.get("/v1/models/starter")).json()["shutdown_date"] == "2027-03-01"


@pytest.mark.parametrize("path", ["/v1/models/", "/v1/models/starter/"])
async def test_a_slash_at_the_end_is_explained(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")
    sentence = answer.json()["error"]["message"]
    assert "slash too many" in sentence
    assert sentence.endswith(path.rstrip("/"))


async def test_names_may_contain_slashes(api: httpx.AsyncClient, add_model: object) -> None:
    assert callable(add_model)
    await db(add_model, "meta/llama 3")
    assert (await api.get("/v1/models/meta/llama 3")).json()["id"] == "meta/llama 3"
    missing = await api.get("/v1/models/meta/other")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


async def test_a_key_for_one_model_sees_no_other(
    api: httpx.AsyncClient, alice: User, organisation: Organisation
) -> None:
    def create() -> str:
        key, secret = flows.create_key(organisation, alice, "narrow")
        key.allowed_models = ["slow"]
        key.save(update_fields=["allowed_models"])
        return secret

    headers = {"authorization": f"Bearer {await db(create)}"}
    listed = (await api.get("/v1/models", headers=headers)).json()
    assert [model["id"] for model in listed["data"]] == ["slow"]
    body = {"model": "text-davinci-003", "prompt": "a"}
    refused = await api.post("/v1/completions", json=body, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
    for name in ("starter", "gpt-3.5-turbo"):
        refused = await api.get(f"/v1/models/{name}", headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
    assert (await api.get("/v1/models/slow", headers=headers)).status_code == 200


async def test_a_key_that_has_expired_is_a_401(api: httpx.AsyncClient, books: Books) -> None:
    def expire() -> None:
        ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        key_cache.clear()

    assert (await api.get("/v1/models")).status_code == 200
    await db(expire)
    asked = api.post("/v1/completions", json={"model": "starter", "prompt": "a"})
    for refused in (await api.get("/v1/models"), await asked):
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "key_expired")
        assert refused.headers["www-authenticate"] == "Bearer"
    assert await books.records() == []


async def test_a_model_of_another_organisation_is_not_there(
    api: httpx.AsyncClient, organisation: Organisation, books: Books
) -> None:
    def offer_to(*organisations: Organisation) -> None:
        ServedModel.objects.filter(name="slow").update(is_public=False)
        ServedModel.objects.get(name="slow").organisations.set(organisations)
        catalog.forget()

    await db(offer_to, await db(lambda: Organisation.objects.create(name="Others")))
    listed = (await api.get("/v1/models")).json()["data"]
    assert [model["id"] for model in listed] == ["starter"]
    body = {"model": "slow", "prompt": "a", "max_tokens": 1}
    for refused in (await api.get("/v1/models/slow"), await api.post("/v1/completions", json=body)):
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
    assert await books.records() == []
    await db(offer_to, organisation)
    assert (await api.get("/v1/models/slow")).status_code == 200
    assert (await api.post("/v1/completions", json=body)).status_code == 200


async def test_a_model_without_a_price_is_not_offered(api: httpx.AsyncClient, models: None) -> None:
    from inference.models import ServedModel

    await db(ServedModel.objects.create, name="free", source="x")
    catalog.forget()
    listed = (await api.get("/v1/models")).json()
    assert "free" not in [model["id"] for model in listed["data"]]
