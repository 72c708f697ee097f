"""Decode steps as CUDA graphs.

A step in which every row runs one token is the same few hundred kernels every time, and launching
them one by one takes longer than small models take to run. So they are captured once for each of a
ladder of batch sizes, over inputs that stay in place; a step writes its inputs there and replays.

The rows beyond a step's own are padding. They attend to one token of the cache's spill block, which
is nobody's, and write to that same slot: blocks of sequences and block 0 are never touched.

One graph serves every length: attention reads as much of a row as the row's own length says, and
into how many parts it divides a row's keys depends on the number of rows alone. Where these are so
many that it hardly divides them, a step with a long text is launched kernel by kernel, and divides
that one: all would wait for it otherwise, for longer than the launches take.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference.engine.attention import kernel_context
from inference.engine.batch import Batch, Layout
from inference.engine.kv_cache import KVCache
from inference.engine.lean import LeanModel, Tokens
from inference.engine.spans import LONG, Spans, Tiles
from inference.engine.transfers import into

# Padding costs nothing while a step's time is that of reading the weights; later it does.
DOUBLING_UP_TO = 64
STEP = 32
LARGEST = 256
# Rows times key heads of a graph up to which a row's keys are divided among eight or more programs.
DIVIDED = 32

Replay = Callable[[], None]
Capture = Callable[[Callable[[], None]], Replay]


def ladder(most: int) -> list[int]:
    """Return the batch sizes to capture for up to `most` rows, ascending."""
    sizes = [1]
    while sizes[-1] < min(most, LARGEST):
        sizes.append(sizes[-1] * 2 if sizes[-1] < DOUBLING_UP_TO else sizes[-1] + STEP)
    return sizes


class CudaCapture:
    """Captures functions over one pool of memory; their graphs must not run at the same time."""

    def __init__(self) -> None:
        """Nothing captured yet."""
        self._pool: Any = None

    def __call__(self, run: Callable[[], None]) -> Replay:
        """Return what repeats all the kernels of `run`, reading and writing the same memory."""
        # Compiles kernels and makes handles: none of that can be captured. On the stream that
        # serves, since cuBLAS keeps 32 MiB for every stream that it ever ran on.
        run()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            run()
        self._pool = graph.pool()
        return graph.replay


class GraphedModel:
    """A lean model whose decode steps are replayed; its other steps run as ever."""

    def __init__(
        self, model: LeanModel, cache: KVCache, most: int, longest: int, capture: Capture
    ) -> None:
        """Capture steps of up to `most` rows of up to `longest` tokens over this cache."""
        self.vocab_size = model.vocab_size
        self._model = model
        self._cache = cache
        self._sizes = ladder(most)
        rows, width = self._sizes[-1], -(-longest // cache.block_size)
        device, self._kv_heads = cache.keys[0].device, cache.keys[0].shape[2]
        spill = cache.spill
        long, short = partial(_full, device, torch.int64), partial(_full, device, torch.int32)
        # A graph reads these; what is in them now is what padding rows have.
        self._ids, self._positions = long((rows,), 0), long((rows,), 0)
        self._slots = long((rows,), spill * cache.block_size)
        self._everyone = torch.arange(rows, device=device)
        self._tables, self._kv_lens = short((rows, width), spill), short((rows,), 1)
        self._ends = torch.arange(rows + 1, dtype=torch.int32, device=device)
        self._firsts = short((rows,), 0)
        self._logits = torch.zeros(
            rows, self.vocab_size, dtype=cache.dtype, device=device
        )  # of whichever graph ran last
        # The largest first: the others find room in its memory.
        self._replays = {size: capture(partial(self._run, size)) for size in self._sizes[::-1]}

    def _run(self, size: int) -> None:
        tokens = Tokens(
            self._ids[:size], self._positions[:size], self._slots[:size], self._everyone[:size]
        )
        spans = Spans(self._tables[:size], self._kv_lens[:size], self._ends[: size + 1])
        singles = Tiles(self._ends[:size], self._firsts[:size], tokens=1, wide=False)
        context = kernel_context(self._cache, tokens.slots, spans, lambda narrow, wide: [singles])
        self._logits[:size] = self._model.forward(tokens, self._cache, context)

    @torch.inference_mode()
    def logits(self, batch: Batch, cache: KVCache) -> Tensor:
        """Run a batch; return the logits (N, V) it wants, to be read before the next call."""
        rows = len(batch.layout.counts)
        decodes = batch.input_ids.shape[1] == len(batch.logit_index) == rows
        if not decodes or rows > self._sizes[-1] or cache is not self._cache:
            return self._model.logits(batch, cache)
        size = next(size for size in self._sizes if size >= rows)
        if size * self._kv_heads > DIVIDED and batch.layout.kv_lens.max() > LONG:
            return self._model.logits(batch, cache)
        self._ids[:rows].copy_(batch.input_ids[0])
        self._fill(batch.layout, size)
        self._replays[size]()
        return self._logits[:rows]

    def _fill(self, layout: Layout, size: int) -> None:
        rows, padding = len(layout.counts), size - len(layout.counts)
        spill, width = self._cache.spill, layout.block_tables.shape[1]
        lengths = np.pad(layout.kv_lens, (0, padding), constant_values=1)
        into(self._positions[:size], np.pad(layout.positions, (0, padding)))
        into(
            self._slots[:size],
            np.pad(layout.slots, (0, padding), constant_values=spill * layout.block_size),
        )
        into(self._kv_lens[:size], lengths)
        into(self._tables[:rows, :width], layout.block_tables)
        self._tables[rows:size, 0] = spill


def _full(device: torch.device, dtype: torch.dtype, shape: tuple[int, ...], value: int) -> Tensor:
    return torch.full(shape, value, dtype=dtype, device=device)
