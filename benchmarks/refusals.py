"""How soon a refusal comes, idle, busy and at ten times the load: `python benchmarks/refusals.py`.

The whole product on SQLite with an engine that recites at a given pace. One after the other asks
for every kind of refusal, and a polite customer for one answer after another: alone, while another
organisation asks for most of what the engine can answer, and while it asks for ten times as much.
The server has one core, its client and engine the other. Writes
`benchmarks/results/refusals-<machine>.json`.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from accounts.keys import digest, mint
from benchmarks.client import RequestError
from benchmarks.engine import RESULTS, machine, machine_name
from benchmarks.gateway import CLIENT_CORE, SERVER_CORE
from benchmarks.gateways import Parlance
from benchmarks.keep_alive import Connection, connected, spell_request
from benchmarks.summary import percentile

STEPS_PER_S, TOKENS = 50, 40  # of the engine; of each answer
MESSAGE = "Say something of forty tokens, please."
BUSY = 0.8  # of what the engine can do
KEY = {"idempotency-key": "the same"}
# Of the key that is too fast: the runs end before its next request would pass.
ONE_A_MINUTE = """
from accounts.models import ApiKey
ApiKey.objects.filter(key_hash=bytes.fromhex({hash!r})).update(requests_per_minute=1)
"""


def main() -> None:
    args = parse_arguments()
    report: dict[str, Any] = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
    }
    os.sched_setaffinity(0, {CLIENT_CORE})
    with tempfile.TemporaryDirectory(prefix="parlance-bench-") as folder:
        sizes = ("--max-running", str(args.slots), "--max-waiting", str(args.queue))
        site = Parlance(Path(folder), STEPS_PER_S, sizes)
        site.env["WELCOME_CREDIT"] = "0"
        try:
            with site.running(SERVER_CORE):
                report |= asyncio.run(measure_all(site, args))
        except (RequestError, OSError) as error:
            sys.exit(f"refusals benchmark: {error}")
    args.output.write_text(json.dumps(report, indent=2) + "\n")
    print(f"Written to {args.output}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--slots", type=int, default=16, help="answers that the engine makes at a time")
    add("--queue", type=int, default=32, help="requests that may wait for it")
    add("--flood", type=float, default=10.0, help="times what the engine can answer")
    add("--seconds", type=float, default=20.0, help="of each part")
    add("--output", type=Path, default=RESULTS / f"refusals-{machine_name()}.json")
    return parser.parse_args()


async def measure_all(site: Parlance, args: argparse.Namespace) -> dict[str, Any]:
    capacity = args.slots * STEPS_PER_S / TOKENS
    bad, polite = bad_requests(site), bearer(site.issue_key("polite@example.com", "5"))
    await site.ready()
    async with watched(site, bad, polite) as idle:
        await asyncio.sleep(args.seconds / 2)
    async with watched(site, bad, polite) as busy:
        await Flood(site).arrive(BUSY * capacity, args.seconds / 2)
    flood = Flood(site)
    async with watched(site, bad, polite) as overloaded:
        began = time.perf_counter()
        await flood.arrive(args.flood * capacity, args.seconds)
        spent = time.perf_counter() - began
        answered = len(flood.seconds[200]) + len(overloaded["polite, whole answer"])
    overloaded["503 queue full"] = flood.seconds[503]
    return {
        "engine_answers_per_s": capacity,
        "offered_per_s": args.flood * capacity,
        "goodput": round(answered / capacity / spent, 3),
        "flood": {str(status): len(each) for status, each in flood.seconds.items()},
        "rows": [*rows("idle", idle), *rows("busy", busy), *rows("overloaded", overloaded)],
    }


def rows(when: str, found: Mapping[str, list[float]]) -> list[dict[str, Any]]:
    made = [
        {
            "when": when, "what": what, "requests": len(seconds),
            "ms_p50": round(1000 * percentile(seconds, 50), 2),
            "ms_p99": round(1000 * percentile(seconds, 99), 2),
        }
        for what, seconds in found.items()
    ]  # fmt: skip
    for row in made:
        print(json.dumps(row), flush=True)
    return made


# --- Who is refused for another reason ------------------------------------------------------------


def bad_requests(site: Parlance) -> dict[str, bytes]:
    """By what is wrong with them; each name begins with the status of the refusal."""
    fast, poor = (site.issue_key(f"{who}@example.com", "0.000001") for who in ("fast", "poor"))
    site.manage("shell", "-v0", "-c", ONE_A_MINUTE.format(hash=digest(fast).hex()))
    return {
        "400 bad field": request(site, site.headers, max_tokens=-1),
        "401 unknown key": request(site, bearer(mint().secret)),
        "401 malformed key": request(site, bearer("sk-nonsense")),
        "402 no credit": request(site, bearer(poor)),
        "404 no such model": request(site, site.headers, model="nobody"),
        "422 key seen with another body": request(site, site.headers | KEY, temperature=0.5),
        "429 rate limit": request(site, bearer(fast)),
    }


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def request(site: Parlance, headers: Mapping[str, str], **changes: Any) -> bytes:
    body = site.body(MESSAGE) | {"max_tokens": TOKENS, "ignore_eos": True} | changes
    return spell_request(site.url, headers, body)


@asynccontextmanager
async def watched(
    site: Parlance, bad: Mapping[str, bytes], polite: Mapping[str, str]
) -> AsyncIterator[dict[str, list[float]]]:
    """Meanwhile ask for each kind of refusal in turn, and politely for one answer after another."""
    found: dict[str, list[float]] = defaultdict(list)
    tasks = [
        asyncio.create_task(ask_badly(site, bad, found)),
        asyncio.create_task(ask_politely(site, request(site, polite, stream=True), found)),
    ]
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(error, Exception):
                raise error


async def ask_badly(
    site: Parlance, bad: Mapping[str, bytes], found: dict[str, list[float]]
) -> None:
    async with connected(site.url) as connection:
        await connection.ask(request(site, site.headers | KEY))
        await connection.ask(bad["429 rate limit"])
        while True:
            for what, asked in bad.items():
                answer = await connection.ask(asked)
                if answer.status == int(what[:3]):
                    found[what].append(answer.seconds)
                elif answer.status != 503:  # who floods may hear of the full queue first
                    raise RequestError(f"{what}: {answer.status} {answer.body[:500]!r}")
                await asyncio.sleep(0.01)


async def ask_politely(site: Parlance, asked: bytes, found: dict[str, list[float]]) -> None:
    async with connected(site.url) as connection:
        while True:
            answer = await connection.ask(asked)
            if answer.status != 200:
                raise RequestError(f"polite: {answer.status} {answer.body[:500]!r}")
            found["polite, first token"].append(answer.first_s)
            found["polite, whole answer"].append(answer.seconds)


class Flood:
    """Requests by the clock, on as many connections as it takes. Nobody comes back."""

    def __init__(self, site: Parlance) -> None:
        self.seconds: dict[int, list[float]] = defaultdict(list)  # by status
        self._url = site.url
        self._asked = request(site, site.headers)
        self._free: deque[Connection] = deque()  # the one that was idle longest goes first

    async def arrive(self, per_s: float, seconds: float) -> None:
        began = time.perf_counter()
        async with AsyncExitStack() as open_ones, asyncio.TaskGroup() as asking:
            for number in range(int(per_s * seconds)):
                await asyncio.sleep(max(began + number / per_s - time.perf_counter(), 0.0))
                asking.create_task(self._ask(open_ones))

    async def _ask(self, open_ones: AsyncExitStack) -> None:
        if self._free:
            connection = self._free.popleft()
        else:
            connection = await open_ones.enter_async_context(connected(self._url))
        answer = await connection.ask(self._asked)
        self.seconds[answer.status].append(answer.seconds)
        self._free.append(connection)


if __name__ == "__main__":
    main()
