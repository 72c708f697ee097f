"""What exact seeds cost: `python benchmarks/seeds.py`. Writes results/seeds-<machine>.json.

There is no mode for requests with a seed: the C decoder gives every token the same bits in any
company. So two things are measured, in tokens per second while all sequences decode: steps with no,
one, half and all of the requests seeded, and the same model as PyTorch operators, which promise
nothing.
"""

import argparse
import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from benchmarks.engine import RESULTS, machine, machine_name
from benchmarks.random_llama import SHAPES, STARTER, make
from inference.engine.build import physical_cores
from inference.engine.family import take_weights
from inference.engine.model import load_model
from inference.engine.native.decoder import native_decoder
from tests.inference.engine.rig import Bench
from tests.inference.engine.tiny import lean_form, make_bench

CONCURRENCIES = (1, 16, 64)
PROMPT, TOKENS = 100, 64
ROUNDS = 5
DTYPES = {"starter": torch.float32, "10m": torch.bfloat16}


def shares(concurrency: int) -> list[int]:
    """How many of the requests have a seed."""
    return sorted({0, 1, concurrency // 2, concurrency})


def tokens_per_second(bench: Bench, concurrency: int, seeded: int) -> float:
    """Run requests to their end; count from when all have their first token."""
    outcomes = [
        bench.submit(
            [(n * 7 + i) % 250 for i in range(PROMPT)],
            max_tokens=TOKENS,
            ignore_eos=True,
            temperature=1.0,
            seed=n if n < seeded else None,
        )
        for n in range(concurrency)
    ]
    while not all(outcome.token_ids for outcome in outcomes):
        bench.loop.step()
    before, began = sum(len(outcome.token_ids) for outcome in outcomes), time.perf_counter()
    while not bench.scheduler.idle:
        bench.loop.step()
    after = sum(len(outcome.token_ids) for outcome in outcomes)
    return (after - before) / (time.perf_counter() - began)


def measure(name: str, folder: str) -> dict[str, Any]:
    """Return the best of some rounds, in each of which the shares take turns.

    The operators come after: a run of theirs was seen to slow down the first one behind it.
    """
    model = load_model(folder, torch.device("cpu"), DTYPES[name])
    sizes = {"num_blocks": 1024, "max_running": 64, "token_budget": 512}
    weights = take_weights(model)
    exact = make_bench(
        model,
        block_size=16,
        form=partial(native_decoder, weights),
        **sizes,  # type: ignore[arg-type]
    )
    operators = make_bench(model, block_size=16, form=lambda _: lean_form(model), **sizes)
    threads = torch.get_num_threads()
    table: dict[str, dict[str, float]] = {}
    for concurrency in CONCURRENCIES:
        found: dict[str, float] = {}
        torch.set_num_threads(1)  # as `build.assemble` leaves it beside the decoder's own
        for _ in range(ROUNDS):
            for seeded in shares(concurrency):
                rate = tokens_per_second(exact, concurrency, seeded)
                found[str(seeded)] = max(rate, found.get(str(seeded), 0))
        torch.set_num_threads(threads)
        rates = [tokens_per_second(operators, concurrency, 0) for _ in range(ROUNDS)]
        found["operators"] = max(rates)
        table[str(concurrency)] = {column: round(rate, 1) for column, rate in found.items()}
        print(f"{name} {concurrency}: {json.dumps(table[str(concurrency)])}", flush=True)
    return {"dtype": str(DTYPES[name]).removeprefix("torch."), "tokens_per_s": table}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=physical_cores())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        make(SHAPES["10m"], Path(folder))
        results = {
            "machine": machine(),
            "threads": args.threads,
            "prompt_tokens": PROMPT,
            "output_tokens": TOKENS,
            "columns": "number of seeded requests; operators: as PyTorch operators, not exact",
            "models": {"starter": measure("starter", str(STARTER)), "10m": measure("10m", folder)},
        }
    path = RESULTS / f"seeds-{machine_name()}.json"
    path.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
