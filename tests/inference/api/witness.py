"""Hears every answer that the tests cause, and compares it with OpenAI's published description."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.inference.api.openai_schema import OpenAISchema

# What an answer is, and each event of a streamed one. Paths that OpenAI knows nothing of have none.
ANSWERS = {
    "/v1/chat/completions": "CreateChatCompletionResponse",
    "/v1/completions": "CreateCompletionResponse",
    "/v1/embeddings": "CreateEmbeddingResponse",
    "/v1/models": "ListModelsResponse",
    "/v1/responses": "Response",
    "/v1/responses/input_tokens": "TokenCountsResource",
}
EVENTS = {
    "/v1/chat/completions": "CreateChatCompletionStreamResponse",
    "/v1/completions": "CreateCompletionResponse",
}
ANTHROPIC, ITS_HEADER = "/v1/messages", "anthropic-version"
# Left before there was one; asked by browsers for another site; told to logs when nobody listens.
WITHOUT_ANSWER = {0, 204, 499}


@dataclass
class Heard:
    """One exchange: what was asked, and the bytes that came."""

    method: str
    path: str
    is_openais: bool = True
    status: int = 0
    content_type: str = ""
    body: bytearray = field(default_factory=bytearray)


def hears(method: str, path: str, headers: Mapping[str, str]) -> Heard:
    """An exchange that begins, whose answer is OpenAI's unless it was asked for in other words."""
    is_openais = not path.startswith(ANTHROPIC) and ITS_HEADER not in Headers(headers)
    return Heard(method, path, is_openais)


class Witness:
    """Stands between the tests and the application."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []

    def before(self, app: ASGIApp) -> ASGIApp:
        async def listening(scope: Scope, receive: Receive, send: Send) -> None:
            heard = hears(scope["method"], scope["path"], Headers(scope=scope))
            self.heard.append(heard)

            async def note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    heard.status = message["status"]
                    headers = dict(message["headers"])
                    heard.content_type = headers.get(b"content-type", b"").decode()
                else:
                    heard.body += message.get("body", b"")
                await send(message)

            await app(scope, receive, note)

        return listening

    def check(self, schema: OpenAISchema) -> int:
        """How many answers were compared with something.

        Raises AssertionError for what a client of OpenAI's could not read.
        """
        return sum(_check(schema, heard) for heard in self.heard)


def _check(schema: OpenAISchema, heard: Heard) -> bool:
    path = _plain(heard.path)
    if not heard.is_openais or heard.status in WITHOUT_ANSWER:
        return False
    if heard.content_type.startswith("text/event-stream"):
        events = _events(heard.body.decode())
        for event in events:
            _check_event(schema, path, event)
        return bool(events)
    name = "ErrorResponse" if heard.status >= 400 else _name(heard.method, path)
    if name is None:
        return False
    schema.check(name, json.loads(heard.body))
    return True


def _plain(path: str) -> str:
    """Without the engine's name, which older clients put into the address."""
    return f"/v1/{path.rpartition('/')[2]}" if path.startswith("/v1/engines/") else path


def _events(text: str) -> list[dict[str, Any]]:
    """The complete events of a stream, which may have been left in the middle."""
    lines = text.rpartition("\n\n")[0].split("\n")
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(value) for value in data if value != "[DONE]"]


def _check_event(schema: OpenAISchema, path: str, event: dict[str, Any]) -> None:
    if path in EVENTS:
        schema.check("ErrorResponse" if "error" in event else EVENTS[path], event)
    else:
        schema.check_event(event)


def _name(method: str, path: str) -> str | None:
    """The component that describes an answer; None where OpenAI has none."""
    if path in ANSWERS:
        return ANSWERS[path]
    if path.startswith("/v1/models/"):
        return "Model"
    if method == "GET" and path.startswith("/v1/responses/"):
        return "ResponseItemList" if path.endswith("/input_items") else "Response"
    return None
