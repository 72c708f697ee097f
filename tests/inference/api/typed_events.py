"""Reads a stream of server-sent events that have types, as `/v1/responses` and Anthropic send."""

import json
from typing import Any

import httpx


def parse_typed(text: str) -> list[dict[str, Any]]:
    """Every event is named by its type, and nothing else is sent but comments."""
    events: list[dict[str, Any]] = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        if block.startswith(":"):
            continue
        name, data = block.split("\n")
        assert name.startswith("event: "), block
        assert data.startswith("data: "), block
        events.append(json.loads(data.removeprefix("data: ")))
        assert events[-1]["type"] == name.removeprefix("event: ")
    return events


async def stream_typed(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], **kwargs: Any
) -> list[dict[str, Any]]:
    response = await client.post(path, json=body | {"stream": True}, **kwargs)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    return parse_typed(response.text)
