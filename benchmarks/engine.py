"""Our engine beside its peers: `python benchmarks/engine.py`; see `benchmarks/README.md`.

Every engine serves the same random weights in turn, alone on the machine, and is driven by the same
client. Writes `benchmarks/results/engine-<machine>.json` and prints tables.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import re
import shlex
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import random_llama
from benchmarks.client import RequestError, Run, drive
from benchmarks.engines import ENGINES
from benchmarks.random_llama import CONTEXT, SHAPES
from benchmarks.servers import Job, Server
from benchmarks.summary import summarise, tables

RESULTS = Path(__file__).parent / "results"
PROMPT_WORDS = 100
OUTPUT_TOKENS = 64
# Between warming up and measuring: what an engine in service has done long ago can come to its end.
SETTLE_S = 5.0


def main() -> None:
    args = parse_arguments()
    # Or the server would be left running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        report = asyncio.run(measure_all(args))
    except (RequestError, ValueError) as error:
        sys.exit(f"engine benchmark: {error}")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(report, indent=2) + "\n")
    print(tables(report["rows"]))
    print(f"Written to {args.output}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    add("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    add("--concurrency", nargs="+", type=int, default=[1, 16, 64])
    add("--requests", type=int, help="for each run (default: 4 × concurrency, at least 24)")
    add("--temperature", type=float, default=1.0)
    add("--engine-args", default="", help='more for our engine, e.g. "--dtype bfloat16"')
    add("--output", type=Path, default=RESULTS / f"engine-{machine_name()}.json")
    return parser.parse_args()


async def measure_all(args: argparse.Namespace) -> dict[str, Any]:
    report: dict[str, Any] = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "prompt_words": PROMPT_WORDS,
        "output_tokens_each": OUTPUT_TOKENS,
        "settle_s": SETTLE_S,
        "temperature": args.temperature,
        "shapes": {name: random_llama.describe(SHAPES[name]) for name in args.shapes},
        "engines": {},
        "rows": [],
    }
    with tempfile.TemporaryDirectory(prefix="parlance-bench-") as folder:
        for shape in args.shapes:
            model = Path(folder, shape)
            random_llama.make(SHAPES[shape], model)
            job = Job(
                model, CONTEXT, max(args.concurrency), OUTPUT_TOKENS, args.temperature,
                shlex.split(args.engine_args),
            )  # fmt: skip
            for name in args.engines:
                server = ENGINES[name](job, Path(folder, f"{shape}-{name}"))
                report["engines"][name] = server.describe()
                for row in await measure(server, args):
                    report["rows"].append({"shape": shape, "engine": name, **row})
    return report


async def measure(server: Server, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Start one engine and measure it at each concurrency."""
    rows = []
    words = vocabulary(server.job.model)
    async with server.running() as ask:
        for concurrency in args.concurrency:
            count = args.requests or max(24, 4 * concurrency)
            # Different prompts, so that no cache of prefixes helps; the first round only warms up.
            seed = f"{server.job.model.name} {concurrency}"
            warm, timed = (
                prompts(words, number, f"{seed} {kind}")
                for kind, number in (("warm", concurrency), ("timed", count))
            )
            check(await drive(warm, concurrency, ask, server.read))
            await asyncio.sleep(SETTLE_S)
            run = await drive(timed, concurrency, ask, server.read)
            check(run)
            rows.append({"dtype": server.dtype(), "concurrency": concurrency, **summarise(run)})
            print(f"{server.name}: {rows[-1]}", file=sys.stderr, flush=True)
    return rows


def check(run: Run) -> None:
    """RequestError unless every answer has as many tokens as were asked for."""
    counts = {answer.output_tokens for answer in run.answers}
    if counts != {OUTPUT_TOKENS}:
        raise RequestError(f"Answers have {sorted(counts)} tokens, not {OUTPUT_TOKENS}.")


def vocabulary(model: Path) -> list[str]:
    """Return the words of the model's tokenizer that are a token each."""
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    return [token.removeprefix("Ġ") for token in random_llama.words_of(tokenizer)]


def prompts(words: list[str], count: int, seed: str) -> list[str]:
    chosen = random.Random(seed)
    return [" ".join(chosen.choices(words, k=PROMPT_WORDS)) for _ in range(count)]


def machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def machine_name() -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", processor().lower()).strip("-")
    return f"{plain}-{len(os.sched_getaffinity(0))}-cores"


def processor() -> str:
    try:
        found = re.search(
            r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE
        )
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()


if __name__ == "__main__":
    main()
