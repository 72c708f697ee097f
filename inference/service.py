"""The one door to generation: prepare, stream, settle.

`prepare` refuses everything that can be refused, with a real status, before the first byte; it
starts the task that owns the generation (`inference.settling`). `stream` is the only reader of
what the engine says. The service lives in one event loop: `start` and `stop` are its lifespan;
without them the first `prepare` starts it.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import structlog
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.authentication import Caller, no_longer_valid
from billing import ledger
from inference import catalog, constraints, errors, metrics, prompts, settling
from inference.balances import Balances
from inference.catalog import CatalogEntry
from inference.client import EngineLink
from inference.encoder_inputs import prepare_inputs
from inference.encoding import Encoding
from inference.errors import ServiceError
from inference.generation import Generation, PreparedPrompt
from inference.kinds import check_kind
from inference.limits import Allowance, RateLimits
from inference.pool import EnginePool
from inference.ranking import best_samples
from inference.reports import EngineReport, report
from inference.sentences import Sentence
from inference.spec import Event, GenerationSpec, Prompt
from portal.lib.db import commit_lightly, db
from portal.lib.ids import new_id

logger = structlog.get_logger(__name__)

R = TypeVar("R")

REVOCATION_POLL_S = 1.0
DRAIN_S = 30.0
PAUSED = {
    "drained": _("%(name)r is drained by its operator."),
    "unloaded": _("%(name)r is unloaded by its operator."),
}
PAUSED_S = 30.0  # when to ask again for a model that its operator has drained or unloaded


class Service:
    """What one event loop runs: its engines, its limits, its generations."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.owner = f"web_{secrets.token_hex(12)}"
        self.pool = EnginePool(_engine_addresses)
        self.limits = RateLimits()
        self.balances = Balances()
        self.generations: dict[str, Generation] = {}
        self.draining = False
        self.started = asyncio.Event()
        self._owners: set[asyncio.Task[None]] = set()
        self._chores: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        metrics.RUNNING.set_function(self._num_running)
        await self.pool.start()
        self._chores = [
            asyncio.create_task(_every(settings.HOLD_RENEW_S, self._renew), name="renew leases"),
            asyncio.create_task(_every(REVOCATION_POLL_S, self._revoke), name="revocations"),
        ]
        self.started.set()

    async def stop(self, drain_s: float) -> None:
        """Refuse new requests, let the running ones finish for a while, settle all of them."""
        self.draining = True
        if self._owners:
            logger.info("draining", running=len(self._owners))
            await asyncio.wait(self._owners, timeout=drain_s)
        for generation in list(self.generations.values()):
            generation.end("failed", errors.overloaded(_("The server is shutting down.")))
        if self._owners:
            await asyncio.wait(self._owners, timeout=drain_s)
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        await self.pool.stop()

    def _num_running(self) -> int:
        """May be called from any thread."""
        return sum(not generation.settled for generation in list(self.generations.values()))

    # --- Prepare -------------------------------------------------------------------------------

    async def prepare(
        self, spec: GenerationSpec, caller: Caller, request_id: str | None, arrived: float
    ) -> Generation:
        if self.draining:
            raise errors.overloaded(_("The server is shutting down."))
        allowance = Allowance()
        try:
            await self.limits.take(caller, "requests", 1, allowance)
            await catalog.refresh()
            entry = catalog.resolve(spec.model, caller)
            check_kind(entry, spec)
            link, spec, prepared = await self.ask(entry, partial(_ask_engine, spec, caller))
            with link.announced(spec.num_sequences):
                await self.limits.take(caller, "tokens", _tokens_asked(spec, prepared), allowance)
                made = Generation if spec.task is None else Encoding
                generation = made(
                    spec,
                    caller,
                    entry,
                    link,
                    prepared,
                    request_id=request_id or new_id("req"),
                    allowance=allowance,
                    arrived=arrived,
                )
                await self._admit(generation)
        except ServiceError as refusal:
            refusal.headers = allowance.headers() | refusal.headers
            raise
        return generation

    def link_to(self, entry: CatalogEntry) -> EngineLink:
        if entry.paused:
            paused = Sentence(PAUSED[entry.state], name=entry.name)
            raise errors.overloaded(paused, PAUSED_S)
        link = self.pool.pick(entry.name)
        if link is None:
            nobody = _("No engine serves %(name)r at the moment.")
            raise errors.overloaded(Sentence(nobody, name=entry.name))
        return link

    async def ask(self, entry: CatalogEntry, question: Callable[[EngineLink], Awaitable[R]]) -> R:
        """Ask an engine of this model; where that one is lost over it, once more another one."""
        link = self.link_to(entry)
        try:
            return await question(link)
        except ServiceError:
            if link.answers:
                raise
        return await question(self.link_to(entry))

    async def _admit(self, generation: Generation) -> None:
        """Start the task that owns the generation and wait for its hold."""
        task = asyncio.create_task(
            settling.own(generation, self.owner, self.generations, self.balances, self.pool),
            name=f"own {generation.request_id}",
        )
        self.generations[generation.request_id] = generation
        self._owners.add(task)
        task.add_done_callback(self._owners.discard)
        task.add_done_callback(lambda _: self.generations.pop(generation.request_id, None))
        try:
            await generation.admitted
        except asyncio.CancelledError:  # the request went away: its owner lives on and settles
            generation.cancel()
            raise

    # --- Chores --------------------------------------------------------------------------------

    async def _renew(self) -> None:
        """In turn with this process's commits: beside one, each might wait for the other's rows."""
        if self.generations:
            await commit_lightly("", ledger.renew_leases, self.owner, list(self.generations))

    async def _revoke(self) -> None:
        """End what was started by a key or a session that is no longer valid."""
        callers = {generation.caller for generation in self.generations.values()}
        if not callers:
            return
        withdrawn = await db(no_longer_valid, callers)
        for generation in list(self.generations.values()):
            if generation.caller in withdrawn:
                generation.end("aborted", errors.access_withdrawn())


class _Current:
    """The service of this process's event loop."""

    service: Service | None = None


async def start() -> None:
    """Connect to the engines; to be awaited in the event loop that will serve."""
    await _service()


async def stop(drain_s: float = DRAIN_S) -> None:
    service, _Current.service = _Current.service, None
    if service is not None and service.loop is asyncio.get_running_loop():
        await service.stop(drain_s)


async def _service() -> Service:
    service = _Current.service
    if service is None or service.loop is not asyncio.get_running_loop():
        service = _Current.service = Service()
        await service.start()
    await service.started.wait()
    return service


def engines_healthy() -> bool:
    """Whether an engine takes requests of this process."""
    service = _Current.service
    return service is not None and service.pool.healthy()


@dataclass(slots=True)
class ModelLoad:
    """What the engines of a model last told this process, numbers of theirs added up."""

    engines: int = 0
    healthy: int = 0
    running: int = 0
    waiting: int = 0
    prompt_tokens: int = 0  # since the engines' start
    cached_tokens: int = 0  # of these, found in a cache
    dimensions: int = 0  # of an embedding model's vectors
    mask_token: str = ""  # how a masked language model writes its mask

    @property
    def cache_hit_rate(self) -> float | None:
        """Share of the prompts' tokens; None before the first."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None


def loads() -> dict[str, ModelLoad]:
    """By model, every engine this process knows; may be called from any thread."""
    found: dict[str, ModelLoad] = {}
    service = _Current.service
    for link in service.pool.links if service is not None else ():
        load = found.setdefault(link.model, ModelLoad())
        load.engines += 1
        load.healthy += link.healthy
        if link.info is not None:
            stats = link.info.stats
            load.running += stats.num_running
            load.waiting += stats.num_waiting
            load.prompt_tokens += stats.prompt_tokens + stats.cached_prompt_tokens
            load.cached_tokens += stats.cached_prompt_tokens
            load.dimensions = link.info.dimensions
            load.mask_token = link.info.mask_token
    return found


def engines() -> list[EngineReport]:
    """Every engine this process knows; may be called from any thread."""
    service = _Current.service
    return [report(link) for link in service.pool.links] if service is not None else []


async def prepare(
    spec: GenerationSpec,
    caller: Caller,
    *,
    request_id: str | None = None,
    arrived: float | None = None,
) -> Generation:
    """Check, tokenise and reserve; the generation runs when this returns.

    Raises ServiceError for everything that can be refused. The caller of this function has to
    call `cancel` on what it returns when it will not read `stream` to its end. `arrived` is the
    request's arrival by `time.monotonic()`.
    """
    started = time.monotonic() if arrived is None else arrived
    return await (await _service()).prepare(spec, caller, request_id, started)


async def stream(generation: Generation) -> AsyncIterator[Event]:
    """Yield what comes and, last, the summary of the settled generation.

    Raises ServiceError, already settled, when the engine was lost, the credit ran out or the
    caller's access was withdrawn.
    """
    if generation.samples > generation.spec.n:
        async for delta in best_samples(generation):
            yield delta
    while news := await generation.news():
        for delta in news:
            yield delta
    if generation.error is not None:
        raise generation.error
    assert generation.summary is not None
    yield generation.summary


async def tokenize(
    model: str,
    prompt: Prompt,
    caller: Caller,
    *,
    with_tokens: bool,
    add_generation_prompt: bool,
    add_special_tokens: bool | None = None,
) -> tuple[CatalogEntry, prompts.Encoded, Allowance]:
    """What a prompt would cost in tokens: rate-limited, free."""
    service, entry, allowance = await _unbilled(model, caller)
    encode = partial(
        prompts.encode,
        prompt,
        tenant=caller.organisation_id,
        with_tokens=with_tokens,
        add_generation_prompt=add_generation_prompt,
        add_special_tokens=add_special_tokens,
    )
    return entry, await service.ask(entry, encode), allowance


async def detokenize(
    model: str, token_ids: tuple[int, ...], caller: Caller
) -> tuple[str, Allowance]:
    service, entry, allowance = await _unbilled(model, caller)
    decode = partial(prompts.decode, token_ids, tenant=caller.organisation_id)
    return await service.ask(entry, decode), allowance


async def tokenizer_info(model: str, caller: Caller) -> tuple[dict[str, object], Allowance]:
    service, entry, allowance = await _unbilled(model, caller)
    return await service.ask(entry, prompts.describe_tokenizer), allowance


async def _unbilled(model: str, caller: Caller) -> tuple[Service, CatalogEntry, Allowance]:
    service, allowance = await _service(), await count(caller)
    await catalog.refresh()
    entry = catalog.resolve(model or _default_model(caller), caller)
    return service, entry, allowance


async def count(caller: Caller) -> Allowance:
    """Count a request that generates nothing. Raises ServiceError (429, 503)."""
    allowance = Allowance()
    await (await _service()).limits.take(caller, "requests", 1, allowance)
    return allowance


def _default_model(caller: Caller) -> str:
    """Evaluation harnesses name no model: they mean the first one."""
    models = catalog.models_for(caller)
    if not models:
        raise errors.model_not_found("")
    return models[0].name


async def _engine_addresses() -> list[tuple[str, str]]:
    await catalog.refresh()
    return catalog.engine_addresses()


async def _every(seconds: float, chore: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a chore again and again; its failure is logged, and it is tried again."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await chore()
        except Exception as error:
            logger.warning("a chore failed", chore=chore.__name__, error=type(error).__name__)


async def _ask_engine(
    spec: GenerationSpec, caller: Caller, link: EngineLink
) -> tuple[EngineLink, GenerationSpec, list[PreparedPrompt]]:
    """Encode the prompts and compile the grammar, at once; return the spec with that in it."""
    tenant = caller.organisation_id
    with link.announced(spec.num_sequences):
        if spec.task is not None:
            return link, *await prepare_inputs(spec, link, tenant)
        if spec.constraint is None and spec.tool_use is None:
            return link, spec, await prompts.prepare_all(spec, link, tenant)
        prepared, grammar = await asyncio.gather(
            prompts.prepare_all(spec, link, tenant),
            constraints.prepare_grammar(spec, link, tenant),
        )
        return link, constraints.with_grammar(spec, grammar, link), prepared


def _tokens_asked(spec: GenerationSpec, prepared: list[PreparedPrompt]) -> int:
    """Prompt and reserved output, for the rate limit."""
    samples = spec.best_of or spec.n
    limit = settings.HOLD_WINDOW_TOKENS if spec.max_tokens is None else spec.max_tokens
    output = sum(min(limit, prompt.max_tokens) for prompt in prepared)
    return sum(len(prompt.token_ids) for prompt in prepared) + samples * output
