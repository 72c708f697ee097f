"""A kept request of the REST API in the playground's words: its run frame, and its answer.

What was sent is read as strictly as a frame of the playground is. What the playground has no
setting for, such as several answers at once, is named and left out.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from billing.models import UsageRecord
from inference.log.bodies import Bodies
from playground import protocol
from playground.protocol import Run
from portal.pages.requests import CHAT, COMPLETION

SAMPLING = (
    "temperature", "top_p", "top_k", "min_p", "max_tokens", "stop", "presence_penalty",
    "frequency_penalty", "repetition_penalty", "seed",
)  # fmt: skip
CHAT_ONLY = ("logprobs", "top_logprobs", "tool_choice")
# What changes nothing about the text.
BESIDE = {
    "model", "messages", "prompt", "stream", "stream_options", "metadata", "user", "store", "echo",
    "service_tier", "logprobs", "tools", "response_format", "max_completion_tokens", "engine",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class KeptRun:
    """`left_out` names fields of the request that the playground cannot say."""

    frame: Run
    left_out: tuple[str, ...]
    text: str
    tool_calls: list[dict[str, Any]] = field(default_factory=list)

    @property
    def answered(self) -> bool:
        return bool(self.text or self.tool_calls)


def read(record: UsageRecord, kept: Bodies | None) -> KeptRun:
    """Raises ValueError for what the playground could not have sent."""
    if kept is None or len(kept.request) != kept.request_bytes:
        raise ValueError("It is not kept whole.")
    body = json.loads(kept.request)
    if not isinstance(body, dict):
        raise ValueError("It is no object.")
    if record.endpoint not in ASKED:
        raise ValueError("It is neither a chat nor a completion.")
    asked, parameters = ASKED[record.endpoint](body)
    frame = frame_of(record.model, asked, parameters)
    known = {*SAMPLING, *CHAT_ONLY, *BESIDE}
    given = {name for name, value in body.items() if value not in (None, False, {}, [])}
    left_out = tuple(sorted(name for name in given - known if (name, body[name]) != ("n", 1)))
    text, calls = answer_of(kept, streamed=record.stream)
    if body.get("echo"):
        text = text.removeprefix(asked.get("prompt", ""))
    return KeptRun(frame, left_out, text, calls)


def frame_of(model: str, asked: dict[str, Any], parameters: dict[str, Any]) -> Run:
    frame = {"type": "run", "id": "reopened", "model": model, **asked, "parameters": parameters}
    try:
        run = protocol.parse(json.dumps(frame))
    except protocol.BadFrame as bad:
        raise ValueError(bad.error.message) from None
    assert isinstance(run, Run)
    return run


# --- What was asked -------------------------------------------------------------------------------


def chat(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    given = sampling(body) | said(body, CHAT_ONLY)
    if body.get("max_completion_tokens") is not None:
        given.setdefault("max_tokens", body["max_completion_tokens"])
    if tools := body.get("tools"):
        given["tools"] = [tool(each) for each in listed(tools)]
    if form := body.get("response_format"):
        given["response_format"] = response_format(form)
    return {"messages": [message(each) for each in listed(body.get("messages"))]}, given


def completion(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        [prompt] = prompt
    given = sampling(body)
    if body.get("logprobs") is not None:
        given |= {"logprobs": True, "top_logprobs": body["logprobs"]}
    if form := body.get("response_format"):
        given["response_format"] = response_format(form)
    return {"prompt": prompt}, given


ASKED = {CHAT: chat, COMPLETION: completion}


def sampling(body: dict[str, Any]) -> dict[str, Any]:
    given = said(body, SAMPLING)
    if isinstance(given.get("stop"), str):
        given["stop"] = [given["stop"]]
    return given


def message(body: Any) -> dict[str, Any]:
    """In OpenAI's form, the text in one piece. Raises ValueError when there is more than text."""
    content = body.get("content") or ""
    if isinstance(content, list):  # of parts
        if any(not isinstance(part, dict) or part.get("type") != "text" for part in content):
            raise ValueError("A part is no text.")
        content = "".join(part.get("text", "") for part in content)
    role = "system" if body.get("role") == "developer" else body.get("role")
    return {"role": role, "content": content, **said(body, ("tool_calls", "tool_call_id"))}


def tool(body: Any) -> dict[str, Any]:
    function = said(body.get("function"), ("name", "description", "parameters", "strict"))
    return {"type": body.get("type"), "function": function}


def response_format(body: Any) -> dict[str, Any]:
    form = said(body, ("type", "json_schema"))
    if "json_schema" in form:
        form["json_schema"] = said(form["json_schema"], ("name", "description", "schema", "strict"))
    return form


def said(body: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Those of these fields that have a value."""
    if not isinstance(body, dict):
        raise ValueError("It is no object.")
    return {name: body[name] for name in names if body.get(name) is not None}


def listed(body: Any) -> list[Any]:
    if not isinstance(body, list) or not all(isinstance(each, dict) for each in body):
        raise ValueError("It is no list of objects.")
    return body


# --- What was answered ----------------------------------------------------------------------------


def answer_of(kept: Bodies, *, streamed: bool) -> tuple[str, list[dict[str, Any]]]:
    """Text and calls of the first choice; nothing when the answer was cut, or was none."""
    if len(kept.answer) != kept.answer_bytes:
        return "", []
    text, calls = "", {}  # type: str, dict[int, dict[str, Any]]
    try:
        for part in events(kept.answer) if streamed else [json.loads(kept.answer)]:
            gain = first_choice(part)
            text += gain.get("content") or gain.get("text") or ""
            for place, call in enumerate(gain.get("tool_calls") or ()):
                add_call(calls, call.get("index", place), call)
    except (ValueError, AttributeError, LookupError, TypeError):
        return "", []
    return text, [calls[place] for place in sorted(calls)]


def events(answer: bytes) -> Iterator[Any]:
    """The JSON of each server-sent event."""
    for line in answer.decode().split("\n"):  # the other ends of lines may stand in JSON
        data = line.removeprefix("data:").strip()
        if line.startswith("data:") and data != "[DONE]":
            yield json.loads(data)


def first_choice(part: dict[str, Any]) -> dict[str, Any]:
    """Its message, or what a chunk adds to it, or of a completion the choice itself."""
    for choice in part.get("choices", ()):
        if choice["index"] == 0:
            found: dict[str, Any] = choice.get("message") or choice.get("delta") or choice
            return found
    return {}


def add_call(calls: dict[int, dict[str, Any]], place: int, part: dict[str, Any]) -> None:
    """A whole call, or the next piece of one."""
    function = part["function"]
    if place not in calls:
        named = {"name": function["name"], "arguments": ""}
        calls[place] = {"id": part["id"], "type": "function", "function": named}
    calls[place]["function"]["arguments"] += function.get("arguments") or ""
