"""Bodies for the Django side: as much as is allowed, in time, or a refusal; nothing to the disk."""

import asyncio
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from portal.body_limit import BodyLimit
from portal.lib import bodies

Messages = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def limit(settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10


async def post(*parts: bytes, stated: str = "", stalls: bool = False) -> tuple[int, list[bytes]]:
    """The status, and the parts that the application behind the limit has seen."""
    seen: list[bytes] = []
    answer: Messages = []
    left = list(parts)

    async def application(_scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            seen.append(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> dict[str, Any]:
        if not left and stalls:
            await asyncio.Event().wait()
        return {
            "type": "http.request",
            "body": left.pop(0) if left else b"",
            "more_body": bool(left) or stalls,
        }

    async def send(message: dict[str, Any]) -> None:
        answer.append(message)

    headers = [(b"content-length", stated.encode())] if stated else []
    await BodyLimit(application)({"type": "http", "headers": headers}, receive, send)  # type: ignore[arg-type]
    return answer[0]["status"], seen


async def test_what_is_allowed_comes_through() -> None:
    assert await post(b"12345", b"67890") == (200, [b"12345", b"67890"])


async def test_more_is_refused_whatever_the_header_says() -> None:
    assert await post(b"12345", b"67890", b"1") == (413, [b"12345", b"67890"])
    assert await post(b"12345678901", stated="3") == (413, [])


async def test_what_admits_to_be_too_large_is_not_even_read() -> None:
    assert await post(b"1", stated="11") == (413, [])
    assert await post(b"1", stated="9" * 5000) == (413, [])
    assert await post(b"1", stated="x") == (200, [b"1"])


async def test_what_does_not_arrive_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(bodies, "DISCARD_S", 0.05)
    assert await post(b"1", stalls=True) == (408, [b"1"])
