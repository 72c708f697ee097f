"""The training loop: seeded batches, Muon and AdamW, checkpoints that resume to the same numbers.

Assumes that rows are packed (`packing.py`). Guarantees that a run which was stopped and resumed takes the
same steps as one that was not: the batch depends on the step alone, and the checkpoint holds the
optimisers.
"""

import math
import time
from collections.abc import Callable, Iterator
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
    batch_rows: int = 12
    matrix_rate: float = 5e-3
    other_rate: float = 3e-3
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    answers_only: bool = False
    seed: int = 1
    device: str = "cpu"
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
    compute_loss = _loss_function(model, settings)
    last = min(settings.schedule.steps, stop_after or settings.schedule.steps)
    saved_at = time.monotonic()
    with tqdm(total=settings.schedule.steps, initial=progress.step, unit="step") as bar:
        for step in range(progress.step, last):
            began = time.monotonic()
            batch = batch_at(rows, step, settings)
            loss = _take_step(model, optimisers, compute_loss, batch, step, settings)
            progress.step = step + 1
            progress.tokens += int((batch[2] > 0).sum())
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


def batch_at(rows: PackedRows, step: int, settings: LoopSettings) -> tuple[Tensor, Tensor, Tensor]:
    """(tokens, targets, segments), each [batch_rows, row_tokens]; every epoch has its own order."""
    wanted = np.arange(step * settings.batch_rows, (step + 1) * settings.batch_rows)
    chosen = np.array(
        [_order(len(rows), settings.seed, int(i) // len(rows))[int(i) % len(rows)] for i in wanted]
    )
    tokens = torch.from_numpy(rows.tokens[chosen].astype(np.int64))
    segments = torch.from_numpy(rows.segments[chosen].astype(np.int64))
    counts = torch.from_numpy(rows.answered[chosen])
    return tokens, next_token_targets(tokens, segments, counts if settings.answers_only else None), segments


def next_token_targets(tokens: Tensor, segments: Tensor, answered: Tensor | None) -> Tensor:
    """The token after each one, or IGNORED at a document's end, in padding, and where it is not answered for."""
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


_ORDERS: dict[tuple[int, int, int], Any] = {}


def _order(count: int, seed: int, epoch: int) -> Any:
    key = (count, seed, epoch)
    if key not in _ORDERS:
        _ORDERS.clear()
        _ORDERS[key] = np.random.default_rng((seed, epoch)).permutation(count)
    return _ORDERS[key]


def _loss_function(model: StarterModel, settings: LoopSettings) -> Callable[..., Tensor]:
    def compute(tokens: Tensor, targets: Tensor, segments: Tensor) -> Tensor:
        with torch.autocast(settings.device, torch.bfloat16):
            logits = model(tokens, segments)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED)

    return torch.compile(compute) if settings.compiled else compute


def _take_step(
    model: StarterModel,
    optimisers: list[torch.optim.Optimizer],
    compute_loss: Callable[..., Tensor],
    batch: tuple[Tensor, Tensor, Tensor],
    step: int,
    settings: LoopSettings,
) -> float:
    multiplier = settings.schedule.multiplier(step)
    loss = compute_loss(*(part.to(settings.device) for part in batch))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["base_rate"] * multiplier
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise FloatingPointError(f"The loss of step {step} is {value}.")
    return value
