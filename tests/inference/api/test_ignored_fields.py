"""`x-ignored-fields`: unknown fields are accepted, counted and named, whatever they are called."""

from typing import Any

import httpx
import pytest

from inference import metrics
from tests.inference.conftest import chat

CHAT = "/v1/chat/completions"
BODIES = [
    (CHAT, chat(max_tokens=1)),
    (CHAT, chat(max_tokens=1, stream=True)),
    ("/v1/completions", {"model": "starter", "prompt": "hi", "max_tokens": 1}),
    ("/v1/completions", {"model": "starter", "prompt": "hi", "max_tokens": 1, "stream": True}),
    ("/v1/engines/starter/completions", {"prompt": "hi", "max_tokens": 1}),
]


def counted() -> float:
    [family] = metrics.IGNORED_FIELDS.collect()
    return next(sample.value for sample in family.samples if sample.name.endswith("_total"))


@pytest.mark.parametrize(("path", "body"), BODIES)
async def test_unknown_fields_are_named_and_counted(
    api: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    before = counted()
    answer = await api.post(path, json={**body, "use_beam_search": False, "best_off": 2})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-ignored-fields"] == "best_off,use_beam_search"
    assert counted() == before + 2


@pytest.mark.parametrize(("path", "body"), BODIES)
async def test_without_any_there_is_no_header(
    api: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    before = counted()
    answer = await api.post(path, json={**body, "user": "u", "store": True, "made_up": None})
    assert answer.status_code == 200, answer.text
    assert "x-ignored-fields" not in answer.headers
    assert counted() == before


@pytest.mark.parametrize(
    ("names", "header"),
    [
        (["a\r\nset-cookie: x"], None),
        (["颜色"], None),
        (["", "b"], "b"),
        (["颜色", "b", "tab\t"], "b"),
        (["a,b"], "ab"),
        (["x" * 200], "x" * 64),
    ],
)
async def test_no_name_breaks_the_header(
    api: httpx.AsyncClient, names: list[str], header: str | None
) -> None:
    answer = await api.post(CHAT, json=chat(max_tokens=1, **dict.fromkeys(names, 1)))
    assert answer.status_code == 200
    assert answer.headers.get("x-ignored-fields") == header
    assert "set-cookie" not in answer.headers


async def test_many_names_stay_one_short_header(api: httpx.AsyncClient) -> None:
    fields = {f"{number:04}{'x' * 100}": 1 for number in range(2000)}
    answer = await api.post(CHAT, json=chat(max_tokens=1, **fields))
    named = answer.headers["x-ignored-fields"]
    assert answer.status_code == 200
    assert named.startswith("0000xxx")
    assert len(named) <= 50 * 65


async def test_a_refusal_names_its_own_field_alone(api: httpx.AsyncClient) -> None:
    answer = await api.post(CHAT, json=chat(temperature=9, made_up=1))
    assert answer.json()["error"]["param"] == "temperature"
