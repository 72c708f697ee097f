"""The training loop: seeded batches, Muon and AdamW, checkpoints that resume to the same numbers.

Assumes that rows are packed (`packing.py`). Guarantees that a run which was stopped and resumed
takes the same steps as one that was not: the batch depends on the step alone, and the checkpoint
holds the optimisers.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor
from tqdm import tqdm

from inference.training.model import ModelShape, StarterModel
from inference.training.packing import PackedRows
from inference.training.schedule import Schedule

IGNORED = -100


@dataclass(frozen=True)
class LoopSettings:
    """`answers_only`: the loss counts what the model answers for, not the questions."""

    schedule: Schedule
    batch_rows: int = 8
    matrix_rate: float = 3e-3
    other_rate: float = 6e-3
    weight_decay: float = 0.1
    context: int = 2048
    clip_norm: float = 1.0
    answers_only: bool = False
    seed: int = 1
    device: str = "cpu"
    workers: int = 2
    compiled: bool = True
    checkpoint_every_s: float = 180.0


@dataclass
class Progress:
    """What has been done so far; saved with every checkpoint."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0


def train(
    model: StarterModel,
    rows: PackedRows,
    settings: LoopSettings,
    checkpoint: Path | None = None,
    on_step: Callable[[int, float], None] | None = None,
    stop_after: int | None = None,
) -> Progress:
    """Runs the schedule from the checkpoint's step, or from 0. `on_step` is given (step, loss).

    `stop_after` ends the run early after that many steps in all, with a checkpoint.
    """
    model.to(settings.device)
    optimisers = build_optimisers(model, settings)
    progress = Progress()
    if checkpoint is not None and checkpoint.exists():
        progress = load_checkpoint(checkpoint, model, optimisers)
    order = RowOrder(len(rows), settings.seed)
    last = min(settings.schedule.steps, stop_after or settings.schedule.steps)
    saved_at = time.monotonic()
    with (
        tqdm(total=settings.schedule.steps, initial=progress.step, unit="step") as bar,
        GradientWorkers(model, settings) as workers,
    ):
        for step in range(progress.step, last):
            began = time.monotonic()
            batch = batch_at(rows, order, step, settings)
            loss = workers.backward(batch)
            _update(model, optimisers, settings, settings.schedule.multiplier(step))
            if not math.isfinite(loss):
                raise FloatingPointError(f"The loss of step {step} is {loss}.")
            progress.step = step + 1
            progress.tokens += int((batch.segments > 0).sum())
            progress.seconds += time.monotonic() - began
            bar.update()
            bar.set_postfix(loss=f"{loss:.3f}", tok_s=f"{progress.tokens / progress.seconds:.0f}")
            if on_step is not None:
                on_step(step, loss)
            if checkpoint is not None and time.monotonic() - saved_at > settings.checkpoint_every_s:
                save_checkpoint(checkpoint, model, optimisers, progress)
                saved_at = time.monotonic()
    if checkpoint is not None:
        save_checkpoint(checkpoint, model, optimisers, progress)
    return progress


class RowOrder:
    """Which row is the n-th to be read: every epoch has an order of its own, given by the seed."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self._epoch = -1
        self._order = np.arange(0)

    def __getitem__(self, index: int) -> int:
        epoch, place = divmod(index, self.count)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng((self.seed, epoch)).permutation(self.count)
        return int(self._order[place])


@dataclass(frozen=True)
class Batch:
    """Each [rows, row_tokens]; targets are IGNORED where nothing is to be predicted."""

    tokens: Tensor
    targets: Tensor
    segments: Tensor
    positions: Tensor

    def part(self, number: int, parts: int) -> tuple[Tensor, ...]:
        chosen = slice(number, None, parts)
        return tuple(
            part[chosen] for part in (self.tokens, self.targets, self.segments, self.positions)
        )


def batch_at(rows: PackedRows, order: RowOrder, step: int, settings: LoopSettings) -> Batch:
    first = step * settings.batch_rows
    chosen = np.array([order[index] for index in range(first, first + settings.batch_rows)])
    tokens = torch.from_numpy(rows.tokens[chosen].astype(np.int64))
    segments = torch.from_numpy(rows.segments[chosen].astype(np.int64))
    answered = torch.from_numpy(rows.answered[chosen]) if settings.answers_only else None
    positions = stretched_positions(
        tokens.shape, settings.context, np.random.default_rng((settings.seed, step))
    )
    return Batch(tokens, next_token_targets(tokens, segments, answered), segments, positions)


def stretched_positions(
    shape: tuple[int, int] | torch.Size, context: int, rng: np.random.Generator
) -> Tensor:
    """Positions [rows, row_tokens] that jump ahead at a random place, up to the end of the context.

    So distances that no row holds are learnt as well (Zhu et al. 2023, PoSE). Half of the rows have
    no jump.
    """
    rows, length = shape
    places = np.arange(length)
    places = np.broadcast_to(places, (rows, length))
    cuts = rng.integers(0, length, (rows, 1))
    jumps = rng.integers(0, context - length + 1, (rows, 1)) * rng.integers(0, 2, (rows, 1))
    return torch.from_numpy(places + jumps * (places >= cuts))


def next_token_targets(tokens: Tensor, segments: Tensor, answered: Tensor | None) -> Tensor:
    """The token after each one; IGNORED at a document's end, in padding, where not answered for."""
    targets = torch.full_like(tokens, IGNORED)
    counts = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
    if answered is not None:
        counts &= answered[:, 1:]
    targets[:, :-1] = torch.where(counts, tokens[:, 1:], torch.tensor(IGNORED))
    return targets


def build_optimisers(model: StarterModel, settings: LoopSettings) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings and norms."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    others = [model.model.embed_tokens.weight, *(p for p in model.parameters() if p.ndim == 1)]
    muon = torch.optim.Muon(
        matrices,
        lr=settings.matrix_rate,
        weight_decay=settings.weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    adamw = torch.optim.AdamW(others, lr=settings.other_rate, betas=(0.9, 0.95), weight_decay=0.0)
    for optimiser in (muon, adamw):
        for group in optimiser.param_groups:
            group["base_rate"] = group["lr"]
    return [muon, adamw]


def save_checkpoint(
    path: Path, model: StarterModel, optimisers: list[torch.optim.Optimizer], progress: Progress
) -> None:
    """Written beside and renamed, so a crash leaves the previous one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "shape": asdict(model.shape),
        "model": model.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in optimisers],
        "progress": asdict(progress),
    }
    beside = path.with_suffix(".partial")
    torch.save(state, beside)
    beside.replace(path)


def load_checkpoint(
    path: Path, model: StarterModel, optimisers: list[torch.optim.Optimizer]
) -> Progress:
    state: dict[str, Any] = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    return Progress(**state["progress"])


def load_model(path: Path) -> StarterModel:
    """The checkpoint's model alone."""
    state: dict[str, Any] = torch.load(path, weights_only=True)
    model = StarterModel(ModelShape(**state["shape"]))
    model.load_state_dict(state["model"])
    return model


class GradientWorkers:
    """Gradients of a batch, its parts computed by threads of their own.

    Each thread uses one core and they meet once per step. On a machine that has other work to do,
    that is faster than splitting every operation: none waits for a core that is busy.
    """

    def __init__(self, model: StarterModel, settings: LoopSettings) -> None:
        self.model, self.settings = model, settings
        self._parameters = list(model.parameters())
        self._loss = torch.compile(self._summed_loss) if settings.compiled else self._summed_loss
        self._compiled = not settings.compiled
        self._pool = ThreadPoolExecutor(settings.workers, initializer=self._start_thread)

    def __enter__(self) -> "GradientWorkers":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def backward(self, batch: Batch) -> float:
        """Sets `.grad` of all parameters to those of the mean loss, which is returned."""
        count = int((batch.targets != IGNORED).sum())
        parts = [
            batch.part(number, self.settings.workers) for number in range(self.settings.workers)
        ]
        # The very first part compiles the loss, which must happen on one thread alone.
        first = [] if self._compiled else [self._part(parts[0])]
        results = first + list(self._pool.map(self._part, parts[len(first) :]))
        self._compiled = True
        for position, parameter in enumerate(self._parameters):
            parts_of_one = [gradients[position] for _, gradients in results]
            parameter.grad = torch.stack(parts_of_one).sum(0) / count
        return sum(loss for loss, _ in results) / count

    def _start_thread(self) -> None:
        if self.settings.workers > 1:
            torch.set_num_threads(1)

    def _part(self, part: tuple[Tensor, ...]) -> tuple[float, tuple[Tensor, ...]]:
        loss = self._loss(*(tensor.to(self.settings.device) for tensor in part))
        return float(loss.detach()), torch.autograd.grad(loss, self._parameters)

    def _summed_loss(
        self, tokens: Tensor, targets: Tensor, segments: Tensor, positions: Tensor
    ) -> Tensor:
        with torch.autocast(self.settings.device, torch.bfloat16):
            logits = self.model(tokens, segments, positions)
        return F.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )


def _update(
    model: StarterModel,
    optimisers: list[torch.optim.Optimizer],
    settings: LoopSettings,
    multiplier: float,
) -> None:
    torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["base_rate"] * multiplier
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
