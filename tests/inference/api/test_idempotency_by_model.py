"""An Idempotency-Key belongs to the organisation, its answer to the keys that may use the model."""

from typing import Any

import httpx
import pytest

from accounts import flows
from accounts.authentication import key_cache
from accounts.models import ApiKey, User
from portal.lib.db import db
from tests.inference.api.test_idempotency import BODIES, CHAT, key
from tests.inference.conftest import Books


@pytest.mark.parametrize(("path", "body"), BODIES)
async def test_a_key_for_another_model_gets_no_answer_of_a_colleagues(
    api: httpx.AsyncClient, books: Books, api_key: tuple[ApiKey, str], alice: User, path: str,
    body: dict[str, Any],
) -> None:  # fmt: skip
    first = await api.post(path, json=body, headers=key())
    assert first.status_code == 200, first.text

    def limited_to(*names: str) -> dict[str, str]:
        made, secret = flows.create_key(api_key[0].organisation, alice, "narrow")
        made.allowed_models = list(names)
        made.save(update_fields=["allowed_models"])
        return key() | {"authorization": f"Bearer {secret}"}

    refused = await api.post(path, json=body, headers=await db(limited_to, "slow"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
    assert "idempotent-replayed" not in refused.headers
    allowed = await api.post(path, json=body, headers=await db(limited_to, "slow", "starter"))
    assert (allowed.status_code, allowed.content) == (200, first.content)
    assert len(await books.settled(1)) == 1


async def test_what_no_endpoint_takes_is_told_by_the_endpoint(
    api: httpx.AsyncClient,
) -> None:
    await db(ApiKey.objects.update, allowed_models=["slow"])
    key_cache.clear()
    for content in ("{", "[]", '{"model": 5}'):
        headers = key() | {"content-type": "application/json"}
        answer = await api.post(CHAT, content=content, headers=headers)
        assert answer.status_code == 400
