"""Reads a stream of server-sent events."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class Events:
    chunks: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None
    done: bool = False

    @property
    def text(self) -> str:
        return "".join(
            choice.get("text") or choice.get("delta", {}).get("content") or ""
            for chunk in self.chunks
            for choice in chunk["choices"]
        )

    @property
    def finish_reasons(self) -> list[str]:
        return [
            choice["finish_reason"]
            for chunk in self.chunks
            for choice in chunk["choices"]
            if choice["finish_reason"]
        ]


def parse_events(text: str) -> Events:
    """Every line must be an event, a comment or empty: nothing else is sent."""
    events = Events()
    for line in text.split("\n"):
        if not line or line.startswith(":"):
            continue
        assert line.startswith("data: "), line
        assert not events.done, "something came after [DONE]"
        data = line.removeprefix("data: ")
        if data == "[DONE]":
            events.done = True
            continue
        value = json.loads(data)
        if "error" in value:
            events.error = value["error"]
        else:
            events.chunks.append(value)
    return events


async def stream(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> Events:
    response = await client.post(path, json=body | {"stream": True})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    return parse_events(response.text)
