"""A response as it comes: its output items, and the typed event of every step.

A whole answer is made by the same steps, with nobody listening to the events.
"""

import itertools
import time
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from inference.answer_parts import AnswerReader
from inference.api.responses.body import FlatTool, ResponsesBody
from inference.api.responses.items import output_text
from inference.errors import ServiceError
from inference.generation import Generation
from inference.spec import Summary, TextDelta
from inference.tool_calls import ArgumentsPart, CallBegun, Part, Said
from portal.lib.ids import new_id

Event = dict[str, Any]


class Output:
    """The items of an answer; the last one grows until it is closed."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self._text: list[str] = []  # of the item that grows
        self._growing = False

    def take(self, part: Part) -> Iterator[Event]:
        match part:
            case Said(text):
                if not self._growing:
                    yield from self._open_message()
                self._text.append(text)
                yield self._event("output_text.delta", content_index=0, delta=text, logprobs=[])
            case CallBegun(_, name):
                yield from self.close("completed")
                call = {"call_id": new_id("call"), "name": name, "arguments": ""}
                yield self._open({"id": new_id("fc"), "type": "function_call"} | call)
            case ArgumentsPart(_, text):
                self._text.append(text)
                yield self._event("function_call_arguments.delta", delta=text)

    def finish(self, status: Literal["completed", "incomplete"]) -> Iterator[Event]:
        """Nothing more will come; what never began is an empty message."""
        if not self.items:
            yield from self._open_message()
        yield from self.close(status)

    def close(self, status: Literal["completed", "incomplete"]) -> Iterator[Event]:
        """End the item that grows, if one does."""
        if not self._growing:
            return
        item, text = self.items[-1], "".join(self._text)
        if item["type"] == "message":
            part = output_text(text)
            item["content"] = [part]
            yield self._event("output_text.done", content_index=0, text=text, logprobs=[])
            yield self._event("content_part.done", content_index=0, part=part)
        else:
            item["arguments"] = text
            name = item["name"]
            yield self._event("function_call_arguments.done", name=name, arguments=text)
        item["status"] = status
        self._text, self._growing = [], False
        yield self._of_item("output_item.done")

    def _open_message(self) -> Iterator[Event]:
        message = {"id": new_id("msg"), "type": "message", "role": "assistant", "content": []}
        yield self._open(message)
        yield self._event("content_part.added", content_index=0, part=output_text(""))

    def _open(self, item: dict[str, Any]) -> Event:
        self.items.append(item | {"status": "in_progress"})
        self._growing = True
        return self._of_item("output_item.added")

    def _of_item(self, kind: str) -> Event:
        place = len(self.items) - 1
        return {"type": f"response.{kind}", "output_index": place, "item": dict(self.items[-1])}

    def _event(self, kind: str, **fields: Any) -> Event:
        place, item_id = len(self.items) - 1, self.items[-1]["id"]
        return {"type": f"response.{kind}", "output_index": place, "item_id": item_id, **fields}


class Answer:
    """One response from its beginning to its end."""

    def __init__(self, generation: Generation, body: ResponsesBody, *, stored: bool) -> None:
        self.id = f"resp_{generation.request_id.removeprefix('req_')}"
        self.output = Output()
        self.stored = stored
        self._generation = generation
        self._body = body
        self._reader = AnswerReader(generation)
        self._created_at = int(time.time())
        self._numbers = itertools.count()
        self._cut = False

    def begin(self) -> Iterator[Event]:
        for kind in ("created", "in_progress"):
            yield self._number(self._about(kind, self._object("in_progress")))

    def take(self, delta: TextDelta) -> Iterator[Event]:
        for part in self._reader.parts(delta):
            yield from map(self._number, self.output.take(part))
        if delta.finish_reason is not None:
            self._cut = delta.finish_reason == "length"
            status: Literal["completed", "incomplete"] = "incomplete" if self._cut else "completed"
            yield from map(self._number, self.output.finish(status))

    def end(self, summary: Summary) -> Event:
        status = "incomplete" if self._cut else "completed"
        return self._number(self._about(status, self.whole(summary)))

    def failed(self, error: ServiceError) -> Event:
        """The last event of a stream that broke off: with what was made of it, stored nowhere."""
        for _untold in self.output.close("incomplete"):
            pass
        self.stored = False
        code = "rate_limit_exceeded" if error.status == 429 else "server_error"
        reason = {"code": code, "message": error.message}
        return self._number(self._about("failed", self._object("failed", error=reason)))

    def whole(self, summary: Summary) -> dict[str, Any]:
        """The response that is to be answered, or stored."""
        usage = usage_of(summary)
        if self._cut:
            reason = {"reason": "max_output_tokens"}
            return self._object("incomplete", incomplete_details=reason, usage=usage)
        return self._object("completed", completed_at=int(time.time()), usage=usage)

    def _object(self, status: str, **changed: Any) -> dict[str, Any]:
        body = self._body
        echoed = ("user", "safety_identifier", "prompt_cache_key")
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created_at,
            "completed_at": None,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "max_tool_calls": None,
            "model": self._generation.model,
            "output": [dict(item) for item in self.output.items],
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": body.previous_response_id,
            "reasoning": {"effort": None, "summary": None},
            "service_tier": "flex" if self._generation.spec.batch else "default",
            "store": self.stored,
            "temperature": body.temperature,
            "text": {"format": body.text.format or {"type": "text"}, "verbosity": "medium"},
            "tool_choice": "auto" if body.tool_choice is None else body.tool_choice,
            "tools": [_tool(tool) for tool in body.tools],
            "top_logprobs": 0,
            "top_p": body.top_p,
            "truncation": "disabled",
            "metadata": body.metadata,
            **{name: value for name in echoed if (value := getattr(body, name)) is not None},
            **changed,
        }

    @staticmethod
    def _about(kind: str, response: dict[str, Any]) -> Event:
        return {"type": f"response.{kind}", "response": response}

    def _number(self, event: Event) -> Event:
        return event | {"sequence_number": next(self._numbers)}


def _tool(tool: FlatTool) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": bool(tool.strict),
    }


def usage_of(summary: Summary) -> dict[str, Any]:
    return {
        "input_tokens": summary.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": summary.cached_tokens,
            "cache_write_tokens": 0,
        },
        "output_tokens": summary.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": summary.prompt_tokens + summary.completion_tokens,
    }


def grow(answer: Answer, deltas: Iterable[TextDelta]) -> None:
    """All steps at once, with nobody listening."""
    for delta in deltas:
        for _event in answer.take(delta):
            pass
