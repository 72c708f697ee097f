"""What int8 weights cost and save: `python benchmarks/quantisation.py`.

Quality: perplexity of the starter on held-out documents, and how many prompts of its probes it
answers right, with and without. Speed and memory: decoded tokens per second and the process's
resident memory, for each way of holding the weights, on the shapes of `random_llama.py`; one
process each, the ways in turn, so that they can be compared. Writes
`benchmarks/results/quantisation-<machine>.json`.
"""

import argparse
import gc
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import random_llama
from benchmarks.engine import RESULTS, machine, machine_name
from benchmarks.random_llama import SHAPES, STARTER

WAYS = {
    "float32": ("float32", False),
    "bfloat16": ("bfloat16", False),
    "int8, float32": ("float32", True),
    "int8, bfloat16": ("bfloat16", True),
}


def main() -> None:
    args = parse_arguments()
    if args.one:
        print(json.dumps(measure_one(args)))
        return
    report: dict[str, Any] = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
    }
    if "quality" in args.what:
        report["quality"] = {name: quality(int8=name != "float32") for name in ("float32", "int8")}
    if "speed" in args.what:
        report["speed"] = [row for shape in args.shapes for row in speed(shape, args)]
    text = json.dumps(report, indent=1)
    print(text)
    args.output.write_text(text + "\n")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--what", nargs="+", default=["quality", "speed"])
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES))
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--rounds", type=int, default=2, help="of each way; the best one counts")
    parser.add_argument("--one", choices=WAYS, help="measure this way of `--path` and print it")
    parser.add_argument("--path")
    parser.add_argument(
        "--output", type=Path, default=RESULTS / f"quantisation-{machine_name()}.json"
    )
    return parser.parse_args()


def quality(*, int8: bool) -> dict[str, Any]:
    from inference.engine.quantised import quantise
    from inference.training.evaluate import BATCH, held_out_documents, perplexities
    from inference.training.generation import ExportedModel
    from inference.training.probes import probes

    model = ExportedModel(STARTER)
    if int8:
        quantise(model.model)
    by_kind = perplexities(model, held_out_documents(400))
    right: dict[str, float] = {}
    for probe in probes(40):
        texts = [model.chat_prompt(("user", prompt.question)) for prompt in probe.prompts]
        answers = [
            answer
            for start in range(0, len(texts), BATCH)
            for answer in model.answer(texts[start : start + BATCH], probe.max_tokens)
        ]
        checked = [p.check(a.text) for p, a in zip(probe.prompts, answers, strict=True)]
        right[probe.name] = sum(checked) / len(checked)
    groups = ("all", "en", "zh")
    return {
        "perplexity": {group: round(by_kind[group], 5) for group in groups},
        "probes_right": round(sum(right.values()) / len(right), 4),
        "by_probe": right,
    }


def speed(shape: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="parlance-bench-") as folder:
        random_llama.make(SHAPES[shape], Path(folder))
        best: dict[str, dict[str, Any]] = {}
        for _ in range(args.rounds):
            for way in WAYS:
                row = in_a_process_of_its_own(way, folder, args)
                known = best.setdefault(way, row)
                for key, rate in row["decode_tokens_per_s"].items():
                    known["decode_tokens_per_s"][key] = max(known["decode_tokens_per_s"][key], rate)
    return [{"shape": shape, "weights": way, **row} for way, row in best.items()]


def in_a_process_of_its_own(way: str, path: str, args: argparse.Namespace) -> dict[str, Any]:
    numbers = [str(number) for number in args.concurrency]
    command = [sys.executable, __file__, "--one", way, "--path", path, "--concurrency", *numbers]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(path, way, row, file=sys.stderr, flush=True)
    return row


def measure_one(args: argparse.Namespace) -> dict[str, Any]:
    import torch

    from benchmarks.engine_smoke import measure
    from inference.engine import heap
    from inference.engine.build import EngineSizes, _choose_threads, assemble
    from inference.engine.fake_codec import FakeCodec
    from inference.engine.model import load_model

    dtype, int8 = WAYS[args.one]
    before = resident_mb()
    model = load_model(args.path, torch.device("cpu"), getattr(torch, dtype), int8=int8)
    torch.set_num_threads(_choose_threads(model))
    # The smallest cache: what is measured are the weights.
    sizes = EngineSizes(max_model_len=512, max_running=1, kv_blocks=32)
    served = assemble("", "", model, FakeCodec(), sizes)
    del model
    gc.collect()
    heap.give_back()
    memory = resident_mb() - before
    del served
    smoke = SimpleNamespace(length=512, prompt=100, tokens=64, temperature=0.0, top_p=1.0)
    rates, prefills = {}, {}
    for concurrency in args.concurrency:
        fresh = load_model(args.path, torch.device("cpu"), getattr(torch, dtype), int8=int8)
        found = measure(fresh, smoke, concurrency)  # type: ignore[arg-type]
        rates[concurrency] = found["decode_tokens_per_s"]
        prefills[concurrency] = found["prefill_tokens_per_s"]
    return {
        "memory_mb": round(memory),
        "decode_tokens_per_s": rates,
        "prefill_tokens_per_s": prefills,
    }


def resident_mb() -> float:
    """Memory of this process's own: pages of a mapped file are the system's to take back."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise OSError("This system does not say how much memory a process has.")


if __name__ == "__main__":
    main()
