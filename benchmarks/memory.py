"""Start-up and memory of an engine: `python benchmarks/memory.py`.

Starts the starter's engine, first with an empty cache of compiled kernels, then as usual. Sends
then 10,000 short requests of all kinds: chats with shared beginnings, long prompts,
log-probabilities, penalties, stop strings, invalid and cancelled ones, clients that go away. At
the end every block must be free; memory is noted all along. Writes
`benchmarks/results/memory-<machine>.json`.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.engine import RESULTS, machine, machine_name
from benchmarks.own_engine import OwnEngine, Ticks, own_engine, random_prompt, stats
from benchmarks.random_llama import STARTER
from inference.client import EngineLink
from inference.engine.params import SamplingParams
from inference.engine.wire import engine_pb2 as wire

AT_A_TIME = 48
SAMPLE_EVERY = 250  # requests
WARM = 2000  # requests after which memory should not grow any more
LATER_STARTS = 3
VISIT_S = 0.05  # of a client that goes away in the middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--model", type=Path, default=STARTER)
    add("--requests", type=int, default=10_000)
    add("--engine-args", nargs=argparse.REMAINDER, default=[], help="more for the engine")
    add("--output", type=Path, default=RESULTS / f"memory-{machine_name()}.json")
    args = parser.parse_args()
    report = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "model": args.model.name,
        **asyncio.run(measure(args)),
    }
    args.output.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps({name: report[name] for name in ("start_s", "memory", "blocks")}, indent=2))
    print(f"Written to {args.output}")
    if report["blocks"]["used_at_the_end"]:
        sys.exit("Blocks of the cache are still held.")


async def measure(args: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="parlance-bench-") as empty:
        async with own_engine(args.model, env={"XDG_CACHE_HOME": empty}) as engine:
            first_s = engine.ready_s
    later_s = []
    for _ in range(LATER_STARTS):
        async with own_engine(args.model) as engine:
            later_s.append(engine.ready_s)
    async with own_engine(args.model, *args.engine_args) as engine:
        load = MixedLoad(engine)
        await load.run(args.requests)
        await load.settle()
        numbers = await stats(engine.link)
    return {
        "start_s": {
            "compiling_kernels": round(first_s, 2),
            "later": [round(seconds, 2) for seconds in later_s],
        },
        "requests": args.requests,
        "endings": dict(sorted(load.endings.items())),
        "seconds": round(load.seconds, 1),
        "tokens": {"prompt": numbers.prompt_tokens, "cached": numbers.cached_prompt_tokens,
                   "generated": numbers.generated_tokens},
        "preemptions": numbers.preemptions,
        "blocks": {"total": numbers.kv_blocks_total, "used_at_the_end": numbers.kv_blocks_used},
        "memory": load.memory(),
        "memory_mib_every_250_requests": load.samples_mib,
    }  # fmt: skip


class MixedLoad:
    """Requests of all kinds, a number of them under way at a time."""

    def __init__(self, engine: OwnEngine) -> None:
        self.engine = engine
        self.endings: Counter[str] = Counter()
        self.samples_mib: list[float] = []
        self.seconds = 0.0
        self._random = random.Random(0)
        self._beginnings = [random_prompt(self._random, 120) for _ in range(20)]
        self._sent = 0

    async def run(self, count: int) -> None:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_A_TIME):
                group.create_task(self._worker(count))
        self.seconds = time.perf_counter() - began

    async def _worker(self, count: int) -> None:
        while self._sent < count:
            if self._sent % SAMPLE_EVERY == 0:
                self.samples_mib.append(round(self.engine.memory_mib(), 1))
            self._sent += 1
            kind = self._random.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
            self.endings[f"{kind}: {await KINDS[kind][1](self)}"] += 1

    async def settle(self) -> None:
        """Wait until nothing runs any more."""
        while True:
            numbers = await stats(self.engine.link)
            if not numbers.num_running and not numbers.num_waiting:
                break
            await asyncio.sleep(0.1)
        self.samples_mib.append(round(self.engine.memory_mib(), 1))

    def memory(self) -> dict[str, float]:
        warm = self.samples_mib[WARM // SAMPLE_EVERY :] or self.samples_mib
        return {
            "start_mib": self.samples_mib[0],
            "warm_mib": warm[0],
            "end_mib": self.samples_mib[-1],
            "grown_since_warm_mib": round(self.samples_mib[-1] - warm[0], 1),
        }

    # The kinds. Each returns how it ended.

    async def chat(self) -> str:
        prompt = self._random.choice(self._beginnings) + random_prompt(self._random, 20)
        return await self._ask(prompt, self._params())

    async def long(self) -> str:
        prompt = random_prompt(self._random, self._random.randint(600, 1800))
        return await self._ask(prompt, self._params(max_tokens=4))

    async def scored(self) -> str:
        prompt = random_prompt(self._random, 60)
        return await self._ask(prompt, self._params(logprobs=5, prompt_logprobs=3))

    async def invalid(self) -> str:
        prompt = self._random.choice([[], [10**6], random_prompt(self._random, 5000)])
        return await self._ask(prompt, self._params())

    async def cancelled(self) -> str:
        ticks = Ticks(self.engine.link, random_prompt(self._random, 50), self._params(200))
        await asyncio.sleep(self._random.random() * 2 * VISIT_S)
        ticks.cancel()
        return wire.FinishReason.Name((await ticks.ended).finish_reason)

    async def gone(self) -> str:
        """A client of its own, with several requests, that hangs up."""
        link = EngineLink("bench", self.engine.link.address)
        while not link.healthy:
            await asyncio.sleep(0.01)
        sent = [Ticks(link, random_prompt(self._random, 50), self._params(200)) for _ in range(3)]
        await asyncio.sleep(VISIT_S)
        await link.close()
        await asyncio.gather(*(ticks.ended for ticks in sent), return_exceptions=True)
        return "hung up"

    async def _ask(self, prompt: list[int], params: SamplingParams) -> str:
        tenant = f"tenant-{self._random.randrange(5)}"
        last = await Ticks(self.engine.link, prompt, params, tenant=tenant).ended
        return wire.FinishReason.Name(last.finish_reason)

    def _params(self, max_tokens: int = 16, **more: Any) -> SamplingParams:
        draw = self._random
        return SamplingParams(
            max_tokens=max_tokens,
            temperature=draw.choice([0.0, 0.7, 1.0]),
            top_p=draw.choice([1.0, 0.9]),
            top_k=draw.choice([0, 0, 40]),
            repetition_penalty=draw.choice([1.0, 1.0, 1.2]),
            seed=draw.choice([None, draw.randrange(100)]),
            stop=draw.choice([(), ("the", "\n\n")]),
            logit_bias=draw.choice([(), ((17, 5.0),)]),
            ignore_eos=draw.random() < 0.5,
            **more,
        )


# By name: how many in a hundred, and what asks for it.
KINDS = {
    "chat": (62, MixedLoad.chat),
    "scored": (10, MixedLoad.scored),
    "long": (5, MixedLoad.long),
    "invalid": (10, MixedLoad.invalid),
    "cancelled": (12, MixedLoad.cancelled),
    "gone": (1, MixedLoad.gone),
}


if __name__ == "__main__":
    main()
