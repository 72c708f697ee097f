"""Websockets: a page elsewhere is refused; a program gets in, but without cookies."""

from typing import Any

import pytest
from pytest_django.fixtures import Settings

from portal.origin import BrowserOriginOnly


async def open_socket(*headers: tuple[bytes, bytes]) -> dict[str, Any] | None:
    """The scope that the application saw, or None when the socket was refused."""
    seen: list[dict[str, Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        assert message["type"] == "websocket.close"

    scope = {"type": "websocket", "headers": [(b"host", b"localhost:8000"), *headers]}
    await BrowserOriginOnly(application)(scope, receive, send)  # type: ignore[arg-type]
    return seen[0] if seen else None


async def test_our_own_page_keeps_its_session() -> None:
    scope = await open_socket((b"origin", b"http://localhost:8000"), (b"cookie", b"sessionid=1"))
    assert scope is not None
    assert (b"cookie", b"sessionid=1") in scope["headers"]


async def test_a_program_gets_in_without_cookies() -> None:
    scope = await open_socket((b"cookie", b"sessionid=1"))
    assert scope is not None
    assert all(name != b"cookie" for name, _value in scope["headers"])


@pytest.mark.parametrize(
    "origin",
    [
        b"http://evil.example", b"null", b"http://localhost:9999", b"http://[::1", b"",
        b"http://localhost:8000.evil.example", b"\xff\xfe",
    ],
)  # fmt: skip
async def test_a_page_elsewhere_is_refused(origin: bytes, settings: Settings) -> None:
    settings.CSRF_TRUSTED_ORIGINS = []
    assert await open_socket((b"origin", origin), (b"cookie", b"sessionid=1")) is None


async def test_a_forged_host_does_not_help(settings: Settings) -> None:
    settings.CSRF_TRUSTED_ORIGINS = []
    settings.ALLOWED_HOSTS = ["parlance.example"]
    assert await open_socket((b"origin", b"http://localhost:8000")) is None
