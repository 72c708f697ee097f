"""What the endpoints that generate have in common: the beginning, a whole answer, its usage.

A watcher listens for the client's hang-up and cancels the generation; settling is not done here
(see `inference.settling`), and streams are sent by `streams.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from inference import metrics, service
from inference.api.bodies import RequestBody
from inference.api.errors import encode, json_response
from inference.api.exchange import Exchange, exchange_of
from inference.api.schemas import StreamOptions
from inference.counting import prompt_usage
from inference.generation import Generation
from inference.spec import GenerationSpec, Summary, TextDelta
from portal.lib.money import format_plain

CLIENT_GONE = 499
MAX_NAMED, MAX_NAME_CHARS = 50, 64  # in x-ignored-fields


async def begin(
    request: Request, spec: GenerationSpec, body: RequestBody, more_ignored: Iterable[str] = ()
) -> Generation:
    """Prepare a generation and note the headers of its answer."""
    exchange = exchange_of(request)
    caller = request.scope["caller"]
    note_ignored(exchange, body, more_ignored)
    generation = await service.prepare(
        spec, caller, request_id=exchange.request_id, arrived=exchange.arrived
    )
    exchange.headers |= generation.allowance.headers()
    if generation.balance_nanos is not None:
        exchange.headers["x-credit-remaining"] = format_plain(generation.balance_nanos)
    return generation


def note_ignored(exchange: Exchange, body: RequestBody, more: Iterable[str] = ()) -> None:
    """Count and name what changes nothing of a body that can be served."""
    ignored = [*body.ignored_fields(), *more]
    if ignored:
        metrics.IGNORED_FIELDS.inc(len(ignored))
        # A field's name may hold anything; a header may not.
        named = ignored[:MAX_NAMED]
        names = [name for name in named if name and name.isascii() and name.isprintable()]
        if names:
            shown = ",".join(name[:MAX_NAME_CHARS].replace(",", "") for name in names)
            exchange.headers["x-ignored-fields"] = shown


# --- Whole answers ------------------------------------------------------------------------------


async def collect(
    request: Request, generation: Generation
) -> tuple[list[TextDelta], Summary | None]:
    """Every delta and the summary; None for the summary when the client hung up meanwhile.

    Raises ServiceError when the generation failed: it is free then.
    """
    deltas: list[TextDelta] = []
    summary = None
    async with cancelled_on_hang_up(request.receive, generation):
        async for event in service.stream(generation):
            if isinstance(event, Summary):
                summary = event
            else:
                deltas.append(event)
    if summary is None or summary.outcome == "aborted":
        return deltas, None
    exchange = exchange_of(request)
    exchange.headers["x-request-cost"] = format_plain(summary.cost_nanos)
    exchange.headers["x-credit-remaining"] = format_plain(summary.balance_nanos)
    return deltas, summary


async def respond(generation: Generation, make: Callable[[], dict[str, Any]]) -> Response:
    """What `make` makes of it, as JSON."""
    if generation.spec.sampling.logprobs is None:
        return json_response(make())
    # Those of thousands of tokens take a second to write: other requests go on meanwhile.
    content = await asyncio.to_thread(lambda: encode(make()))
    return Response(content, media_type="application/json")


def client_gone() -> Response:
    """Nobody reads it; the number is the one that proxies log for a hang-up."""
    return Response(status_code=CLIENT_GONE)


@asynccontextmanager
async def cancelled_on_hang_up(receive: Receive, generation: Generation) -> AsyncIterator[None]:
    """Cancel the generation when the client goes, or when the body is left early."""
    watcher = asyncio.create_task(_cancel_on_hang_up(receive, generation))
    try:
        yield
    finally:
        generation.cancel()
        watcher.cancel()


async def _cancel_on_hang_up(receive: Receive, generation: Generation) -> None:
    await hang_up(receive)
    generation.cancel()


async def hang_up(receive: Receive) -> None:
    """Return when the client is gone; its body was read before."""
    while (await receive())["type"] != "http.disconnect":
        pass


# --- Counting -----------------------------------------------------------------------------------


def usage(prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> dict[str, object]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def usage_of(summary: Summary) -> dict[str, object]:
    return usage(summary.prompt_tokens, summary.cached_tokens, summary.completion_tokens)


class StreamedUsage:
    """What `stream_options` wants to be told of the usage: with each chunk, and after them."""

    def __init__(self, generation: Generation, options: StreamOptions | None) -> None:
        self.after = options is not None and bool(options.include_usage)
        self.continuous = options is not None and bool(options.continuous_usage_stats)
        self._generation = generation
        self._prompt_tokens = generation.prompt_tokens
        self._completion_tokens = 0

    def add(self, delta: TextDelta) -> None:
        self._completion_tokens += delta.num_tokens

    @property
    def field(self) -> dict[str, object]:
        """What a chunk has of it."""
        if self.continuous:
            cached, _ = prompt_usage(self._generation)  # known since its first token
            return {"usage": usage(self._prompt_tokens, cached, self._completion_tokens)}
        return {"usage": None} if self.after else {}


def by_index(deltas: Iterable[TextDelta]) -> dict[int, list[TextDelta]]:
    """The deltas of each answer, in the order of their indexes."""
    grouped: dict[int, list[TextDelta]] = {}
    for delta in deltas:
        grouped.setdefault(delta.index, []).append(delta)
    return dict(sorted(grouped.items()))
