"""One model on several devices: tensor parallelism through transformers' own plans.

The engine's process is rank 0: it alone schedules, samples and serves. It starts a process for each
other rank; every rank holds its part of the weights (transformers splits them while loading), its
share of the key-value heads in a cache of its own, and sees every step. Rank 0 sends what a step
needs down a pipe, then all ranks run the same pass; its sums between the ranks, and the gathering
of the logits, are collectives (NCCL on GPUs, gloo on CPUs) inside the model's layers.

There is no half of it: a rank that ends, or a pass that fails on one of them, ends the engine with
`DEVICE_LOST_STATUS`. A rank whose pipe closes ends by itself.
"""

import logging
import os
import pickle
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # as torch documents it
from transformers import PretrainedConfig
from transformers.distributed.configuration_utils import DistributedConfig

from inference.engine.batch import Batch, Ints, Layout
from inference.engine.cuda import set_precision
from inference.engine.kv_cache import KVCache
from inference.engine.model import HuggingFaceModel
from inference.engine.plan import DEVICE_LOST_STATUS, DeviceLostError
from inference.engine.support import check_complete, load_weights, supported_config
from inference.engine.transfers import to_device

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Part:
    """Which rank of how many, what it loads and how they meet."""

    rank: int
    size: int
    path: str
    dtype: torch.dtype
    threads: int | None
    port: int  # of this machine, where rank 0 keeps the store through which they meet


@dataclass(frozen=True, slots=True)
class MakeCache:
    """Tells a rank to allocate its part of the cache."""

    num_blocks: int
    block_size: int
    dtype: torch.dtype

    def run(self, rank: "_Rank") -> None:
        rank.cache = None  # one made to measure a step goes first
        rank.cache = rank.model.new_cache(self.num_blocks, self.block_size, self.dtype)


@dataclass(frozen=True, slots=True)
class Eager:
    """Tells a rank to take part in a pass with the model's own attention, over ids (T,)."""

    ids: list[int]

    def run(self, rank: "_Rank") -> None:
        rank.model.eager(self.ids)


@dataclass(frozen=True, slots=True)
class Step:
    """Tells a rank to take part in a pass over the cache."""

    layout: Layout
    ids: Ints  # (T,)
    wanted: Ints  # (N,) flat positions whose logits are needed

    def run(self, rank: "_Rank") -> None:
        assert rank.cache is not None
        rank.model.logits(self._batch(rank.model.device), rank.cache)

    def _batch(self, device: torch.device) -> Batch:
        def moved(numbers: Ints) -> Tensor:
            return to_device(numbers, torch.int64, device)

        return Batch(
            layout=self.layout,
            input_ids=moved(self.ids).unsqueeze(0),
            position_ids=moved(self.layout.positions).unsqueeze(0),
            slots=moved(self.layout.slots),
            logit_index=moved(self.wanted),
            sampling=(),
            sampling_index=(),
            prompt_ranges=(),
        )


Command = MakeCache | Eager | Step


class ParallelModel(HuggingFaceModel):
    """Rank 0's part of a model: every pass takes the others along."""

    def __init__(self, module: Any, pipes: list[Connection]) -> None:
        """Wrap rank 0's part; the other ranks listen at the far ends of `pipes`."""
        self._pipes = pipes
        super().__init__(module)
        self.num_ranks = len(pipes) + 1

    def new_cache(self, num_blocks: int, block_size: int, dtype: torch.dtype) -> KVCache:
        """Allocate the cache on every rank; return this one's part."""
        self._tell(MakeCache(num_blocks, block_size, dtype))
        return super().new_cache(num_blocks, block_size, dtype)

    def eager(self, ids: list[int]) -> Tensor:
        """Return the last logits (V,) of ids (T,) by the model's own attention."""
        return self._together(Eager(ids), lambda: super(ParallelModel, self).eager(ids))

    def logits(self, batch: Batch, cache: KVCache) -> Tensor:
        """Run a batch on every rank; return the logits (N, V) of the positions it wants."""
        ids, wanted = (
            np.asarray(tensor.cpu()) for tensor in (batch.input_ids[0], batch.logit_index)
        )
        step = Step(batch.layout, ids, wanted)
        return self._together(step, lambda: super(ParallelModel, self).logits(batch, cache))

    def _together(self, command: Command, run: Callable[[], Tensor]) -> Tensor:
        """Run a pass here and there. One that fails leaves the ranks apart: there is no other."""
        try:
            self._tell(command)
            return run()
        except Exception as error:
            raise DeviceLostError(f"a pass over {self.num_ranks} ranks failed: {error}") from error

    def _tell(self, command: Command) -> None:
        message = pickle.dumps(command)
        for pipe in self._pipes:
            pipe.send_bytes(message)


class _Rank:
    """What another rank holds."""

    def __init__(self, part: Part) -> None:
        store = TCPStore(LOOPBACK, part.port, part.size, False)
        self.model = HuggingFaceModel(_load_part(part, store))
        self.cache: KVCache | None = None


def load_parallel(
    path: str, dtype: torch.dtype, size: int, threads: int | None = None
) -> ParallelModel:
    """Load a model in `size` parts, the first here and each other one in a process of its own.

    ValueError with the reason when it cannot be served so.
    """
    check_divides(supported_config(path), size)
    if torch.cuda.is_available() and torch.cuda.device_count() < size:
        raise ValueError(f"{size} ranks need {size} GPUs; {torch.cuda.device_count()} were found.")
    store = _open_store(size)
    parts = [Part(rank, size, path, dtype, threads, store.port) for rank in range(size)]
    pipes = _start_ranks(parts[1:])
    return ParallelModel(_load_part(parts[0], store), pipes)


def check_divides(config: PretrainedConfig, size: int) -> None:
    """Raise ValueError when a model's heads cannot be divided, or nobody said how to."""
    name = config.model_type
    if not getattr(config, "base_model_tp_plan", None):
        raise ValueError(f"transformers has no tensor-parallel plan for {name}.")
    heads = {"attention heads": config.num_attention_heads}
    heads["key-value heads"] = getattr(config, "num_key_value_heads", config.num_attention_heads)
    for kind, number in heads.items():
        if number % size:
            raise ValueError(f"The model has {number} {kind}, which {size} ranks cannot divide.")


def _open_store(size: int) -> Any:
    """Open the store through which the ranks meet, on a free port of this machine alone.

    Not a file: rank 0 at times never saw what another had written there (torch 2.13), and waited.
    """
    listener = socket.create_server((LOOPBACK, 0))
    port = listener.getsockname()[1]
    return TCPStore(
        LOOPBACK, port, size, True, wait_for_workers=False, master_listen_fd=listener.detach()
    )


def _start_ranks(parts: list[Part]) -> list[Connection]:
    context = get_context("spawn")
    pipes: list[Connection] = []
    ranks: list[BaseProcess] = []
    for part in parts:
        near, far = context.Pipe()
        rank = context.Process(target=run_rank, args=(part, far), daemon=True)
        rank.start()
        far.close()
        pipes.append(near)
        ranks.append(rank)
    threading.Thread(target=_end_with, args=(ranks,), name="ranks", daemon=True).start()
    return pipes


def _end_with(ranks: list[BaseProcess]) -> None:
    """End this process when a rank has ended: nothing else would notice while it is idle."""
    wait([rank.sentinel for rank in ranks])
    logger.critical("a rank has ended; so does the engine")
    os._exit(DEVICE_LOST_STATUS)


def _end_with_parent() -> None:
    """End this rank with the engine, even while it loads and waits for it: nobody else would."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(DEVICE_LOST_STATUS)


def run_rank(part: Part, pipe: Connection) -> None:
    """Be a rank other than the first: take part in everything until the pipe closes."""
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    rank = _Rank(part)
    while True:
        try:
            command: Command = pickle.loads(pipe.recv_bytes())  # noqa: S301  (rank 0 wrote it)
        except EOFError:
            os._exit(0)  # rank 0 has ended
        command.run(rank)


def _load_part(part: Part, store: Any) -> Any:
    """Meet the other ranks at the store, and load this one's part of the weights."""
    on_gpu = torch.cuda.is_available()
    if part.threads is not None:
        torch.set_num_threads(part.threads)
    if on_gpu:
        torch.cuda.set_device(part.rank)
        set_precision()
    os.environ["LOCAL_RANK"] = str(part.rank)  # where transformers reads which GPU is this one's
    distributed.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=store,
        rank=part.rank,
        world_size=part.size,
    )
    how = DistributedConfig(tp_size=part.size)
    module, missing = load_weights(part.path, dtype=part.dtype, distributed_config=how)
    if part.rank == 0:  # it says why; the ends of the others would only be in its way
        check_complete(missing)
    return module
