"""What a request costs around the engine: `python benchmarks/gateway.py`; see `README.md` here.

The whole path of a chat completion (key, limits, hold, engine hop, settlement, usage record) with
an engine that recites, beside the LiteLLM proxy without a database and a bare ASGI application.
Each server has one core to itself; the client, the engine and LiteLLM's upstream share the other.
Writes `benchmarks/results/gateway-<machine>.json`.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.client import RequestError
from benchmarks.engine import RESULTS, machine, machine_name
from benchmarks.gateways import GATEWAYS, Bare, Gateway, Parlance
from benchmarks.keep_alive import Load, load, spell_request
from benchmarks.streams import TOKENS_PER_S, measure_streams

SERVER_CORE, CLIENT_CORE = 0, 1
MESSAGE = "Say yes or no: is this a short question?"


def main() -> None:
    args = parse_arguments()
    os.sched_setaffinity(0, {CLIENT_CORE})
    try:
        report = asyncio.run(measure_all(args))
    except* (RequestError, OSError, ValueError) as group:
        sys.exit(f"gateway benchmark: {group.exceptions[0]}")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(report, indent=2) + "\n")
    print(f"Written to {args.output}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--gateways", nargs="+", choices=GATEWAYS, default=list(GATEWAYS))
    add("--concurrency", nargs="+", type=int, default=[1, 32])
    add("--seconds", type=int, default=8, help="of each run; a quarter more warms up")
    add("--streams", type=int, default=1000, help="open at a time on our own; 0: none")
    add("--output", type=Path, default=RESULTS / f"gateway-{machine_name()}.json")
    return parser.parse_args()


async def measure_all(args: argparse.Namespace) -> dict[str, Any]:
    report: dict[str, Any] = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": {name: GATEWAYS[name].versions() for name in args.gateways},
        "rows": [],
    }
    for name in args.gateways:
        with tempfile.TemporaryDirectory(prefix="parlance-bench-") as folder:
            gateway = GATEWAYS[name](Path(folder))
            with gateway.running(SERVER_CORE):
                await gateway.ready()
                for concurrency in args.concurrency:
                    row = await measure(gateway, concurrency, args.seconds)
                    report["rows"].append(row)
                    print(json.dumps(row), flush=True)
    report["added_ms_p50"] = added(report["rows"])
    print(json.dumps(report["added_ms_p50"]), flush=True)
    if args.streams:
        report["streams"] = await measure_open_streams(args.streams)
        print(json.dumps(report["streams"]), flush=True)
    return report


def added(rows: list[dict[str, Any]]) -> dict[str, float]:
    """What each gateway adds to an application that does nothing, one request at a time."""
    alone = {row["gateway"]: row["latency_ms_p50"] for row in rows if row["concurrency"] == 1}
    nothing = alone.pop(Bare.name, None)
    if nothing is None:
        return {}
    return {name: round(latency - nothing, 2) for name, latency in alone.items()}


async def measure_open_streams(num_streams: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="parlance-bench-") as folder:
        gateway = Parlance(Path(folder), tokens_per_s=TOKENS_PER_S)
        with gateway.running(SERVER_CORE):
            await gateway.ready()
            return await measure_streams(gateway, num_streams)


async def measure(gateway: Gateway, concurrency: int, seconds: int) -> dict[str, Any]:
    request = spell_request(gateway.url, gateway.headers, gateway.body(MESSAGE))
    await load(gateway.url, request, concurrency, seconds / 4)
    before = gateway.cpu_s()
    made = [await load(gateway.url, request, concurrency, 1.0) for _ in range(seconds)]
    return describe(gateway, concurrency, made, gateway.cpu_s() - before)


def describe(gateway: Gateway, concurrency: int, made: list[Load], cpu_s: float) -> dict[str, Any]:
    """A row of the report; `made` is what each second brought.

    The quietest second is the one that other guests of the machine disturbed least.
    """
    ordered = sorted(latency for each in made for latency in each.latencies_s)
    num = len(ordered)
    quietest_s = min(statistics.median(each.latencies_s) for each in made)
    return {
        "gateway": gateway.name,
        "concurrency": concurrency,
        "requests": num,
        "requests_per_s": round(num / sum(each.wall_s for each in made), 1),
        "latency_ms_p50": round(1000 * statistics.median(ordered), 2),
        "latency_ms_p50_quietest_second": round(1000 * quietest_s, 2),
        "latency_ms_p99": round(1000 * ordered[min(num - 1, int(0.99 * num))], 2),
        "server_cpu_ms_per_request": round(1000 * cpu_s / num, 3),
    }


if __name__ == "__main__":
    main()
