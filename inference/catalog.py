"""The catalogue: which models are served, under which names, at which price, on which engines.

Reads are answered from a snapshot that is at most two seconds old, so a request costs no query
here; an operator's change shows after two seconds.
"""

import asyncio
import hashlib
import math
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from django.conf import settings
from django.utils.translation import gettext_noop

from accounts.authentication import Caller
from billing import pricing
from billing.pricing import PriceSheet
from inference import errors
from inference.database import ask_database
from inference.models import SHIPPED, ModelAlias, ModelKind, ModelState, ServedModel

SNAPSHOT_S = 2.0
STARTER = "starter"
STARTER_PRICE = (100_000_000, 50_000_000, 400_000_000)  # nanos per million: input, cached, output
STARTER_ALIASES = ("text-davinci-003", "gpt-3.5-turbo-instruct", "gpt-3.5-turbo", "gpt-4o-mini")
# A unix socket's path holds about a hundred bytes, folder included.
_SOCKET_NAME_MAX = 40


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One model as callers see it."""

    name: str
    description: str
    max_model_len: int
    kind: ModelKind
    is_chat: bool
    price: PriceSheet
    capabilities: tuple[str, ...]
    created_at: datetime
    shutdown_date: date | None
    quantization: str
    state: str
    offered_to: frozenset[str] | None  # organisations; None: everybody

    def is_offered_to(self, organisation_id: str | None) -> bool:
        """None stands for a visitor of the public pages."""
        return self.offered_to is None or organisation_id in self.offered_to

    @property
    def paused(self) -> bool:
        """Whether its operator has drained or unloaded it for now."""
        return self.state != ModelState.LOADED


@dataclass(frozen=True, slots=True)
class _Snapshot:
    entries: dict[str, CatalogEntry]  # in the order of the lists
    aliases: dict[str, str]
    addresses: tuple[tuple[str, str], ...]
    read_at: float  # when the read began: what was changed since then may not be in it


class _Cache:
    """The process's snapshot; threads may read it twice at once, which is harmless."""

    def __init__(self) -> None:
        self.snapshot: _Snapshot | None = None
        self.forgotten_at = -math.inf
        self.lock = threading.Lock()

    @property
    def fresh(self) -> bool:
        if self.snapshot is None or self.snapshot.read_at <= self.forgotten_at:
            return False
        return time.monotonic() - self.snapshot.read_at < SNAPSHOT_S

    def read(self) -> _Snapshot:
        """The snapshot, made new when it is old.

        In an event loop, which must not wait for the database, it is taken as `refresh` left it:
        it may have grown too old a microsecond ago.
        """
        snapshot = self.snapshot
        if snapshot is None or not (self.fresh or _in_event_loop()):
            snapshot = _read_snapshot()
            with self.lock:  # a slow read must not replace what was read after it
                if self.snapshot is None or self.snapshot.read_at < snapshot.read_at:
                    self.snapshot = snapshot
        return snapshot


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


_cache = _Cache()


def models_for(caller: Caller) -> list[CatalogEntry]:
    """The models this caller may use, in the order of the lists."""
    entries = models_offered_to(caller.organisation_id)
    return [entry for entry in entries if _allows(caller, entry.name)]


def models_offered_to(organisation_id: str | None) -> list[CatalogEntry]:
    """Every enabled model that has a price and is this organisation's to see; None: a visitor."""
    entries = _cache.read().entries.values()
    return [entry for entry in entries if entry.is_offered_to(organisation_id)]


def aliases_of(entries: Iterable[CatalogEntry]) -> dict[str, str]:
    """Other names of these models, and which model each stands for."""
    names = {entry.name for entry in entries}
    return {name: of for name, of in _cache.read().aliases.items() if of in names}


def resolve(name: str, caller: Caller) -> CatalogEntry:
    """The model of this name, else the one that it is an alias of.

    Raises ServiceError: 404 when there is none, or none for this organisation, which must not
    learn of it; 403 when this key may not use it.
    """
    snapshot = _cache.read()
    entry = snapshot.entries.get(name) or snapshot.entries.get(snapshot.aliases.get(name, ""))
    if entry is None or not entry.is_offered_to(caller.organisation_id):
        raise errors.model_not_found(name)
    if not _allows(caller, entry.name):
        raise errors.model_not_allowed(name)
    return entry


async def refresh() -> None:
    """Make sure that the calls above, from an event loop, speak of the last two seconds.

    Raises ServiceError (503) when the database is away.
    """
    if not _cache.fresh:
        await ask_database(_cache.read)


def forget() -> None:
    """Read the tables again at the next call (after a change by this process).

    A read under way is forgotten too: it may have begun before the change.
    """
    # The snapshot stays for event loops between their `refresh` and their reads.
    _cache.forgotten_at = time.monotonic()


def engine_addresses() -> list[tuple[str, str]]:
    """(model, address) of every engine: those of ENGINES, and local sockets for the rest."""
    return list(_cache.read().addresses)


def local_address(model: str, number: int = 1) -> str:
    """Where the engine of this number that `serve` starts for this model listens."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", model)
    if plain != model or len(plain) > _SOCKET_NAME_MAX:
        digest = hashlib.sha256(model.encode()).hexdigest()[:12]
        plain = f"{plain[:_SOCKET_NAME_MAX]}-{digest}"
    if number > 1:
        plain += f"+{number}"  # no plain name has a plus
    return f"unix:{settings.ENGINE_SOCKET_DIR / f'engine-{plain}.sock'}"


def ensure_starter() -> None:
    """Register the model that ships with the product: idempotent, and never undoes an edit."""
    starter, created = ServedModel.objects.get_or_create(
        name=STARTER,
        defaults={
            "source": SHIPPED,
            "description": gettext_noop("The small model that ships with this site."),
            "position": 0,
        },
    )
    pricing.ensure_price(STARTER, *STARTER_PRICE)
    if created:
        for alias in STARTER_ALIASES:
            ModelAlias.objects.get_or_create(name=alias, defaults={"target": starter})
    forget()


def _allows(caller: Caller, model: str) -> bool:
    return not caller.allowed_models or model in caller.allowed_models


def _read_snapshot() -> _Snapshot:
    began = time.monotonic()
    rows = list(ServedModel.objects.filter(enabled=True).prefetch_related("organisations"))
    entries = {row.name: entry for row in rows if (entry := _entry(row))}
    aliases = dict(
        ModelAlias.objects.filter(target__enabled=True).values_list("name", "target__name")
    )
    return _Snapshot(entries, aliases, tuple(_addresses(rows)), began)


def _entry(row: ServedModel) -> CatalogEntry | None:
    """None for a model without a price: it cannot be billed, so it is not offered."""
    try:
        price = pricing.current_price(row.name)
    except pricing.NoPrice:
        return None
    return CatalogEntry(
        name=row.name,
        description=row.description,
        max_model_len=row.max_model_len,
        kind=ModelKind(row.kind),
        is_chat=row.is_chat,
        price=price,
        capabilities=_capabilities(row),
        created_at=row.created_at,
        shutdown_date=row.shutdown_date,
        quantization=row.quantization,
        state=row.state,
        offered_to=_offered_to(row),
    )


def _offered_to(row: ServedModel) -> frozenset[str] | None:
    if row.is_public:
        return None
    return frozenset(organisation.id for organisation in row.organisations.all())


def _capabilities(row: ServedModel) -> tuple[str, ...]:
    if row.kind != ModelKind.TEXT:
        return (str(row.kind),)
    chat = ("chat.completions", "tools") if row.is_chat else ()
    return (*chat, "completions", "streaming", "logprobs", "structured_output")


def _addresses(rows: Iterable[ServedModel]) -> Iterable[tuple[str, str]]:
    elsewhere = {name for name, _address in settings.ENGINES}
    yield from settings.ENGINES
    for row in rows:
        if row.source and row.name not in elsewhere:
            for number in engine_numbers(row):
                yield row.name, local_address(row.name, number)


def engine_numbers(row: ServedModel) -> range:
    """The numbers of the engines that a model should have on this machine, from 1."""
    running = row.enabled and row.state != ModelState.UNLOADED
    return range(1, row.num_engines + 1 if running else 1)
