"""Requests and answers in Anthropic's shape."""

from typing import Any

import httpx

PATH = "/v1/messages"
COUNT = f"{PATH}/count_tokens"
WEATHER = {
    "type": "object",
    "properties": {"city": {"enum": ["Bern", "Oslo"]}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [
    {"name": "get_weather", "description": "Tells it.", "input_schema": WEATHER},
    {"name": "tell_time", "type": "custom", "input_schema": {"additionalProperties": False}},
]


def ask(content: Any = "hi", model: str = "starter", **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": content}]
    return {"model": model, "messages": messages, "max_tokens": 300, **fields}


async def answer_to(api: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    response = await api.post(PATH, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def assert_refused(response: httpx.Response, status: int, kind: str) -> str:
    """The message of an error in Anthropic's envelope."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert body["error"]["type"] == kind
    assert body["request_id"] == response.headers["request-id"]
    message: str = body["error"]["message"]
    return message
