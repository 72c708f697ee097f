"""What running texts feel of long prompts and of overload: `python benchmarks/scheduling.py`.

Drives one engine process as a web process does. `itl`: a number of texts run; then the same while
long prompts keep arriving, once held back (`--max-stretch 2`, the default) and once not (0).
`overload`: ten times as many requests as fit into engine and queue come within a second; those that
are refused come back when they were told to. Writes `benchmarks/results/scheduling-<machine>.json`.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import random_llama
from benchmarks.engine import RESULTS, machine, machine_name
from benchmarks.own_engine import Ticks, own_engine, random_prompt
from benchmarks.random_llama import SHAPES, STARTER
from benchmarks.summary import percentile
from inference.client import EngineLink
from inference.engine.params import SamplingParams
from inference.engine.wire import engine_pb2 as wire

LONG_PROMPT = 1500
LONG_AT_A_TIME = 2
FLOOD = 10  # times what fits
SEEDS = itertools.count()  # no two loads send the same prompts: no cache of prefixes helps
MAX_RUNNING, MAX_WAITING = 32, 32
ARRIVING_S = 1.0  # of all of them: at the same moment, the client alone would hold them up
PROMPT, OUTPUT = 50, 32  # tokens of each who comes in the flood
SETTLE_S = 1.5
ONE_AT_A_TIME = ("--max-drafts", "0")  # or tokens would come together, with no time between them


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
                rows = asyncio.run(PARTS[what](path, args))
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


class Load:
    """A number of sequences under way, one after the other, until it is stopped."""

    def __init__(self, link: EngineLink, at_a_time: int, num_prompt: int, max_tokens: int) -> None:
        self.all: list[Ticks] = []
        self._random = random.Random(next(SEEDS))
        self._num_prompt = num_prompt
        self._params = SamplingParams(max_tokens=max_tokens, ignore_eos=True)
        self._tasks = [asyncio.create_task(self._run(link)) for _ in range(at_a_time)]

    async def _run(self, link: EngineLink) -> None:
        while True:
            ticks = Ticks(link, random_prompt(self._random, self._num_prompt), self._params)
            self.all.append(ticks)
            try:
                await ticks.ended
            finally:
                ticks.cancel()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def gaps_ms(self, since: float) -> list[float]:
        """Return the times between two arrivals of one text, of those after a moment."""
        return [
            (later - earlier) * 1000
            for ticks in self.all
            for earlier, later in itertools.pairwise(ticks.at)
            if earlier >= since
        ]

    def ttfts_ms(self, since: float) -> list[float]:
        began = [ticks for ticks in self.all if ticks.at and ticks.at[0] >= since]
        return [(ticks.at[0] - ticks.sent_at) * 1000 for ticks in began]


# --- The time between tokens ----------------------------------------------------------------------


async def measure_itl(model: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for stretch in args.stretch:
        async with own_engine(model, "--max-stretch", str(stretch), *ONE_AT_A_TIME) as engine:
            for texts in args.texts:
                row = await itl_beside_prompts(engine.link, texts, args.seconds)
                rows.append({"max_stretch": stretch, "texts": texts, **row})
                print(rows[-1], file=sys.stderr, flush=True)
    return rows


async def itl_beside_prompts(link: EngineLink, texts: int, seconds: float) -> dict[str, Any]:
    """Measure while only texts run, and then while prompts arrive, too."""
    running = Load(link, texts, num_prompt=20, max_tokens=1000)
    quiet = await gaps_during(running, seconds)
    began = time.perf_counter()
    arriving = Load(link, LONG_AT_A_TIME, LONG_PROMPT, max_tokens=1)
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


# --- Overload -------------------------------------------------------------------------------------


async def measure_overload(model: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Let a crowd ask; those who are refused come back when they were told to."""
    sizes = ("--max-running", str(MAX_RUNNING), "--max-waiting", str(MAX_WAITING))
    async with own_engine(model, *sizes) as engine:
        load = Load(engine.link, MAX_RUNNING + MAX_WAITING // 2, PROMPT, OUTPUT)
        full = await gaps_during(load, args.seconds)  # the engine learns its pace
        await load.stop()
        began = time.perf_counter()
        crowd = [Visitor(engine.link) for _ in range(FLOOD * (MAX_RUNNING + MAX_WAITING))]
        delays = (ARRIVING_S * number / len(crowd) for number in range(len(crowd)))
        await asyncio.gather(*(v.visit(after) for v, after in zip(crowd, delays, strict=True)))
        wall_s = time.perf_counter() - began
    refusals = [refusal for visitor in crowd for refusal in visitor.refusals_ms]
    row = {
        "asked": len(crowd),
        "fit": MAX_RUNNING + MAX_WAITING,
        "refusal_ms_p50": round(percentile(refusals, 50), 1),
        "refusal_ms_p99": round(percentile(refusals, 99), 1),
        "refusals_each_mean": round(len(refusals) / len(crowd), 2),
        "answered": sum(visitor.answered for visitor in crowd),
        "wall_s": round(wall_s, 2),
        "text_tokens_per_s": round(len(crowd) * OUTPUT / wall_s),
        "text_tokens_per_s_before": round(len(full) / args.seconds),
    }
    print(row, file=sys.stderr, flush=True)
    return [row]


class Visitor:
    """Asks until it is let in, and waits between for as long as it is told."""

    def __init__(self, link: EngineLink) -> None:
        self._link = link
        self.refusals_ms: list[float] = []
        self.answered = False

    async def visit(self, after: float) -> None:
        await asyncio.sleep(after)
        params = SamplingParams(max_tokens=OUTPUT, ignore_eos=True)
        prompt = random_prompt(random.Random(next(SEEDS)), PROMPT)
        while not self.answered:
            ticks = Ticks(self._link, prompt, params)
            last = await ticks.ended
            self.answered = last.finish_reason == wire.FINISH_LENGTH
            if not self.answered:
                self.refusals_ms.append((time.perf_counter() - ticks.sent_at) * 1000)
                await asyncio.sleep(last.retry_after_ms / 1000)


PARTS = {"itl": measure_itl, "overload": measure_overload}


if __name__ == "__main__":
    main()
