"""How near an engine on a GPU comes to what the GPU can do: `python benchmarks/gpu.py`.

Needs torch, transformers and this repository, a card of 80 GB, and under eight minutes. An 8B model
of the Llama-3 shape is made on the device from random numbers. First the device's own ceilings are
measured (a copy, a matrix product), then whether results are right, then decoding, prefill, the
gap between steps, and the same requests through transformers' own continuous batching.
`--tiny --device cpu` only shows that the script runs.
"""

import argparse
import copy
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
import transformers
from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig

from benchmarks.gpu_engine import NEXT, Engine

TARGETS = {  # name -> (at least or at most, bound)
    # Apart from a float32 CPU's; bfloat16 itself is, so as a multiple of transformers' own pass.
    "logits' error over transformers'": ("≤", 1.25),
    "the same of a row alone": ("≤", 1.25),
    "replayed steps apart from launched ones": ("≤", 0.01),
    "tokens the same with and without lookahead": ("≥", 1.0),
    "decode, batch 1, of copy bandwidth": ("≥", 0.85),
    "decode, batch 64, of copy bandwidth": ("≥", 0.70),
    "decode, batch 256, of copy bandwidth": ("≥", 0.70),
    "prefill, of matrix rate": ("≥", 0.55),
    "step gap at batch 64, of a step": ("≤", 0.05),
    "tokens/s over transformers'": ("≥", 1.5),
}


HEAD_START = 80  # tokens that the first of a batch may have before the last one's prompt is through


class Clock:
    """Seconds of what a device was asked for, once it is done."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


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


# What the device can do.


def copy_bandwidth(device: torch.device, size: int) -> float:
    """Return bytes read and written per second."""
    source = torch.empty(size, dtype=torch.uint8, device=device).random_()
    target, clock = torch.empty_like(source), Clock(device)
    for _ in range(3):
        target.copy_(source)
    began, repeats = clock.now(), 20
    for _ in range(repeats):
        target.copy_(source)
    return 2 * size * repeats / (clock.now() - began)


def matrix_rate(device: torch.device, side: int) -> float:
    """Return operations per second of a product of bfloat16 matrices of random numbers."""
    a, b = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    clock, repeats = Clock(device), 20
    for _ in range(3):
        a @ b
    began = clock.now()
    for _ in range(repeats):
        a @ b
    return 2 * side**3 * repeats / (clock.now() - began)


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
    gap = engine.gap()
    engine.end_all()
    moved = engine.weight_bytes + looked_back * engine.kv_bytes
    return {
        "step_ms": seconds * 1000,
        "tokens_per_s": batch / seconds,
        "bytes_per_s": moved / seconds,
        "gap": gap,
    }


def prefill(engine: Engine, count: int, context: int) -> float:
    """Return operations per second while `count` prompts are computed."""
    clock = Clock(engine.device)
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


def transformers_own(module: Any, requests: list[list[list[int]]], new_tokens: int) -> float:
    """Return the same of transformers' continuous batching; the first batch warms it up."""
    settings = GenerationConfig(max_new_tokens=new_tokens, do_sample=False)
    settings.eos_token_id = -1
    seconds = 0.0
    for batch in requests:
        began = time.perf_counter()
        answers = module.generate_batch(batch, generation_config=settings, persistent_manager=True)
        seconds = time.perf_counter() - began
        lengths = {len(answer.generated_tokens) for answer in answers.values()}
        if len(answers) != len(batch) or lengths != {new_tokens}:
            raise RuntimeError(f"{len(answers)} of {len(batch)} answers, of {lengths} tokens")
    module.destroy_cached_continuous_batching_manager()
    return len(requests[-1]) * new_tokens / seconds


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run everything; return names and numbers."""
    device, tiny = torch.device(args.device), args.tiny
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    rate = matrix_rate(device, 256 if tiny else 8192)  # first: it brings the clocks up
    bandwidth = copy_bandwidth(device, 1 << (24 if tiny else 32))
    rate = max(rate, matrix_rate(device, 256 if tiny else 8192))
    found: dict[str, Any] = {"copy_bytes_per_s": bandwidth, "matrix_flops": rate}
    ratios: dict[str, float | None] = dict(correctness(device, dtype))
    context, steps = (24, 4) if tiny else (1024, 48)
    num_requests, new_tokens = (3, 6) if tiny else (128, 128)
    module = make(shape(tiny=tiny), device, dtype)
    requests = [prompts(num_requests, context // 4, 512, seed) for seed in (3, 4)]
    try:
        found["transformers_tokens_per_s"] = transformers_own(module, requests, new_tokens)
    except Exception as error:  # a peer that does not run is a line of the table
        found["transformers_failed"] = f"{type(error).__name__}: {error}"
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    batches = (1, 2) if tiny else (1, 64, 256)
    engine = Engine(
        module,
        max_running=max(batches),
        max_model_len=context + steps + HEAD_START,
        budget=8192,
    )
    for batch in batches:
        timed = decode(engine, batch, context, steps)
        found[f"decode_{batch}"] = timed
        ratios[f"decode, batch {batch}, of copy bandwidth"] = timed["bytes_per_s"] / bandwidth
        if batch == 64:
            ratios["step gap at batch 64, of a step"] = timed["gap"]
    found["prefill_flops"] = prefill(engine, 4 if tiny else 64, context)
    ratios["prefill, of matrix rate"] = found["prefill_flops"] / rate
    found["tokens_per_s"] = ours(engine, requests[1], new_tokens)
    if "transformers_tokens_per_s" in found:
        theirs = found["transformers_tokens_per_s"]
        ratios["tokens/s over transformers'"] = found["tokens_per_s"] / theirs
    return {"ratios": ratios, "found": found, "decode_steps": engine.form}


def verdict(name: str, value: float | None) -> str:
    """Say whether a ratio meets its target; what was not measured misses it."""
    kind, bound = TARGETS[name]
    if value is None:
        return "missing"
    return "pass" if (value >= bound if kind == "≥" else value <= bound) else "MISS"


def table(ratios: dict[str, float | None]) -> str:
    """Return every target with what was measured, in Markdown."""
    lines = ["| | measured | target | |", "|---|---|---|---|"]
    for name, (kind, bound) in TARGETS.items():
        value = ratios.get(name)
        shown = "–" if value is None else f"{value:.3g}"
        lines.append(f"| {name} | {shown} | {kind} {bound:g} | {verdict(name, value)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table and the numbers behind it, write both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="only show that the script runs")
    parser.add_argument("--output", type=Path, help="default: results/gpu-<device>.json")
    args = parser.parse_args(arguments)
    on_cuda = args.device.startswith("cuda")
    name = torch.cuda.get_device_name(torch.device(args.device)) if on_cuda else "cpu"
    began = time.monotonic()
    result = {
        "device": name,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "tiny": args.tiny,
        **measure(args),
        "seconds": round(time.monotonic() - began),
    }
    print(table(result["ratios"]))
    print(json.dumps({key: value for key, value in result.items() if key != "ratios"}, indent=1))
    slug = name.lower().replace(" ", "-")
    output = args.output or Path(__file__).parent / "results" / f"gpu-{slug}.json"
    output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
