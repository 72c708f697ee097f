"""An HTTP/1.1 client that keeps its connection, for measuring servers that answer in milliseconds.

It does as little as it can: it shares the machine with what it measures.
"""

import asyncio
import json
import time
from collections.abc import Mapping
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
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        while (began := time.perf_counter()) < until:
            writer.write(request)
            await _read_answer(reader)
            latencies_s.append(time.perf_counter() - began)
    finally:
        writer.close()


async def _read_answer(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    body = await reader.readexactly(int(length)) if length else await _read_chunks(reader)
    if not head.startswith(b"HTTP/1.1 200"):
        raise RequestError(f"{head[:200]!r} {body[:500]!r}")


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body
