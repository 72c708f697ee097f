"""Many streams at a time: what each holds in memory, and what sending a chunk costs.

The engine recites slowly, so that the streams are open together for a minute; what the server holds
is read before they open, when all have begun, and then every ten seconds: it should not grow.
"""

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

from benchmarks.client import RequestError
from benchmarks.gateways import Gateway
from benchmarks.keep_alive import spell_request

TOKENS_PER_S = 2.0
OUTPUT_TOKENS = 120
PERIOD_S, NUM_PERIODS = 10.0, 4  # all before the first of them ends
OPENING_AT_ONCE = 200
MESSAGE = "Recite something long, please."


async def measure_streams(gateway: Gateway, num_streams: int) -> dict[str, Any]:
    """Open the streams, watch them for a while, read them to their ends."""
    body = gateway.body(MESSAGE) | {
        "max_tokens": OUTPUT_TOKENS, "stream": True, "ignore_eos": True,
    }  # fmt: skip
    request = spell_request(gateway.url, {**gateway.headers, "connection": "close"}, body)
    crowd = Crowd(gateway.url, request)
    await crowd.open(1)  # what the first stream alone costs is no stream's
    await crowd.ended()
    empty_kib = gateway.memory_kib()
    began = time.perf_counter()
    await crowd.open(num_streams)
    opened_s = time.perf_counter() - began
    held_kib, chunks, cpu_s = [gateway.memory_kib()], crowd.num_chunks, gateway.cpu_s()
    watched = time.perf_counter()
    for _ in range(NUM_PERIODS):
        await asyncio.sleep(PERIOD_S)
        held_kib.append(gateway.memory_kib())
    chunks, cpu_s = crowd.num_chunks - chunks, gateway.cpu_s() - cpu_s
    watched_s = time.perf_counter() - watched
    if crowd.num_ended:
        raise RequestError("Streams ended while they were watched.")
    await crowd.ended()
    return {
        "gateway": gateway.name,
        "streams": num_streams,
        "opened_in_s": round(opened_s, 2),
        "kib_per_stream_every_10_s": [
            round((kib - empty_kib) / num_streams, 1) for kib in held_kib
        ],
        "chunks_per_s": round(chunks / watched_s, 1),
        "server_cpu_us_per_chunk": round(1e6 * cpu_s / max(chunks, 1), 1),
    }


class Crowd:
    """Streams under way, each on a connection of its own."""

    def __init__(self, url: str, request: bytes) -> None:
        self.num_chunks = 0
        self._address = urlsplit(url)
        self._request = request
        self._readers: list[asyncio.Task[None]] = []
        self._opening = asyncio.Semaphore(OPENING_AT_ONCE)

    @property
    def num_ended(self) -> int:
        return sum(reader.done() for reader in self._readers)

    async def open(self, num_streams: int) -> None:
        """Until each has sent its first chunk."""
        begun = [asyncio.Event() for _ in range(num_streams)]
        self._readers = [asyncio.create_task(self._read(event)) for event in begun]
        for event in begun:
            await event.wait()
        if self.num_ended:
            await self.ended()  # raises what went wrong
            raise RequestError("Streams ended before all had begun.")

    async def ended(self) -> None:
        await asyncio.gather(*self._readers)

    async def _read(self, begun: asyncio.Event) -> None:
        try:
            async with self._opening:
                reader, writer = await self._ask()
                piece = await reader.read(65536)
        finally:
            begun.set()
        end = b""
        try:
            while piece:
                self.num_chunks += piece.count(b"data: {")
                end = (end + piece)[-500:]
                piece = await reader.read(65536)
        finally:
            writer.close()
        if b"[DONE]" not in end:
            raise RequestError(f"A stream broke off: {end!r}")

    async def _ask(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self._address.hostname, self._address.port
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RequestError(f"{head[:300]!r} {await reader.read(500)!r}")
        return reader, writer
