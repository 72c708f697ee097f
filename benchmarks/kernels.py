"""What the GPU's kernels read and compute per second: `python benchmarks/kernels.py`.

Each alone, with the shapes of an 8B Llama-3 in bfloat16, captured in a graph over inputs that do
not fit the device's cache, beside PyTorch's way where there is one. Needs torch and this
repository, and takes about a minute. For work on a kernel; `gpu.py` measures the engine.
"""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from inference.engine.kernels.attention import TritonAttention
from inference.engine.kernels.draw import triton_draw
from inference.engine.kernels.row import row_product
from inference.engine.kv_cache import KVCache, LayerShape
from inference.engine.sampler import softmax_draw
from inference.engine.spans import Spans, deal

DEVICE = torch.device("cuda")
HEADS, KV_HEADS, DIM = 32, 8, 128
WIDTH, VOCABULARY = 4096, 128_256
PRODUCTS = {  # name -> outputs, width, has a norm, is gated
    "queries, keys and values": (6144, WIDTH, True, False),
    "output": (WIDTH, WIDTH, False, False),
    "gate and up": (28_672, WIDTH, True, True),
    "down": (WIDTH, 14_336, False, False),
    "logits": (VOCABULARY, WIDTH, True, False),
}


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
    print(f"{name:58} {took * 1e6:8.1f} µs  {amount / took / 1e12:7.2f} T{unit}/s", flush=True)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, device=DEVICE, dtype=torch.bfloat16)


def ceilings() -> None:
    side = 8192
    a, b = random(side, side), random(side, side)
    tell("a product of 8192 × 8192", seconds([lambda: a @ b] * 20), 2 * side**3, "FLOP")
    source = torch.empty(1 << 31, dtype=torch.uint8, device=DEVICE).random_()
    target = torch.empty_like(source)
    tell("a copy", seconds([lambda: target.copy_(source)] * 5), 2 * source.numel(), "B")


def rows() -> None:
    for name, (outputs, width, normed, gated) in PRODUCTS.items():
        weights = [random(outputs, width) for _ in range(2 if outputs == VOCABULARY else 6)]
        x, norm = random(1, width), random(width)
        ours = [
            partial(
                row_product, x, x if normed else None, norm if normed else None, 1e-5, weight,
                None, gated=gated,
            )
            for weight in weights
        ]  # fmt: skip
        theirs = [partial(linear, x, weight) for weight in weights]
        for whose, runs in (("", ours), (", by cuBLAS", theirs)):
            tell(f"a row's {name}{whose}", seconds(runs * 2), weights[0].nbytes, "B")


def attention(counts: list[int], lengths: list[int], block: int, operations: bool) -> None:
    layers, most = 2, -(-max(lengths) // block)
    shapes = [LayerShape(KV_HEADS, DIM, DIM)] * layers
    cache = KVCache(shapes, len(counts) * most, block, torch.bfloat16, DEVICE)
    for tensor in (*cache.keys, *cache.values):
        tensor.normal_()
    tables = (torch.randperm(len(counts) * most, device=DEVICE) + 1).int().view(len(counts), most)
    ends = torch.tensor([0, *np.cumsum(counts)], dtype=torch.int32, device=DEVICE)
    spans = Spans(tables, torch.tensor(lengths, dtype=torch.int32, device=DEVICE), ends)
    query = random(sum(counts), HEADS, DIM)
    slots = torch.zeros(0, dtype=torch.int64, device=DEVICE)
    dealt: dict[tuple[int, int], object] = {}

    def once(narrow: int, wide: int) -> object:  # a graph cannot wait for the host
        return dealt.setdefault((narrow, wide), deal(np.array(counts), DEVICE, narrow, wide))

    context = TritonAttention(cache, slots, spans, once)  # type: ignore[arg-type]
    context.attend(0, query, 0.1)
    took = seconds([partial(context.attend, layer, query, 0.1) for layer in range(layers)] * 3)
    name = f"{len(counts)} rows of {counts[0]} see {lengths[0]} tokens, blocks of {block}"
    seen = sum(count * (2 * n - count + 1) / 2 for count, n in zip(counts, lengths, strict=True))
    if operations:
        tell(name, took, 4 * HEADS * DIM * seen, "FLOP")
    else:
        tell(name, took, sum(lengths) * KV_HEADS * DIM * 4, "B")


def draws() -> None:
    """From the host's call on: these are never replayed."""
    for count in (1, 64, 256):
        logits, points = random(count, VOCABULARY), np.random.default_rng(0).random(count)
        for name, draw in (("", triton_draw), (", by PyTorch's operators", softmax_draw)):
            draw(logits, [1.0] * count, points)
            torch.cuda.synchronize()
            began, repeats = time.perf_counter(), 20
            for _ in range(repeats):
                draw(logits, [1.0] * count, points)
            torch.cuda.synchronize()
            took = (time.perf_counter() - began) / repeats
            tell(f"drawing for {count} rows{name}", took, logits.nbytes, "B")


def main() -> None:
    print(torch.cuda.get_device_name(DEVICE), torch.__version__)
    ceilings()
    rows()
    for count in (1, 64, 256):
        attention([1] * count, [1081] * count, 64, operations=False)
    for count in (64, 256):
        attention([1] * count, [1081] * count, 16, operations=False)
    attention([1024] * 8, [1024] * 8, 64, operations=True)
    attention([8192], [8192], 64, operations=True)
    draws()


if __name__ == "__main__":
    main()
