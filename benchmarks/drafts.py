"""What guessing ahead brings, or costs: `python benchmarks/drafts.py`.

The starter does the same work with guesses and without, by turns and without sockets: texts that
repeat themselves, ordinary chats, and random text, at 1, 8 and 32 at a time. Time is the
processor's, so other work on the machine counts little. Writes
`benchmarks/results/drafts-<machine>.json`.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from benchmarks.engine import RESULTS, machine, machine_name
from benchmarks.own_engine import random_prompt
from benchmarks.random_llama import STARTER
from inference.engine.build import EngineSizes, assemble, eos_token_ids
from inference.engine.codec import Chat
from inference.engine.model import load_model
from inference.engine.plan import Plan, StepResult
from inference.engine.tokenizer import HuggingFaceCodec, load_codec
from tests.inference.engine.rig import Bench

OUTPUT = 96
REPEATED = (
    '{"name": "Ada", "age": 36, "city": "London", "likes": ["tea", "numbers", "long walks"]}',
    '{"title": "A robot in the rain", "pages": 12, "words": ["robot", "rain", "home", "light"]}',
    "The small robot walked home in the rain, and the light in the window was still on.",
    "name,age,city\nAda,36,London\nTom,9,Paris\nLily,12,Rome\nBen,40,Berlin",
)
QUESTIONS = (
    "Tell me a story about a robot.",
    "How do I get an API key?",
    "What does a request cost?",
    "Write a short story about the sea.",
    "Name five animals.",
    "What can you do?",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--rows", nargs="+", type=int, default=[1, 8, 32])
    add("--max-drafts", type=int, default=EngineSizes().max_drafts)
    add("--rounds", type=int, default=6, help="of each, by turns; the first warms up")
    add("--output", type=Path, default=RESULTS / f"drafts-{machine_name()}.json")
    args = parser.parse_args()
    report = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "model": STARTER.name,
        "max_drafts": args.max_drafts,
        "rows": measure(args),
    }
    args.output.write_text(json.dumps(report, indent=2) + "\n")
    print(f"Written to {args.output}")


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    model = load_model(str(STARTER), torch.device("cpu"), torch.float32)
    codec = load_codec(str(STARTER), eos_token_ids(model))
    engines = [
        assemble("bench", "", model, codec, EngineSizes(max_drafts=number))
        for number in (args.max_drafts, 0)
    ]
    measured = []
    for task, prompt in TASKS.items():
        for rows in args.rows:
            pairs = []
            for round_ in range(args.rounds):
                chosen = random.Random(f"{task} {rows} {round_}")
                prompts = [prompt(codec, chosen, number) for number in range(rows)]
                pairs.append([run(served, codec, prompts, SAMPLING[task]) for served in engines])
            measured.append({"task": task, "at_a_time": rows, **compare(pairs[1:])})
            print(measured[-1], file=sys.stderr, flush=True)
    return measured


@dataclass(slots=True)
class Counts:
    seconds: float = 0.0
    tokens: int = 0
    guessed: int = 0
    right: int = 0


def run(
    served: Any, codec: HuggingFaceCodec, prompts: list[list[int]], sampling: dict[str, Any]
) -> Counts:
    counts = Counts()
    bench = Bench(
        served.scheduler,
        Counting(served.runner, counts),
        codec,
        served.vocab_size,
        clock=time.monotonic,
    )
    outcomes = [
        bench.submit(prompt, max_tokens=OUTPUT, seed=number, **sampling)
        for number, prompt in enumerate(prompts)
    ]
    began = time.process_time()
    bench.loop.step()
    while not served.scheduler.idle:
        bench.loop.step()
    counts.seconds = time.process_time() - began
    counts.tokens = sum(len(outcome.token_ids) for outcome in outcomes)
    return counts


class Counting:
    """A runner that counts guesses, and those that were right."""

    def __init__(self, runner: Any, counts: Counts) -> None:
        self._runner, self._counts = runner, counts

    def run(self, plan: Plan) -> StepResult:
        result: StepResult = self._runner.run(plan)
        self._counts.guessed += sum(len(row.drafts) for row in plan.rows)
        self._counts.right += sum(len(further) for further in result.further.values())
        return result


def compare(pairs: list[list[Counts]]) -> dict[str, float]:
    """Speed is tokens per second; the ratio is the median of those of neighbours."""
    with_guesses = [guessing for guessing, _ in pairs]
    tokens = sum(counts.tokens for counts in with_guesses)
    right = sum(counts.right for counts in with_guesses)
    guessed = sum(counts.guessed for counts in with_guesses)
    speeds = [[counts.tokens / counts.seconds for counts in pair] for pair in pairs]
    return {
        "tokens_per_s": round(statistics.median(speed for speed, _ in speeds)),
        "speed_ratio": round(statistics.median(one / other for one, other in speeds), 3),
        "guessed_per_token": round(guessed / tokens, 3),
        "right_per_token": round(right / tokens, 3),
    }


# --- The tasks ------------------------------------------------------------------------------------


def repeating(codec: HuggingFaceCodec, _: random.Random, number: int) -> list[int]:
    """A text that has come round three times comes round again."""
    return codec.encode_text(f"{REPEATED[number % len(REPEATED)]}\n" * 3)


def chatting(codec: HuggingFaceCodec, chosen: random.Random, _: int) -> list[int]:
    return codec.encode_chat(Chat(({"role": "user", "content": chosen.choice(QUESTIONS)},)))


def rambling(_codec: HuggingFaceCodec, chosen: random.Random, _: int) -> list[int]:
    """Nothing repeats but by chance."""
    return random_prompt(chosen, 100)


TASKS: dict[str, Callable[[HuggingFaceCodec, random.Random, int], list[int]]] = {
    "repeating": repeating,
    "chatting": chatting,
    "rambling": rambling,
}
SAMPLING: dict[str, dict[str, Any]] = {
    "repeating": {"temperature": 0.0, "ignore_eos": True},
    "chatting": {"temperature": 1.0},
    "rambling": {"temperature": 2.0, "ignore_eos": True},
}


if __name__ == "__main__":
    main()
