"""Customers of a running site: what they ask for, what they see, and whether the bill agrees."""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from websockets.asyncio.client import connect

from tests.conformance.test_faults import LEASE_S, records, wait_for
from tests.story import calls
from tests.story.site import Site

CUSTOMERS = 12
TOKENS = 40  # of every answer
RUN = {
    "type": "run", "id": "one", "model": "starter", "prompt": calls.PROMPT,
    "parameters": {"max_tokens": TOKENS},
}  # fmt: skip
# Every client would make one, which takes longer than ten requests.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Load:
    """Customers of one organisation, each request on a new connection; half of them stream."""

    def __init__(self, site: Site, email: str) -> None:
        self.site = site
        self.email = email
        self.secret = site.issue_key(email, "50.00")
        self.headers = {"authorization": f"Bearer {self.secret}", "connection": "close"}
        self.seen: Counter[str] = Counter()
        self.tokens = 0  # of whole answers
        self.ended = False

    async def during(self, drill: Callable[[], Awaitable[None]], num: int = CUSTOMERS) -> None:
        """Let customers ask one thing after another before, while and for a moment after it."""
        customers = [asyncio.create_task(self._ask_on(bool(n % 2))) for n in range(num)]
        try:
            await self.answers(2 * num)
            await drill()
            await self.answers(2 * num)
        finally:
            self.ended = True
            await asyncio.wait_for(asyncio.gather(*customers), 60)

    async def answers(self, more: int) -> None:
        """Until so many more are whole."""
        until = self.seen["whole"] + more
        async with asyncio.timeout(60):
            while self.seen["whole"] < until:
                await asyncio.sleep(0.05)

    async def _ask_on(self, stream: bool) -> None:
        while not self.ended:
            await asyncio.sleep(await self.ask(stream))

    async def arrive(self, per_s: float, seconds: float) -> None:
        """Ask by the clock, whatever came of those before; nobody comes back."""
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as asking:
            for number in range(int(per_s * seconds)):
                due = began + number / per_s - asyncio.get_running_loop().time()
                await asyncio.sleep(max(due, 0.0))
                asking.create_task(self.ask(bool(number % 2)))

    async def ask(self, stream: bool) -> float:
        """Return after how many seconds to come back: 0 unless it was refused."""
        body = calls.completion(TOKENS, stream=stream)
        if stream:
            body["stream_options"] = {"include_usage": True}
        async with httpx.AsyncClient(base_url=self.site.url, timeout=60, verify=NO_TLS) as session:
            try:
                answer = await session.post("/v1/completions", json=body, headers=self.headers)
            except httpx.HTTPError as error:
                self.seen[repr(error)] += 1
                return 0.0
        if answer.status_code == 503:
            self.seen["refused"] += 1
            return _wait_of(answer)
        if answer.status_code != 200:
            self.seen[answer.text] += 1
        elif stream and not answer.text.endswith("data: [DONE]\n\n"):
            self.seen[answer.text[-300:]] += 1
        else:
            self._note_whole()
        return 0.0

    def _note_whole(self) -> None:
        self.seen["whole"] += 1
        self.tokens += TOKENS

    async def newcomers_are_refused(self) -> None:
        """The customers themselves may all be waiting for answers."""
        refused = self.seen["refused"]
        newcomers = (self.ask(bool(n % 2)) for n in range(CUSTOMERS))
        await asyncio.wait_for(asyncio.gather(*newcomers), 30)
        assert self.seen["refused"] >= refused + CUSTOMERS

    async def ask_on_a_socket(self) -> dict[str, Any] | None:
        """The playground's; return the error of a refusal."""
        address = f"{self.site.url.replace('http', 'ws', 1)}/ws/playground/"
        headers = {"authorization": self.headers["authorization"]}
        async with asyncio.timeout(60), connect(address, additional_headers=headers) as socket:
            await socket.send(json.dumps(RUN))
            async for text in socket:
                frame = json.loads(text)
                if frame["type"] == "error":
                    error: dict[str, Any] = frame["error"]
                    return error
                if frame["type"] == "finished":
                    assert frame["summary"]["completion_tokens"] == TOKENS
                    self._note_whole()
                    return None
        raise AssertionError("the socket closed")

    def check(self) -> None:
        """Nobody saw anything but answers and refusals, and the bill is of the answers."""
        assert self.seen.keys() <= {"whole", "refused"}, self.seen
        wait_for(lambda: self.site.open_holds() == 0, LEASE_S + 10, "holds are gone")
        assert records(self.site, self.email, "outcome = 'finished'") == self.seen["whole"]
        assert records(self.site, self.email, what="SUM(output_tokens)") == self.tokens
        self.site.audit()


def _wait_of(refusal: httpx.Response) -> float:
    """Both headers say the same."""
    wait_ms = int(refusal.headers["retry-after-ms"])
    assert wait_ms > 0
    assert 0 <= int(refusal.headers["retry-after"]) * 1000 - wait_ms < 1000
    return wait_ms / 1000
