"""What running texts feel of long prompts and of overload: `python benchmarks/scheduling.py`.

Drives one engine process over gRPC. `itl`: a number of texts run; then the same while long prompts
keep arriving, once held back (`--max-stretch 2`, the default) and once not (0). `overload`: ten
times as many requests as fit into engine and queue come at once; those that are refused come back
when they were told to. Writes `benchmarks/results/scheduling-<machine>.json`.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import random_llama
from benchmarks.engine import RESULTS, machine, machine_name
from benchmarks.engines import ParlanceEngine
from benchmarks.random_llama import CONTEXT, SHAPES, STARTER
from benchmarks.servers import Job
from benchmarks.summary import percentile
from inference.client import EngineLink
from inference.engine.params import SamplingParams
from inference.engine.wire import engine_pb2 as wire
from inference.engine.wire.messages import sampling_to_wire

LONG_PROMPT = 1500
LONG_AT_A_TIME = 2
SMALLEST_VOCABULARY = 4096
SETTLE_S = 1.5


def main() -> None:
    args = parse_arguments()
    report: dict[str, Any] = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "long_prompt_tokens": LONG_PROMPT,
        "long_prompts_at_a_time": LONG_AT_A_TIME,
        "itl": [],
        "overload": [],
    }
    with tempfile.TemporaryDirectory(prefix="parlance-bench-") as folder:
        for name in args.models:
            path = STARTER
            if name != "starter":
                path = Path(folder, name)
                random_llama.make(SHAPES[name], path)
            for what in args.what:
                rows = asyncio.run(PARTS[what](path, Path(folder), args))
                report[what] += [{"model": name, **row} for row in rows]
    args.output.write_text(json.dumps(report, indent=2) + "\n")
    print(f"Written to {args.output}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--models", nargs="+", choices=["starter", *SHAPES], default=["starter", "10m"])
    add("--what", nargs="+", choices=PARTS, default=list(PARTS))
    add("--texts", nargs="+", type=int, default=[1, 8, 32], help="that run while prompts come")
    add("--stretch", nargs="+", type=float, default=[2.0, 0.0])
    add("--seconds", type=float, default=15.0, help="of each measurement")
    add("--output", type=Path, default=RESULTS / f"scheduling-{machine_name()}.json")
    return parser.parse_args()


@asynccontextmanager
async def engine(model: Path, folder: Path, *flags: str) -> AsyncIterator[EngineLink]:
    """Start an engine for `model` and connect to it."""
    own = Path(tempfile.mkdtemp(dir=folder)) / "engine"
    server = ParlanceEngine(Job(model, CONTEXT, 1, 16, 1.0, flags), own)
    async with server.running():
        link = EngineLink(server.model_name(), f"127.0.0.1:{server.port}")
        while not link.healthy:
            await link.first_poll()
            await asyncio.sleep(0.05)
        try:
            yield link
        finally:
            await link.close()


class Client:
    """Sends prompts of random tokens, no two alike."""

    def __init__(self, link: EngineLink) -> None:
        self._link = link
        self._random = random.Random(0)

    async def ask(self, num_prompt: int, max_tokens: int, sink: "Ticks") -> None:
        """Return when the sequence has ended; cancel it when nobody waits for it any more."""
        submit = wire.Submit(
            request_id="bench",
            tenant="bench",
            prompt_token_ids=self._random.choices(range(3, SMALLEST_VOCABULARY), k=num_prompt),
            sampling=sampling_to_wire(SamplingParams(max_tokens=max_tokens, ignore_eos=True)),
        )
        sink.sent_at = time.perf_counter()
        sequence_id = self._link.submit(submit, sink)
        try:
            await sink.ended
        finally:
            self._link.cancel(sequence_id)


class Ticks:
    """Notes when the tokens of one sequence came, and how it ended."""

    def __init__(self) -> None:
        self.sent_at = 0.0
        self.at: list[float] = []
        self.ended: asyncio.Future[wire.SequenceDelta] = asyncio.Future()

    def on_delta(self, delta: wire.SequenceDelta) -> None:
        if delta.token_ids:
            self.at.append(time.perf_counter())
        if delta.finish_reason != wire.FINISH_NONE and not self.ended.done():
            self.ended.set_result(delta)

    def on_lost(self) -> None:
        if not self.ended.done():
            self.ended.set_exception(OSError("The engine was lost."))

    def gaps_ms(self, since: float) -> list[float]:
        """Return the times between two arrivals, of those after a moment."""
        pairs = itertools.pairwise(self.at)
        return [(later - earlier) * 1000 for earlier, later in pairs if earlier >= since]


class Load:
    """A number of sequences under way, one after the other, until it is stopped."""

    def __init__(self, client: Client, at_a_time: int, num_prompt: int, max_tokens: int) -> None:
        self.all: list[Ticks] = []
        self._ask = (num_prompt, max_tokens)
        self._tasks = [asyncio.create_task(self._run(client)) for _ in range(at_a_time)]

    async def _run(self, client: Client) -> None:
        while True:
            self.all.append(Ticks())
            await client.ask(*self._ask, self.all[-1])

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def gaps_ms(self, since: float) -> list[float]:
        return [gap for ticks in self.all for gap in ticks.gaps_ms(since)]

    def ttfts_ms(self, since: float) -> list[float]:
        began = [ticks for ticks in self.all if ticks.at and ticks.at[0] >= since]
        return [(ticks.at[0] - ticks.sent_at) * 1000 for ticks in began]


# --- The time between tokens ----------------------------------------------------------------------


async def measure_itl(model: Path, folder: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for stretch in args.stretch:
        async with engine(model, folder, "--max-stretch", str(stretch)) as link:
            for texts in args.texts:
                row = await itl_beside_prompts(Client(link), texts, args.seconds)
                rows.append({"max_stretch": stretch, "texts": texts, **row})
                print(rows[-1], file=sys.stderr, flush=True)
    return rows


async def itl_beside_prompts(client: Client, texts: int, seconds: float) -> dict[str, Any]:
    """Measure while only texts run, and then while prompts arrive, too."""
    running = Load(client, texts, num_prompt=20, max_tokens=1000)
    quiet = await gaps_during(running, seconds)
    began = time.perf_counter()
    arriving = Load(client, LONG_AT_A_TIME, LONG_PROMPT, max_tokens=1)
    busy = await gaps_during(running, seconds)
    spent = time.perf_counter() - began
    ttfts = arriving.ttfts_ms(began)
    await running.stop()
    await arriving.stop()
    return {
        **spread(quiet, "quiet"),
        **spread(busy, "busy"),
        "itl_p99_ratio": round(percentile(busy, 99) / percentile(quiet, 99), 2),
        "text_tokens_per_s_quiet": round(len(quiet) / seconds),
        "text_tokens_per_s_busy": round(len(busy) / seconds),
        "prompt_tokens_per_s": round(len(ttfts) * LONG_PROMPT / spent),
        "long_prompt_ttft_ms_p50": round(percentile(ttfts, 50)),
    }


def spread(gaps_ms: list[float], kind: str) -> dict[str, float]:
    return {f"itl_ms_p{p}_{kind}": round(percentile(gaps_ms, p), 2) for p in (50, 99)}


async def gaps_during(load: Load, seconds: float) -> list[float]:
    await asyncio.sleep(SETTLE_S)
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    return load.gaps_ms(began)


PARTS = {"itl": measure_itl}


if __name__ == "__main__":
    main()
