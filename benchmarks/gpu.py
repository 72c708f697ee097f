"""How near an engine on a GPU comes to what the GPU can do: `python benchmarks/gpu.py`.

Needs torch, transformers and this repository, a card of 80 GB, and under eight minutes. An 8B model
of the Llama-3 shape is made on the device from random numbers. First the device's own ceilings are
measured (a copy, a matrix product), then whether results are right, then decoding, prefill, the
gap between steps, and the same requests through transformers' own continuous batching. What was
found is written down after each of these parts, and one that fails does not keep the others from
running. `--tiny --device cpu` only shows that the script runs.
"""

import argparse
import copy
import gc
import importlib
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    ContinuousBatchingConfig,
    GenerationConfig,
    LlamaConfig,
)

from benchmarks.gpu_ceilings import Clock, ceilings
from benchmarks.gpu_engine import NEXT, Engine
from benchmarks.gpu_report import Report

NEEDED_BYTES = 70 << 30  # 16 GB of weights, 41 of keys and values, and what steps allocate
LATE_HELP = "start each kernel when the one before it has ended: what early starts bring, or break"
LIMIT_HELP = "begin no part after so long (default: 440, to end within eight minutes)"
HEAD_START = 80  # tokens that the first of a batch may have before the last one's prompt is through


def shape(*, tiny: bool) -> LlamaConfig:
    """Llama-3's 8B, or the same in small."""
    sizes: dict[str, Any] = {
        "vocab_size": 512 if tiny else 128_256,
        "hidden_size": 64 if tiny else 4096,
        "intermediate_size": 128 if tiny else 14_336,
        "num_hidden_layers": 2 if tiny else 32,
        "num_attention_heads": 4 if tiny else 32,
        "num_key_value_heads": 2 if tiny else 8,
    }
    return LlamaConfig(
        **sizes, max_position_embeddings=8192, rope_theta=500_000.0, eos_token_id=None
    )


def make(config: LlamaConfig, device: torch.device, dtype: torch.dtype) -> Any:
    """Make a model of random weights where it will run."""
    torch.manual_seed(0)
    with device:
        # A copy: a model's configuration says how it attends.
        return AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=dtype).eval()


def prompts(count: int, length: int, vocab_size: int, seed: int) -> list[list[int]]:
    """Make prompts that share nothing, so that no prefix cache helps."""
    generator = torch.Generator().manual_seed(seed)
    ids: list[list[int]] = torch.randint(vocab_size, (count, length), generator=generator).tolist()
    return ids


# Whether it is right.


def correctness(device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """Compare a small model on the device with the same weights in float32 on the CPU."""
    config = shape(tiny=True)
    config.hidden_size, config.intermediate_size, config.vocab_size = 512, 1024, 1024
    config.head_dim, config.initializer_range = 128, 0.1
    reference = make(config, torch.device("cpu"), torch.float32)
    module = make(config, device, dtype)
    module.load_state_dict(reference.state_dict())
    reference.load_state_dict({name: v.cpu() for name, v in module.state_dict().items()})
    batch = prompts(3, 100, config.vocab_size, seed=1)
    ids = torch.tensor([[*batch[0], NEXT]])
    with torch.inference_mode():
        exact = reference(ids).logits[0, -2:]
        error = max(apart(module(ids.to(device)).logits[0, -2:], exact), 1e-5)
    engine = Engine(module, max_running=4, max_model_len=512, budget=512)
    chunk, launched, replayed = engine.compare_forms(batch)
    _, _, alone = engine.compare_forms(batch[:1])  # has kernels of its own
    found = {
        "logits' error over transformers'": apart(chunk, exact[0]) / error,
        "the same of a row alone": apart(alone[0], exact[1]) / error,
        "replayed steps apart from launched ones": apart(replayed, launched),
    }
    said = [engine.generate(batch, 40, ahead=ahead) for ahead in (False, True)]
    equal = [a == b for a, b in zip(*said, strict=True)]
    return {**found, "tokens the same with and without lookahead": sum(equal) / len(equal)}


def apart(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Return ‖ours − theirs‖ / ‖theirs‖; NaN never passes a comparison."""
    ours, theirs = ours.double().cpu(), theirs.double().cpu()
    return float((ours - theirs).norm() / theirs.norm())


# How fast it is.


def decode(engine: Engine, batch: int, context: int, steps: int) -> dict[str, Any]:
    """Time steps of `batch` rows that look back on about `context` tokens."""
    clock = Clock(engine.device)
    engine.begin()
    for prompt in prompts(batch, context, engine.vocab_size, seed=batch):
        engine.submit(prompt, max_tokens=steps + HEAD_START)
    while not all(sequence.num_generated >= 4 for sequence in engine.sequences()):
        engine.step()
    looked_back = sum(len(one.tokens) for one in engine.sequences()) + batch * steps / 2
    engine.forget_timings()
    began = clock.now()
    for _ in range(steps):
        engine.step()
    seconds = (clock.now() - began) / steps
    if len(engine.sequences()) != batch:
        raise RuntimeError("a sequence ended while its steps were timed")
    moved = engine.weight_bytes + looked_back * engine.kv_bytes
    return {
        "step_ms": seconds * 1000,
        "tokens_per_s": batch / seconds,
        "bytes_per_s": moved / seconds,
        "gap": engine.gap(),
    }


def prefill(engine: Engine, count: int, context: int) -> float:
    """Return operations per second while `count` prompts are computed."""
    clock = Clock(engine.device)
    engine.begin()
    for prompt in prompts(count, context, engine.vocab_size, seed=7):
        engine.submit(prompt, max_tokens=1)
    began = clock.now()
    engine.run()
    return count * engine.prompt_operations(context) / (clock.now() - began)


def ours(engine: Engine, requests: list[list[int]], new_tokens: int) -> float:
    """Return output tokens per second of a batch of requests."""
    clock = Clock(engine.device)
    engine.generate(prompts(8, 16, engine.vocab_size, seed=9), 4)  # kernels are compiled
    began = clock.now()
    engine.generate(requests, new_tokens)
    return len(requests) * new_tokens / (clock.now() - began)


def transformers_own(
    module: Any,
    requests: list[list[list[int]]],
    new_tokens: int,
    config: ContinuousBatchingConfig | None,
) -> float:
    """Return the same of transformers' continuous batching; the first batch warms it up."""
    settings = GenerationConfig(max_new_tokens=new_tokens, do_sample=False)
    settings.eos_token_id = -1
    for batch in requests:
        began = time.perf_counter()
        answers = module.generate_batch(
            batch,
            generation_config=settings,
            continuous_batching_config=config,
            persistent_manager=True,
            record_timestamps=True,
        )
        lengths = {len(answer.generated_tokens) for answer in answers.values()}
        if len(answers) != len(batch) or lengths != {new_tokens}:
            raise RuntimeError(f"{len(answers)} of {len(batch)} answers, of {lengths} tokens")
        # To the last token: stopping its thread and tidying up come after that.
        seconds = max(answer.timestamps[-1] for answer in answers.values()) - began
    return len(requests[-1]) * new_tokens / seconds


def peer(
    module: Any, requests: list[list[list[int]]], new_tokens: int, limit_s: float
) -> dict[str, Any]:
    """Measure transformers, which has a thread of its own and may not come back from it.

    With its defaults; where these, which take nine tenths of the memory, do not run, with half.
    """
    module.set_attn_implementation("sdpa")  # what it is loaded with
    found: list[dict[str, Any] | Exception] = []

    def run() -> None:
        if module.device.type == "cuda":
            torch.cuda.set_device(module.device)  # which every thread has of its own
        for share in (None, 0.5):
            config = ContinuousBatchingConfig(max_memory_percent=share) if share else None
            try:
                rate = transformers_own(module, requests, new_tokens, config)
                found[:] = [{"transformers_tokens_per_s": rate, "transformers_memory": share}]
                return
            except Exception as error:
                if share is None:  # kept, it would keep what this try took of the memory
                    traceback.print_exc()
                else:
                    found[:] = [error]
            finally:
                module.destroy_cached_continuous_batching_manager()
                release(module.device)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {limit_s:.0f} s")
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def measure(report: Report, device: torch.device, *, tiny: bool) -> None:
    """Run everything."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    context, steps = (24, 4) if tiny else (1024, 48)
    count, new_tokens = (3, 6) if tiny else (128, 128)
    requests = [prompts(count, context // 4, 512, seed) for seed in (3, 4)]
    report.part("ceilings", partial(ceilings, device, tiny=tiny))
    report.part("correctness", lambda: {"correctness": correctness(device, dtype)})
    made: list[Any] = []

    def make_module() -> dict[str, Any]:
        made.append(make(shape(tiny=tiny), device, dtype))
        return {"parameters": sum(weight.numel() for weight in made[0].parameters())}

    report.part("model", make_module)
    if not made:
        return
    measure_engine(report, made[0], context, steps, requests[1], new_tokens, tiny=tiny)
    release(device)
    # Last: it takes the rest of the memory, and whatever it does costs nothing else.
    limit_s = max(report.left_s, 1.0)
    report.part("transformers", partial(peer, made[0], requests, new_tokens, limit_s))


def measure_engine(
    report: Report,
    module: Any,
    context: int,
    steps: int,
    requests: list[list[int]],
    new_tokens: int,
    *,
    tiny: bool,
) -> None:
    """Measure ours."""
    batches = (1, 2) if tiny else (1, 64, 256)
    longest = context + steps + HEAD_START
    made: list[Engine] = []

    def start() -> dict[str, Any]:
        made.append(Engine(module, max_running=max(batches), max_model_len=longest, budget=8192))
        return {"decode_steps": made[0].form}

    report.part("engine", start)
    if not made:
        return
    engine = made[0]
    for batch in batches:
        timed = partial(decode, engine, batch, context, steps)
        report.part(f"decode {batch}", partial(named, f"decode_{batch}", timed))
    prefilled = partial(prefill, engine, 4 if tiny else 64, context)
    report.part("prefill", partial(named, "prefill_flops", prefilled))
    served = partial(ours, engine, requests, new_tokens)
    report.part("requests", partial(named, "tokens_per_s", served))


def named(name: str, run: Callable[[], Any]) -> dict[str, Any]:
    """Give what a part finds its name."""
    return {name: run()}


def release(device: torch.device) -> None:
    """Give back the memory of what nobody holds any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table and the numbers behind it, write both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, …, or cpu with --tiny")
    parser.add_argument("--tiny", action="store_true", help="only show that the script runs")
    parser.add_argument("--late", action="store_true", help=LATE_HELP)
    parser.add_argument("--limit", type=float, default=440.0, metavar="SECONDS", help=LIMIT_HELP)
    parser.add_argument("--output", type=Path, help="default: results/gpu-<device>.json")
    args = parser.parse_args(arguments)
    device = check(parser, args)
    logging.basicConfig(format="%(name)s: %(message)s")
    logging.getLogger("inference").setLevel(logging.INFO)  # which form runs, and why no other
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    slug, output = name.lower().replace(" ", "-"), args.output
    if output is None and not args.tiny:
        output = Path(__file__).parent / "results" / f"gpu-{slug}.json"
    about = {
        "device": name,
        "torch": torch.__version__,
        "triton": installed("triton"),
        "transformers": transformers.__version__,
        "tiny": args.tiny,
        "late": args.late,
    }
    report = Report(about, output, args.limit)
    measure(report, device, tiny=args.tiny)
    report.show()
    sys.stdout.flush()
    if "TimeoutError" in report.failed.get("transformers", ""):
        os._exit(0)  # its thread would keep the process for as long as it likes


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> torch.device:
    """Refuse what cannot be measured before anything is."""
    try:
        device = torch.device(args.device)
    except RuntimeError:
        parser.error(f"--device {args.device}: there is no such device.")
    if args.limit <= 0:
        parser.error("--limit must be more than 0.")
    if args.output is not None and not args.output.absolute().parent.is_dir():
        parser.error(f"--output: there is no folder {args.output.absolute().parent}.")
    if device.type != "cuda":
        if not args.tiny:
            parser.error(f"--device {args.device} takes --tiny only: the whole needs a GPU.")
        return device
    if not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count():
        parser.error(f"--device {args.device}: there is no such GPU; see --tiny --device cpu.")
    torch.cuda.set_device(device)  # where kernels are launched
    if args.late:
        start_late()
    free = torch.cuda.mem_get_info(device)[0]
    if not args.tiny and free < NEEDED_BYTES:
        parser.error(f"{NEEDED_BYTES >> 30} GiB of the GPU must be free; {free >> 30} are.")
    return device


def start_late() -> None:
    """Start no kernel before the one before it has ended."""
    launch = importlib.import_module("inference.engine.kernels.launch")  # which needs Triton
    launch.can_start_early = lambda device: False  # type: ignore[attr-defined]


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
