"""`POST /v1/completions`, and `/v1/engines/{engine}/completions` of older clients."""

import time
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from starlette.requests import Request
from starlette.responses import Response

from inference.api import answers
from inference.api.bodies import COMPLETION_UNSUPPORTED, parse
from inference.api.chunks import Chunks
from inference.api.engines import with_engine
from inference.api.exchange import authenticate, exchange_of, read_object
from inference.api.inputs import InputField
from inference.api.logprobs import CompletionLogprobs
from inference.api.schemas import CompletionBody, StreamOptions
from inference.api.streams import EventStream
from inference.errors import invalid
from inference.generation import Generation
from inference.spec import (
    GenerationSpec,
    Summary,
    TextDelta,
    TokenLogprob,
    merged,
)

MAX_STOPS = 16


async def create(request: Request) -> Response:
    exchange_of(request).endpoint = "completions"
    await authenticate(request)
    raw = await with_engine(request, await read_object(request))
    body = parse(CompletionBody, raw, COMPLETION_UNSUPPORTED)
    generation = await answers.begin(request, to_spec(body), body)
    answer = Answer(generation)
    if body.stream:
        return EventStream(generation, CompletionChunks(generation, answer, body.stream_options))
    deltas, summary = await answers.collect(request, generation)
    if summary is None:
        return answers.client_gone()
    return await answers.respond(generation, lambda: whole(generation, answer, deltas, summary))


def to_spec(body: CompletionBody) -> GenerationSpec:
    """Raises ServiceError (400) naming the field that cannot be served."""
    body.check_stream_options()
    body.check_stops(MAX_STOPS)
    field = InputField("prompt", most=settings.API_MAX_SEQUENCES, empty_allowed=True)
    prompts = field.read("" if body.prompt is None else body.prompt)
    best_of = body.check_best_of()
    sequences = len(prompts) * max(body.n, best_of or 1)
    if sequences > settings.API_MAX_SEQUENCES:
        message = f"Prompts times samples is {sequences}; at most {settings.API_MAX_SEQUENCES}."
        raise invalid(message, "n" if body.n > 1 or best_of else "prompt")
    return GenerationSpec(
        model=body.model,
        prompts=prompts,
        sampling=body.sampling(
            body.max_tokens, body.logprobs, prompt_logprobs=body.logprobs if body.echo else None
        ),
        max_tokens=body.max_tokens,
        face="api",
        endpoint="completions",
        stream=body.stream,
        n=body.n,
        best_of=best_of,
        echo=body.echo,
        constraint=body.constraint(),
        batch=body.is_batch,
        metadata=body.metadata,
    )


class Answer:
    """What is the same in every object of one answer, and each choice's log-probabilities."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.id = f"cmpl-{generation.request_id.removeprefix('req_')}"
        self.created = int(time.time())
        self.logprobs: dict[int, CompletionLogprobs] = {}
        self.echoed: set[int] = set()

    def object(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.generation.model,
            "system_fingerprint": self.generation.system_fingerprint,
            "choices": choices,
        }

    def choice(self, delta: TextDelta) -> dict[str, Any]:
        """The next part of a choice; its first part begins with the prompt when that is echoed."""
        text = delta.text
        entries: tuple[TokenLogprob, ...] = delta.logprobs
        spec = self.generation.spec
        logprobs = self._logprobs(delta.index)
        if spec.echo and delta.index not in self.echoed:
            self.echoed.add(delta.index)
            prompt = self.generation.prompts[delta.index // spec.n].text
            if logprobs is not None:
                logprobs.echo(prompt, delta.prompt_logprobs)
            text = prompt + text
            entries = delta.prompt_logprobs + entries
        return {
            "index": delta.index,
            "text": text,
            "logprobs": None if logprobs is None else logprobs.lists(entries),
            "finish_reason": delta.finish_reason,
        }

    def _logprobs(self, index: int) -> CompletionLogprobs | None:
        num_top = self.generation.spec.sampling.logprobs
        if num_top is None:
            return None
        if index not in self.logprobs:
            self.logprobs[index] = CompletionLogprobs(num_top=num_top)
        return self.logprobs[index]


def whole(
    generation: Generation, answer: Answer, deltas: Iterable[TextDelta], summary: Summary
) -> dict[str, Any]:
    choices = [answer.choice(merged(parts)) for parts in answers.by_index(deltas).values()]
    return answer.object(choices) | {"usage": answers.usage_of(summary)}


class CompletionChunks(Chunks):
    """Each delta as an answer of its own."""

    def __init__(
        self, generation: Generation, answer: Answer, options: StreamOptions | None
    ) -> None:
        spec = generation.spec
        super().__init__(
            answer.object,
            answers.StreamedUsage(generation, options),
            plain=not spec.echo and spec.sampling.logprobs is None,
        )
        self._answer = answer

    def text_choice(self, index: int, text: str) -> dict[str, Any]:
        return self._answer.choice(TextDelta(index, text, 1))

    def choices(self, delta: TextDelta) -> Iterable[dict[str, Any]]:
        return [self._answer.choice(delta)]
