"""The playground's socket on a real server, over the fake engines of tests/inference."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from django.conf import settings
from django.test import Client
from websockets.asyncio.client import ClientConnection, connect

from accounts.models import Organisation, User
from inference import service
from playground.models import Conversation, Message
from portal.lib.db import db
from tests.conftest import signed_in
from tests.inference.conftest import (  # noqa: F401  fixtures
    add_model,
    books,
    flushable,
    looks,
    models,
    running,
    secret,
)

MEASURED = {"cost_nanos": 7, "balance_nanos": 123456, "request_id": "req_1", "ttft_ms": 5}


@dataclass
class Socket:
    """A client that speaks frames."""

    connection: ClientConnection

    async def say(self, **frame: Any) -> None:
        await self.connection.send(json.dumps(frame))

    async def hear(self, timeout_s: float = 30.0) -> dict[str, Any]:
        async with asyncio.timeout(timeout_s):
            frame: dict[str, Any] = json.loads(await self.connection.recv())
            return frame

    async def hear_until(self, *kinds: str) -> list[dict[str, Any]]:
        """Every frame up to the first of one of these kinds."""
        frames = [await self.hear()]
        while frames[-1]["type"] not in kinds:
            frames.append(await self.hear())
        return frames

    async def closed(self, timeout_s: float = 30.0) -> int | None:
        async with asyncio.timeout(timeout_s):
            await self.connection.wait_closed()
        return self.connection.close_code


class Site:
    """The whole application on a free port of this event loop."""

    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.origin = f"http://{self.host}"

    @asynccontextmanager
    async def socket(self, **options: Any) -> AsyncIterator[Socket]:
        """What a program opens: no Origin; `headers` may hold a key."""
        headers = options.pop("headers", None)
        async with connect(
            f"ws://{self.host}/ws/playground/", additional_headers=headers, **options
        ) as connection:
            yield Socket(connection)

    @asynccontextmanager
    async def page(self, client: Client, **options: Any) -> AsyncIterator[Socket]:
        """What a page of a signed-in person opens; it has heard `ready`."""
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
        origin = options.pop("origin", self.origin)
        async with self.socket(headers={"Cookie": cookies}, origin=origin, **options) as opened:
            assert (await opened.hear())["type"] == "ready"
            yield opened


@pytest.fixture
async def site(running: service.Service) -> AsyncIterator[Site]:  # noqa: F811
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # whitenoise warns without it
    from portal.asgi import Application

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        Application(), lifespan="off", log_config=None, timeout_graceful_shutdown=2,
        ws_max_size=1024 * 1024,
    )  # fmt: skip
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    yield Site(listener.getsockname()[1])
    server.should_exit = True
    with suppress(asyncio.CancelledError):
        await serving


@pytest.fixture
async def alice_browser(alice: User, organisation: Organisation, flushable: None) -> Client:  # noqa: F811
    return await db(signed_in, alice)


@pytest.fixture
def kept(alice: User, organisation: Organisation) -> Conversation:
    conversation = Conversation.objects.create(
        organisation=organisation, user=alice, title="Rain in Zug", model="starter"
    )
    Message.objects.create(conversation=conversation, position=0, role="user", content="Rain?")
    Message.objects.create(
        conversation=conversation, position=1, role="assistant", content="<b>No</b>, 100% dry",
        request_id="req_1", measured=MEASURED,
    )  # fmt: skip
    return conversation


def run(id: str = "r1", content: str = "hi", **fields: Any) -> dict[str, Any]:  # noqa: A002
    messages = [{"role": "user", "content": content}]
    frame = {"type": "run", "id": id, "model": "starter", "messages": messages, **fields}
    return {name: value for name, value in frame.items() if value is not None}
