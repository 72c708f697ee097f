"""The client that every engine is driven by: one asyncio process, closed loop, nothing parsed late.

It shares the machine with the engine it measures, so while a run lasts it does no more than note
when which bytes came. Chunks, events and JSON are read when the run is over.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 600.0
STREAM_LIMIT = 1 << 20


class RequestError(Exception):
    """An engine refused a request or broke it off; the message says what it sent."""


@dataclass(slots=True)
class Answer:
    """One streamed answer. Times are of `time.perf_counter`."""

    sent_at: float
    # When something that holds new tokens came; several tokens that come together are one arrival.
    arrivals: list[float]
    prompt_tokens: int
    output_tokens: int


# Asks for the answer to a prompt, and returns something that is made an `Answer` afterwards.
Ask = Callable[[str], Awaitable[Any]]


@dataclass(slots=True)
class Run:
    answers: list[Answer]
    wall_s: float


async def drive(
    prompts: Iterable[str], concurrency: int, ask: Ask, read: Callable[[Any], Answer]
) -> Run:
    """Keep `concurrency` requests under way until every prompt was answered.

    Raises what went wrong first: RequestError, or OSError when the server is away or too slow.
    """
    left, came = iter(prompts), []

    async def worker() -> None:
        for prompt in left:
            raw = await asyncio.wait_for(ask(prompt), TIMEOUT_S)
            came.append(raw)

    began = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(worker())
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    wall_s = time.perf_counter() - began
    return Run([read(raw) for raw in came], wall_s)


# --- Over HTTP -----------------------------------------------------------------------------------


@dataclass(slots=True)
class RawAnswer:
    """What came over the wire, and when."""

    sent_at: float
    pieces: list[tuple[float, bytes]]


async def post(url: str, headers: dict[str, str], body: dict[str, Any]) -> RawAnswer:
    """Send one request on a connection of its own, and read until the server closes it."""
    parts = urlsplit(url)
    payload = json.dumps(body).encode()
    head = {
        "host": parts.netloc,
        "connection": "close",
        "content-type": "application/json",
        "content-length": str(len(payload)),
        **headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    request = f"POST {parts.path} HTTP/1.1\r\n{lines}\r\n".encode() + payload
    sent_at = time.perf_counter()
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=STREAM_LIMIT)
    try:
        writer.write(request)
        pieces = []
        while piece := await reader.read(STREAM_LIMIT):
            pieces.append((time.perf_counter(), piece))
    finally:
        writer.close()
    return RawAnswer(sent_at, pieces)


def read_answer(raw: RawAnswer) -> Answer:
    """Make sense of the bytes. RequestError unless it is a whole stream with its usage."""
    answer = Answer(raw.sent_at, [], prompt_tokens=0, output_tokens=0)
    usage: dict[str, Any] | None = None
    reader = EventReader()
    for at, piece in raw.pieces:
        chunks = [json.loads(event) for event in reader.feed(piece) if event != b"[DONE]"]
        for chunk in chunks:
            if "error" in chunk:
                raise RequestError(json.dumps(chunk))
            usage = chunk.get("usage") or usage
        if any(choice.get("text") for chunk in chunks for choice in chunk.get("choices", ())):
            answer.arrivals.append(at)
    if not reader.ended or usage is None or not answer.arrivals:
        raise RequestError(f"Not a whole stream: {reader.head[:500]!r} … {reader.left[:1500]!r}")
    answer.prompt_tokens = usage["prompt_tokens"]
    answer.output_tokens = usage["completion_tokens"]
    return answer


class EventReader:
    """Takes an HTTP/1.1 answer in chunks apart into the data of its server-sent events."""

    def __init__(self) -> None:
        self.head = b""
        self.left = b""  # what came and was not yet understood
        self.ended = False
        self._body = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the events that this piece completes."""
        self.left += piece
        if not self.head:
            self.head, found, rest = self.left.partition(b"\r\n\r\n")
            if not found:
                self.head = b""
                return []
            self.left = rest
        if b" 200 " not in self.head.split(b"\r\n")[0] + b" ":
            return []  # the rest is the reason, and no events
        while self._take_chunk():
            pass
        *blocks, self._body = self._body.split(b"\n\n")
        return [block[5:].strip() for block in blocks if block.startswith(b"data:")]

    def _take_chunk(self) -> bool:
        line, found, rest = self.left.partition(b"\r\n")
        if not found:
            return False
        size = int(line.split(b";")[0], 16)
        if len(rest) < size + 2:
            return False
        self._body += rest[:size]
        self.left = rest[size + 2 :]
        self.ended = self.ended or size == 0
        return True
