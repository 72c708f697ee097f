"""Calls to a running site as its customers make them: plain HTTP, many at once."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx

PROMPT = "Write a short story about a curious robot exploring a new planet."


@dataclass
class Heard:
    """What a client saw of one stream."""

    status: int
    chunks: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None
    done: bool = False

    @property
    def text(self) -> str:
        return "".join(
            choice["text"] for chunk in self.chunks for choice in chunk.get("choices", [])
        )


def client(url: str, key: str, connections: int = 300) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=120,
        limits=httpx.Limits(max_connections=connections),
    )


def completion(max_tokens: int | None, **more: Any) -> dict[str, Any]:
    """A request that runs until its `max_tokens`, whatever the model would rather do."""
    return {
        "model": "starter", "prompt": PROMPT, "ignore_eos": True,
        **({} if max_tokens is None else {"max_tokens": max_tokens}), **more,
    }  # fmt: skip


async def events(response: httpx.Response) -> AsyncIterator[str]:
    async for line in response.aiter_lines():
        if line.startswith("data: "):
            yield line.removeprefix("data: ")


async def listen(session: httpx.AsyncClient, body: dict[str, Any], on_chunk: Any = None) -> Heard:
    """Read one stream to its end, however it ends."""
    async with session.stream("POST", "/v1/completions", json={**body, "stream": True}) as response:
        heard = Heard(response.status_code)
        if response.status_code != 200:
            heard.error = json.loads(await response.aread())["error"]
            return heard
        async for data in events(response):
            if data == "[DONE]":
                heard.done = True
                continue
            event = json.loads(data)
            if "error" in event:
                heard.error = event["error"]
            else:
                heard.chunks.append(event)
                if on_chunk is not None:
                    on_chunk(heard)
        return heard
