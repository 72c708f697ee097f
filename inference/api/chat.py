"""`POST /v1/chat/completions`."""

import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from django.conf import settings
from starlette.requests import Request
from starlette.responses import Response

from inference.api import answers
from inference.api.bodies import CHAT_UNSUPPORTED, parse
from inference.api.chat_text import ChoiceText
from inference.api.chunks import Chunks
from inference.api.exchange import authenticate, exchange_of, read_object
from inference.api.logprobs import chat_logprobs
from inference.api.schemas import ChatBody, StreamOptions
from inference.api.streams import EventStream, untyped
from inference.api.tools import read_tools
from inference.errors import invalid
from inference.generation import Generation
from inference.logprobs import without_end
from inference.spec import ChatPrompt, GenerationSpec, Summary, TextDelta
from inference.tool_choice import form_of_text

MAX_STOPS = 4


async def create(request: Request) -> Response:
    exchange_of(request).endpoint = "chat.completions"
    await authenticate(request)
    body = parse(ChatBody, await read_object(request), CHAT_UNSUPPORTED)
    spec = to_spec(body)
    generation = await answers.begin(request, spec, body)
    head = Head(generation)
    if body.stream:
        return EventStream(generation, ChatChunks(generation, head, body.stream_options))
    deltas, summary = await answers.collect(request, generation)
    if summary is None:
        return answers.client_gone()
    return await answers.respond(generation, lambda: whole(generation, head, deltas, summary))


def to_spec(body: ChatBody) -> GenerationSpec:
    """Raises ServiceError (400) naming the field that cannot be served."""
    body.check_stream_options()
    body.check_stops(MAX_STOPS)
    if body.n > settings.API_MAX_SEQUENCES:
        raise invalid(f"'n' is at most {settings.API_MAX_SEQUENCES} here.", "n")
    limit = body.token_limit()
    messages = tuple(m.to_chat_message(index) for index, m in enumerate(body.messages))
    tools, tool_use = read_tools(body.tools, body.tool_choice, body.parallel_tool_calls)
    constraint = form_of_text(body.constraint(), tool_use)
    return GenerationSpec(
        model=body.model,
        prompts=(ChatPrompt(messages, tools),),
        sampling=body.sampling(limit, body.num_logprobs()),
        max_tokens=limit,
        face="api",
        endpoint="chat.completions",
        limit_param=body.limit_param,
        stream=body.stream,
        n=body.n,
        constraint=constraint,
        tool_use=tool_use,
        batch=body.is_batch,
        metadata=body.metadata,
    )


class Head:
    """What every object of one answer begins with."""

    def __init__(self, generation: Generation) -> None:
        self.id = f"chatcmpl-{generation.request_id.removeprefix('req_')}"
        self.created = int(time.time())
        self.model = generation.model
        self.system_fingerprint = generation.system_fingerprint

    def object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.system_fingerprint,
            "choices": choices,
        }


def whole(
    generation: Generation, head: Head, deltas: Iterable[TextDelta], summary: Summary
) -> dict[str, Any]:
    texts = [ChoiceText(generation) for _ in range(generation.spec.n)]
    choices: list[dict[str, Any]] = [
        {
            "index": index,
            "message": texts[index].message(parts),
            "logprobs": chat_logprobs(
                without_end(parts, generation.eos_token_ids),
                asked=generation.spec.sampling.logprobs is not None,
            ),
            "finish_reason": texts[index].finish_reason(parts[-1].finish_reason),
        }
        for index, parts in answers.by_index(deltas).items()
    ]
    answer = head.object("chat.completion", choices)
    answer["usage"] = answers.usage_of(summary)
    answer["service_tier"] = "flex" if generation.spec.batch else "default"
    return answer


class ChatChunks(Chunks):
    """Role first, then text and calls, then why it ended, for each choice."""

    def __init__(self, generation: Generation, head: Head, options: StreamOptions | None) -> None:
        self._asked_logprobs = generation.spec.sampling.logprobs is not None
        super().__init__(
            partial(head.object, "chat.completion.chunk"),
            answers.StreamedUsage(generation, options),
            plain=not (self._asked_logprobs or generation.spec.tool_use),
        )
        self._texts = [ChoiceText(generation) for _ in range(generation.spec.n)]
        self._end_tokens = generation.eos_token_ids

    def begin(self) -> bytes:
        role = {"role": "assistant", "content": ""}
        return untyped(self.chunk(_choice(index, role)) for index in range(len(self._texts)))

    def text_choice(self, index: int, text: str) -> dict[str, Any]:
        return _choice(index, {"content": text})

    def choices(self, delta: TextDelta) -> Iterator[dict[str, Any]]:
        entries = without_end([delta], self._end_tokens)
        shown = chat_logprobs(entries, asked=self._asked_logprobs)
        text = self._texts[delta.index]
        gains = text.gains(delta)
        if shown and shown["content"] and not gains:
            gains = [{"content": ""}]
        for gain in gains:
            yield _choice(delta.index, gain, logprobs=shown)
            shown = None  # told once
        if delta.finish_reason:
            reason = text.finish_reason(delta.finish_reason)
            yield _choice(delta.index, {}, finish_reason=reason)


def _choice(index: int, delta: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None} | rest
