"""What the GPU's kernels read and compute per second: `python benchmarks/kernels.py`.

Each alone, with the shapes of an 8B Llama-3 in bfloat16, captured in a graph over inputs that do
not fit the device's cache, beside PyTorch's way where there is one. Needs torch and this
repository, and takes about two minutes. For work on a kernel; `gpu.py` measures the engine.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from inference.engine.kernels import attention as kernels
from inference.engine.kernels.attention import TritonAttention
from inference.engine.kernels.draw import triton_draw
from inference.engine.kernels.layer import TritonOperations
from inference.engine.kernels.row import row_product
from inference.engine.kv_cache import KVCache, LayerShape
from inference.engine.quantised import rounded
from inference.engine.sampler import softmax_draw
from inference.engine.spans import Spans, deal

DEVICE, DTYPE = torch.device("cuda"), torch.bfloat16
HEADS, KV_HEADS, DIM = 32, 8, 128
WIDTH, VOCABULARY = 4096, 128_256
PRODUCTS = {  # name -> outputs, width, has a norm, is gated
    "queries, keys and values": (6144, WIDTH, True, False),
    "output": (WIDTH, WIDTH, False, False),
    "gate and up": (28_672, WIDTH, True, True),
    "down": (WIDTH, 14_336, False, False),
    "logits": (VOCABULARY, WIDTH, True, False),
}
COUNTS = 1, 64, 256  # rows of a decode step
CONTEXT = 1081
LONG_CONTEXT, CHUNK = 65_536, 256  # of one row among others; the least of a prompt beside them
PROMPTS = (8, 1024), (1, 8192)  # how many of how many tokens
CUTS = (64, 8, 3), (128, 8, 2), (64, 4, 2)  # keys, warps and stages: the engine's are 64, 8, 2
REPEATS = 20


def seconds(runs: Sequence[Callable[[], object]]) -> float:
    """Return the median time of one of these, replayed one after the other as a graph."""
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for run in runs[:2]:
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for run in runs:
            run()
    taken = []
    for _ in range(9):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        taken.append(begin.elapsed_time(end) / 1000 / len(runs))
    return sorted(taken)[len(taken) // 2]


def tell(name: str, took: float, amount: float, unit: str) -> None:
    """Print a line: how long it took, and how many 10¹² of `amount` `unit` a second that is."""
    print(f"{name:64} {took * 1e6:8.1f} µs  {amount / took / 1e12:7.2f} T{unit}/s", flush=True)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, device=DEVICE, dtype=DTYPE)


def ceilings() -> None:
    side = 2 * WIDTH
    a, b = random(side, side), random(side, side)
    tell(f"a product of {side} × {side}", seconds([lambda: a @ b] * 20), 2 * side**3, "FLOP")
    source = torch.empty(side * side * 32, dtype=torch.uint8, device=DEVICE).random_()
    target = torch.empty_like(source)
    tell("a copy", seconds([lambda: target.copy_(source)] * 5), 2 * source.numel(), "B")


def weights_of(name: str) -> list[Tensor]:
    """Make a product's weights as often as the device's cache cannot hold them."""
    outputs, width, _, _ = PRODUCTS[name]
    return [random(outputs, width) for _ in range(2 if outputs == VOCABULARY else 6)]


def rows() -> None:
    for name, (_, width, normed, gated) in PRODUCTS.items():
        weights = weights_of(name)
        x, norm = random(1, width), random(width)
        mapped = partial(
            row_product, x, x if normed else None, norm if normed else None, 1e-5, gated=gated
        )
        halves = [rounded(weight) for weight in weights]
        for whose, runs, size in (
            ("", [partial(mapped, weight, None) for weight in weights], 2),
            (", by cuBLAS", [partial(linear, x, weight) for weight in weights], 2),
            (", rounded", [partial(mapped, one, None, scales=scales) for one, scales in halves], 1),
        ):
            took = seconds([*runs, *runs])
            tell(f"a row's {name}{whose}", took, weights[0].numel() * size, "B")


def company(count: int) -> None:
    """What a step of `count` rows spends beside attention."""
    for name, (outputs, width, _, _) in PRODUCTS.items():
        x = random(count, width)
        took = seconds([partial(linear, x, weight) for weight in weights_of(name)])
        tell(f"{count} rows' {name}, by cuBLAS", took, 2 * count * outputs * width, "FLOP")
    steps, width = TritonOperations(), PRODUCTS["gate and up"][0]
    x, added, norm, both = *random(2, count, WIDTH), random(WIDTH), random(count, width)
    took = seconds([partial(steps.add_rms_norm, x, added, norm, 1e-5)] * 20)
    tell(f"{count} rows added and normalised", took, 4 * x.nbytes, "B")
    took = seconds([partial(steps.silu_product, both)] * 20)
    tell(f"{count} rows gated", took, 1.5 * both.nbytes, "B")
    qkv = random(count, (HEADS + 2 * KV_HEADS) * DIM)
    angles = torch.rand(CONTEXT, DIM // 2, device=DEVICE)
    places = torch.arange(count, device=DEVICE)
    cache = random(count, 1, KV_HEADS, DIM)
    stored = partial(
        steps.rotate_and_store, qkv, angles, angles, places % CONTEXT, places, None, 1e-5,
        cache, cache,
    )  # fmt: skip
    tell(f"{count} rows rotated and stored", seconds([stored] * 20), 2 * qkv.nbytes, "B")


def attention(
    counts: list[int], lengths: list[int], block: int, operations: bool, cut: str = ""
) -> None:
    layers, blocks = 2, [-(-length // block) for length in lengths]
    shapes = [LayerShape(KV_HEADS, DIM, DIM)] * layers
    cache = KVCache(shapes, sum(blocks), block, DTYPE, DEVICE)
    for tensor in (*cache.keys, *cache.values):
        tensor.normal_()
    tables = torch.zeros(len(counts), max(blocks), dtype=torch.int32, device=DEVICE)
    mixed = (torch.randperm(sum(blocks), device=DEVICE) + 1).int()
    for table, places in zip(tables, mixed.split(blocks), strict=True):
        table[: len(places)] = places
    ends = torch.tensor([0, *np.cumsum(counts)], dtype=torch.int32, device=DEVICE)
    spans = Spans(tables, torch.tensor(lengths, dtype=torch.int32, device=DEVICE), ends)
    query = random(sum(counts), HEADS, DIM)
    slots = torch.zeros(0, dtype=torch.int64, device=DEVICE)
    seen = sum(count * (2 * n - count + 1) / 2 for count, n in zip(counts, lengths, strict=True))
    name = f"{len(counts)} rows of {counts[0]} see {lengths[0]} tokens, blocks of {block}{cut}"
    results = []
    for whose, looked_at in (("", lengths), (", undivided", [0] * len(lengths))):
        dealer = partial(deal, np.array(counts), np.array(looked_at), DEVICE)
        context = TritonAttention(cache, slots, spans, dealer)
        results.append(context.attend(0, query, 0.1))
        took = seconds([partial(context.attend, layer, query, 0.1) for layer in range(layers)] * 3)
        if operations:
            tell(name + whose, took, 4 * HEADS * DIM * seen, "FLOP")
        else:
            tell(name + whose, took, sum(lengths) * KV_HEADS * DIM * 4, "B")
        if not any(tiles.long for tiles in dealer(1, 2)):
            break
    if len(results) > 1:
        one, other = (result.float() for result in results)
        print(f"{name}: both ways {float((one - other).norm() / other.norm()):.1g} apart")


def cuts() -> None:
    """Prompts, whose tiles are cut in other ways than the engine's."""
    chosen = kernels.shape_for
    for keys, warps, stages in CUTS:

        def cut(*about: Any, **other: int) -> kernels.Shape:
            return replace(chosen(*about), **other)

        kernels.shape_for = partial(cut, keys=keys, warps=warps, stages=stages)
        name = f", cut {keys}/{warps}/{stages}"
        for count, length in PROMPTS:
            attention([length] * count, [length] * count, 64, operations=True, cut=name)
    kernels.shape_for = chosen


def draws() -> None:
    """From the host's call on: these are never replayed."""
    for count in COUNTS:
        logits, points = random(count, VOCABULARY), np.random.default_rng(0).random(count)
        for name, draw in (("", triton_draw), (", by PyTorch's operators", softmax_draw)):
            draw(logits, [1.0] * count, points)
            torch.cuda.synchronize()
            began = time.perf_counter()
            for _ in range(REPEATS):
                draw(logits, [1.0] * count, points)
            torch.cuda.synchronize()
            took = (time.perf_counter() - began) / REPEATS
            tell(f"drawing for {count} rows{name}", took, logits.nbytes, "B")


def main() -> None:
    print(torch.cuda.get_device_name(DEVICE), torch.__version__)
    ceilings()
    rows()
    for count in COUNTS[1:]:
        company(count)
    for count in COUNTS:
        attention([1] * count, [CONTEXT] * count, 64, operations=False)
    for count in COUNTS[1:]:
        attention([1] * count, [CONTEXT] * count, 16, operations=False)
    for count in COUNTS[1:]:
        attention([1] * count, [LONG_CONTEXT] + [CONTEXT] * (count - 1), 64, operations=False)
    for count, length in PROMPTS:
        attention([length] * count, [length] * count, 64, operations=True)
    attention([CHUNK], [LONG_CONTEXT], 64, operations=True)
    cuts()
    draws()


if __name__ == "__main__":
    if not torch.cuda.is_available():
        sys.exit("No CUDA device was found.")
    main()
