"""How fast an engine steps, without sockets: `python benchmarks/engine_smoke.py [--path DIR]`.

Prints a line of JSON per number of concurrent sequences: decoded tokens per second, milliseconds
per step, and the rate of `transformers.generate` on the same prompt alone. Without `--path` a
random Llama of `--layers` × `--hidden` is measured.
"""

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from inference.engine.build import EngineSizes, assemble, physical_cores
from inference.engine.fake_codec import FakeCodec
from inference.engine.model import HuggingFaceModel
from tests.inference.engine.rig import Bench


def load(args: argparse.Namespace) -> Any:
    dtype = torch.float32 if args.device == "cpu" else torch.bfloat16
    if args.path:
        return AutoModelForCausalLM.from_pretrained(args.path, dtype=dtype).to(args.device)
    config = LlamaConfig(
        vocab_size=args.vocab,
        hidden_size=args.hidden,
        intermediate_size=args.hidden * 8 // 3,
        num_hidden_layers=args.layers,
        num_attention_heads=args.hidden // 64,
        max_position_embeddings=2048,
    )
    return AutoModelForCausalLM.from_config(config, dtype=dtype).to(args.device).eval()


def measure(model: HuggingFaceModel, args: argparse.Namespace, concurrency: int) -> dict[str, Any]:
    served = assemble("smoke", "", model, FakeCodec(), EngineSizes(max_model_len=args.length))
    bench = Bench(
        served.scheduler, served.runner, served.codec, served.vocab_size, clock=time.monotonic
    )
    prompt_length = args.prompt
    for n in range(concurrency):
        prompt = [(n * 7 + i) % 250 for i in range(prompt_length)]
        bench.submit(
            prompt,
            max_tokens=args.tokens,
            ignore_eos=True,
            temperature=args.temperature,
            top_p=args.top_p,
        )
    began = time.perf_counter()
    while not all(outcome.token_ids for outcome in bench.outcomes.values()):
        bench.loop.step()
        bench.num_steps += 1
    prefilled, steps = time.perf_counter(), bench.num_steps
    before = sum(len(outcome.token_ids) for outcome in bench.outcomes.values())
    while not bench.scheduler.idle:
        bench.loop.step()
        bench.num_steps += 1
    ended = time.perf_counter()
    tokens = sum(len(outcome.token_ids) for outcome in bench.outcomes.values()) - before
    return {
        "concurrency": concurrency,
        "prefill_tokens_per_s": round(concurrency * prompt_length / (prefilled - began)),
        "decode_tokens_per_s": round(tokens / (ended - prefilled), 1),
        "ms_per_step": round((ended - prefilled) / (bench.num_steps - steps) * 1000, 2),
    }


def measure_generate(module: Any, args: argparse.Namespace) -> float:
    module.set_attn_implementation("sdpa")
    ids = torch.arange(args.prompt, device=args.device).unsqueeze(0) % 250
    began = time.perf_counter()
    with torch.inference_mode():
        module.generate(
            ids,
            max_new_tokens=args.tokens,
            min_new_tokens=args.tokens,
            do_sample=False,
            pad_token_id=0,
        )
    return args.tokens / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--path")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--vocab", type=int, default=16384)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=physical_cores())
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    module = load(args)
    head = {
        "machine": platform.processor() or platform.machine(),
        "threads": args.threads,
        "parameters": sum(p.numel() for p in module.parameters()),
        "generate_tokens_per_s": round(measure_generate(module, args), 1),
    }
    print(json.dumps(head))
    model = HuggingFaceModel(module)
    for concurrency in args.concurrency:
        print(json.dumps(measure(model, args, concurrency)), flush=True)


if __name__ == "__main__":
    main()
