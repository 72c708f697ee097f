"""All engines as the web side sees them: a link to each, and who of them takes the next request."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from inference import metrics
from inference.client import EngineLink

logger = structlog.get_logger(__name__)

FOLLOW_ADDRESSES_S = 2.0


class EnginePool:
    """The links to all engines; follows a list of addresses that may change while it runs.

    What is no longer on the list gets no new requests, and may finish those it has.
    """

    def __init__(
        self, read_addresses: Callable[[], Coroutine[Any, Any, list[tuple[str, str]]]]
    ) -> None:
        self._read_addresses = read_addresses
        self._links: dict[tuple[str, str], EngineLink] = {}
        self._follower: asyncio.Task[None] | None = None
        self._leaving: dict[asyncio.Task[None], EngineLink] = {}

    async def start(self) -> None:
        """Connect, and wait until every engine was asked once.

        Where the list cannot be read now, engines are found when it can be.
        """
        await self._try_to_follow()
        self._follower = asyncio.create_task(self._follow_forever(), name="follow engines")
        await asyncio.gather(*(link.first_poll() for link in self._links.values()))

    async def stop(self) -> None:
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        leaving, links = dict(self._leaving), [*self._links.values(), *self._leaving.values()]
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        await asyncio.gather(*(link.close() for link in links))
        self._links = {}

    def pick(
        self, model: str, suits: Callable[[EngineLink], bool] = lambda link: True
    ) -> EngineLink | None:
        """The healthy engine of this model with the least to do, None when there is none."""
        links = [link for (name, _), link in self._links.items() if name == model and link.healthy]
        return min(filter(suits, links), key=lambda link: link.load, default=None)

    @property
    def links(self) -> list[EngineLink]:
        """All of them: those that take requests, and those that only finish theirs."""
        return [*self._links.values(), *self._leaving.values()]

    def healthy(self) -> bool:
        """Whether any engine takes requests."""
        return any(link.healthy for link in self._links.values())

    async def wait_until_healthy(self, model: str, timeout_s: float) -> bool:
        """Whether an engine of this model takes requests before the time is over."""
        deadline = time.monotonic() + timeout_s
        while self.pick(model) is None:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    async def _follow_forever(self) -> None:
        while True:
            await asyncio.sleep(FOLLOW_ADDRESSES_S)
            await self._try_to_follow()
            healthy = sum(link.healthy for link in self._links.values())
            metrics.ENGINES_HEALTHY.set(healthy)

    async def _try_to_follow(self) -> None:
        try:
            await self._follow()
        except Exception as error:  # the database may be away; the links live on
            logger.warning("the list of engines cannot be read", error=str(error))

    async def _follow(self) -> None:
        wanted = await self._read_addresses()
        for key in wanted:
            if key not in self._links:
                self._links[key] = EngineLink(*key)
        for key in self._links.keys() - set(wanted):
            link = self._links.pop(key)
            task = asyncio.create_task(link.leave())
            self._leaving[task] = link
            task.add_done_callback(self._leaving.pop)
