"""An HTTP/1.1 client that keeps its connection, for measuring servers that answer in milliseconds.

It does as little as it can: it shares the machine with what it measures.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from benchmarks.client import RequestError


def spell_request(url: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> bytes:
    """The bytes of a POST; they are the same for every request of a run."""
    parts = urlsplit(url)
    payload = json.dumps(body).encode()
    head = {
        "host": parts.netloc,
        "content-type": "application/json",
        "content-length": str(len(payload)),
        **headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST {parts.path} HTTP/1.1\r\n{lines}\r\n".encode() + payload


@dataclass(slots=True)
class Load:
    """What came of a closed loop: seconds of each request, and of all together."""

    latencies_s: list[float] = field(default_factory=list)
    wall_s: float = 0.0


async def load(url: str, request: bytes, concurrency: int, seconds: float) -> Load:
    """Keep `concurrency` connections busy. RequestError when an answer is not a 200."""
    made = Load()
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(_worker(url, request, began + seconds, made.latencies_s))
    made.wall_s = time.perf_counter() - began
    return made


async def _worker(url: str, request: bytes, until: float, latencies_s: list[float]) -> None:
    async with connected(url) as connection:
        while time.perf_counter() < until:
            answer = await connection.ask(request)
            if answer.status != 200:
                raise RequestError(f"{answer.status} {answer.body[:500]!r}")
            latencies_s.append(answer.seconds)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request; `first_s` is the time until the first piece of its body."""

    status: int
    body: bytes
    first_s: float
    seconds: float


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["Connection"]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


@dataclass(frozen=True, slots=True)
class Connection:
    """Carries one request after the other."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, request: bytes) -> Answer:
        began = time.perf_counter()
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        first = await self.reader.readexactly(int(length)) if length else await self._chunk()
        first_s = time.perf_counter() - began
        rest = b"" if length else await self._chunks()
        seconds = time.perf_counter() - began
        return Answer(int(head.split(b" ", 2)[1]), first + rest, first_s, seconds)

    async def _chunks(self) -> bytes:
        body = b""
        while piece := await self._chunk():
            body += piece
        return body

    async def _chunk(self) -> bytes:
        """Empty at the end."""
        size = int(await self.reader.readline(), 16)
        return (await self.reader.readexactly(size + 2))[:-2]
