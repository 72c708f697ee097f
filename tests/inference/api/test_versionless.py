"""A base URL with too little or too much of /v1, newcomers' most common mistake, is explained."""

from typing import Any

import httpx
import pytest
from django.conf import settings

from inference.api import app
from inference.api.versionless import TOPS
from portal.asgi import application

KEY = {"authorization": "Bearer sk-prl-x"}
PROGRAMS = [
    ("POST", "/chat/completions", {}),
    ("POST", "/chat/completions", KEY),
    ("POST", "/completions", {}),
    ("POST", "/engines/starter/completions", {}),
    ("POST", "/embeddings", {}),
    ("POST", "/responses", {}),
    ("DELETE", "/responses/resp_1", {}),
    ("GET", "/models", KEY),
    ("GET", "/models/", {"authorization": "bearer x"}),
    ("GET", "/models/starter", {"x-api-key": "x"}),
    ("GET", "/requests/req_1", KEY),
]


@pytest.mark.parametrize(("method", "path", "headers"), PROGRAMS)
async def test_a_program_is_told_that_the_base_url_ends_in_v1(
    method: str, path: str, headers: dict[str, str]
) -> None:
    answer = await ask(method, path, headers)
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "unknown_url")
    assert "base URL of this API ends in /v1" in error["message"]
    assert error["message"].endswith(f"/v1{path}")
    assert answer.headers["x-request-id"].startswith("req_")


async def test_anthropics_library_is_told_in_its_own_form() -> None:
    answer = await ask("POST", "/messages", {"x-api-key": "x"})
    assert answer.status_code == 404
    told = answer.json()
    assert (told["type"], told["error"]["type"]) == ("error", "not_found_error")
    assert told["error"]["message"].endswith("/v1/messages")


@pytest.mark.parametrize("path", ["/v1/v1/messages", "/v1/v1/chat/completions"])
async def test_a_version_that_was_said_twice_is_explained(path: str) -> None:
    answer = await ask("POST", path, {"x-api-key": "x"})
    assert answer.status_code == 404
    sentence = answer.json()["error"]["message"]
    assert "adds /v1 to its base URL, which must not end in it" in sentence
    assert sentence.endswith(path.removeprefix("/v1")), "the address that it would be"
    assert "/v1/v1" not in sentence.partition(". ")[2]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions", "/v1/models"])
async def test_a_slash_too_many_is_explained(path: str) -> None:
    """As of a base URL that ends in a slash, and an address put behind it."""
    answer = await ask(
        "GET" if path.endswith("models") else "POST", f"http://localhost/{path}", KEY
    )
    assert answer.status_code == 404
    told = answer.json()
    assert (told.get("type") == "error") == path.endswith("messages")
    sentence = told["error"]["message"]
    assert "slash too many" in sentence
    assert sentence.endswith(path)
    assert not sentence.endswith(f"/{path}"), "the address that it would be"


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("/v1/chat/completions/chat/completions", "/v1"),
        ("/v1/chat/completions/models", "/v1"),
        ("/v1/completions/chat/completions", "/v1"),
        ("/v1/responses/chat/completions", "/v1"),
        ("/v1/messages/v1/messages", ""),
        ("/v1/chat/completions/v1/chat/completions", ""),
    ],
)
async def test_an_endpoint_that_is_taken_for_the_base_url_is_explained(
    path: str, base: str
) -> None:
    answer = await ask("POST", path, KEY)
    assert answer.status_code == 404
    sentence = answer.json()["error"]["message"]
    assert f"base URL of this client has to be {settings.BASE_URL}{base}: it adds /" in sentence


async def test_a_slash_at_the_end_is_explained() -> None:
    answer = await ask("POST", "/v1/chat/completions/", KEY)
    assert answer.status_code == 404
    sentence = answer.json()["error"]["message"]
    assert sentence.endswith(f"this would be {settings.BASE_URL}/v1/chat/completions")


AZURES = {"api-key": "x"}


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/openai/deployments/starter/chat/completions?api-version=2024-10-21", AZURES),
        ("GET", "/openai/models?api-version=2024-10-21", AZURES),
        ("POST", "/openai/v1/chat/completions", KEY),
        ("POST", "/v1/openai/deployments/starter/chat/completions?api-version=preview", AZURES),
        ("POST", "/v1/deployments/starter/chat/completions", AZURES),
    ],
)
async def test_who_comes_from_azure_is_told_which_client_to_take(
    method: str, path: str, headers: dict[str, str]
) -> None:
    answer = await ask(method, path, headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")
    sentence = answer.json()["error"]["message"]
    assert f"OpenAI, not AzureOpenAI) with the base URL {settings.BASE_URL}/v1 " in sentence


async def ask(method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.request(method, path, headers=headers)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/models/", []),
        ("HEAD", "/models/starter/", []),
        ("GET", "/models/", [(b"authorization", b"Basic eDp5")]),
        ("GET", "/docs/models/", [(b"authorization", b"Bearer x")]),
        ("GET", "/openai/", []),
        ("POST", "/accounts/login/", []),
    ],
)
def test_people_find_their_pages(method: str, path: str, headers: Any) -> None:
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    assert application.application_for(scope) is application.pages


async def test_an_unknown_address_with_its_v1_is_not_blamed_for_that() -> None:
    message = (await ask("POST", "/v1/nothing", {})).json()["error"]["message"]
    assert message == "Unknown address: POST /v1/nothing"


def test_every_address_of_the_api_is_known_without_its_v1() -> None:
    paths = [route.path for route in app._routes()]
    at_root = {path[1:] for path in paths if not path.startswith("/v1/")}
    tops = {path.removeprefix("/v1/").partition("/")[0] for path in paths if "/v1/" in path}
    assert tops - at_root == TOPS
