"""Sends the answer of a generation: whole, or as a stream of events.

In both cases a watcher listens for the client's hang-up and cancels the generation; settling is
not done here (see `inference.settling`).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from inference import errors, metrics, service
from inference.api.bodies import RequestBody
from inference.api.errors import encode, envelope, json_response
from inference.api.exchange import Exchange, exchange_of
from inference.errors import ServiceError
from inference.generation import Generation
from inference.spec import GenerationSpec, Summary, TextDelta
from portal.lib import sse
from portal.lib.money import format_plain

logger = structlog.get_logger(__name__)

# A client that takes nothing for this long is given up.
STALLED_CLIENT_S = 30.0
# How long the status line waits for the first token, so that an early failure gets a real status.
FIRST_TOKEN_WAIT_S = 10.0
CLIENT_GONE = 499


async def begin(request: Request, spec: GenerationSpec, body: RequestBody) -> Generation:
    """Prepare a generation and note the headers of its answer."""
    exchange = exchange_of(request)
    caller = request.scope["caller"]
    _note_ignored(exchange, body)
    generation = await service.prepare(
        spec, caller, request_id=exchange.request_id, arrived=exchange.arrived
    )
    exchange.headers |= generation.allowance.headers()
    if generation.balance_nanos is not None:
        exchange.headers["x-credit-remaining"] = format_plain(generation.balance_nanos)
    return generation


def _note_ignored(exchange: Exchange, body: RequestBody) -> None:
    ignored = body.ignored_fields()
    if ignored:
        metrics.IGNORED_FIELDS.inc(len(ignored))
        # A field's name may hold anything; a header may not.
        names = [name for name in ignored[:50] if name and name.isascii() and name.isprintable()]
        if names:
            shown = ",".join(name[:64].replace(",", "") for name in names)
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


# --- Streams ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StreamForm:
    """How an API writes its events: `failure` makes the object that ends a broken stream.

    `typed`: events are named by their `type`, and the last of them is the end.
    """

    failure: Callable[[ServiceError], dict[str, Any]] = envelope
    typed: bool = False

    def event(self, chunk: dict[str, Any]) -> bytes:
        return sse.event(encode(chunk), chunk["type"] if self.typed else "")


class EventStream(Response):
    """Server-sent events of a generation: `chunks` turns it into the objects of an API.

    A failure after the status line is an error event, and the stream ends without `[DONE]`.
    """

    def __init__(
        self,
        generation: Generation,
        chunks: AsyncIterator[dict[str, Any]],
        form: StreamForm = StreamForm(),
    ) -> None:
        self.generation = generation
        self.chunks = chunks
        self.form = form
        # Not Response's own: that would promise a length.
        self.raw_headers = [(k.encode(), v.encode()) for k, v in sse.HEADERS.items()]
        self.last_sent = time.monotonic()
        self.sending_since: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        generation = self.generation
        async with asyncio.timeout(None) as patience:
            watcher = asyncio.create_task(self._watch(receive, send, scope["exchange"], patience))
            try:
                await generation.begun(FIRST_TOKEN_WAIT_S)
                if generation.error is not None and not generation.output_tokens:
                    raise generation.error  # a real status: nothing was sent yet
                await self._send_all(send, scope["exchange"])
            finally:
                generation.cancel()
                watcher.cancel()

    async def _send_all(self, send: Send, exchange: Exchange) -> None:
        exchange.broken_off = True
        await self._send(
            send, {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        )
        async for data in self._events(exchange):
            await self._send(send, _body(data))
        ends = b"" if exchange.broken_off or self.form.typed else sse.DONE
        await self._send(send, _body(ends, more=False))

    async def _send(self, send: Send, message: Message) -> None:
        """Send, and let the watcher see for how long."""
        self.sending_since = time.monotonic()
        await send(message)
        self.last_sent, self.sending_since = self.sending_since, None

    async def _events(self, exchange: Exchange) -> AsyncIterator[bytes]:
        try:
            async for chunk in self.chunks:
                yield self.form.event(chunk)
        except ServiceError as error:
            yield self.form.event(self.form.failure(error))
        except Exception:
            logger.exception("a stream crashed", request_id=self.generation.request_id)
            crash = errors.crashed(self.generation.request_id)
            yield self.form.event(self.form.failure(crash))
        else:
            exchange.broken_off = self.generation.outcome != "finished"

    async def _watch(
        self, receive: Receive, send: Send, exchange: Exchange, patience: asyncio.Timeout
    ) -> None:
        """Cancel at a hang-up, give a stalled client up, and keep a quiet connection alive.

        A timer for each chunk would cost a tenth of what sending it does.
        """
        gone = asyncio.create_task(hang_up(receive))
        try:
            while not gone.done():
                await asyncio.wait([gone], timeout=min(sse.KEEP_ALIVE_S, STALLED_CLIENT_S) / 3)
                now = time.monotonic()
                if self.sending_since is not None:
                    if now - self.sending_since > STALLED_CLIENT_S:
                        patience.reschedule(asyncio.get_running_loop().time())
                elif exchange.started and now - self.last_sent >= sse.KEEP_ALIVE_S:
                    self.last_sent = now
                    async with asyncio.timeout(STALLED_CLIENT_S):
                        await send(_body(sse.KEEP_ALIVE))
        except TimeoutError:  # of a keep-alive: nobody takes it
            patience.reschedule(asyncio.get_running_loop().time())
        finally:
            gone.cancel()
            self.generation.cancel()


def _body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


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


class RunningUsage:
    """The usage so far, for `continuous_usage_stats`."""

    def __init__(self, generation: Generation) -> None:
        self.prompt_tokens = generation.prompt_tokens
        self.completion_tokens = 0

    @property
    def latest(self) -> dict[str, object]:
        return usage(self.prompt_tokens, 0, self.completion_tokens)

    def add(self, delta: TextDelta) -> None:
        self.completion_tokens += delta.num_tokens


def by_index(deltas: Iterable[TextDelta]) -> dict[int, list[TextDelta]]:
    """The deltas of each answer, in the order of their indexes."""
    grouped: dict[int, list[TextDelta]] = {}
    for delta in deltas:
        grouped.setdefault(delta.index, []).append(delta)
    return dict(sorted(grouped.items()))
