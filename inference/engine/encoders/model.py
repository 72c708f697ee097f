"""Encoders as PyTorch models: padded batches in; vectors, or the likeliest tokens of masks, out.

What a row is answered does not depend on what else is in its batch, up to the last bits; a loaded
model has to show that before it serves (`verify`).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel, AutoModelForMaskedLM

from inference.engine.encoders.batches import cut
from inference.engine.encoders.checkpoint import EncoderFacts
from inference.engine.encoders.jobs import Answer, MaskFill, Row
from inference.engine.runner import guard
from inference.engine.support import check_complete, check_sizes

# How far a row's numbers may be apart alone and in company, of their own spread.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 5e-2, torch.bfloat16: 2e-1}
MOST_ROWS = 256
MOST_ROWS_WITH_MASKS = 32  # each mask has a number for every token of the vocabulary


class TorchEncoder(ABC):
    """A loaded module of transformers, run on padded batches."""

    most_rows = MOST_ROWS

    def __init__(self, module: Any, max_model_len: int) -> None:
        """Serve rows of up to `max_model_len` tokens."""
        self.module = module.eval()
        self.config = module.config
        self.device: torch.device = module.device
        self.dtype: torch.dtype = module.dtype
        self.vocab_size: int = module.config.vocab_size
        self.num_parameters = sum(p.numel() for p in module.parameters())
        self._max_model_len = max_model_len
        self._padding = module.config.pad_token_id or 0

    @torch.inference_mode()
    def run(self, rows: Sequence[Row]) -> list[Answer]:
        """Answer rows, in batches of similar length; None where the numbers are not finite."""
        answers: list[Answer] = [None] * len(rows)
        with guard(self.device):
            for batch in cut([len(row.token_ids) for row in rows], self.most_rows):
                chosen = [rows[index] for index in batch]
                for index, answer in zip(batch, self._answer(chosen), strict=True):
                    answers[index] = answer
        return answers

    @abstractmethod
    def _answer(self, rows: list[Row]) -> list[Answer]:
        """Run one batch."""

    @abstractmethod
    def _numbers(self, rows: list[Row]) -> Tensor:
        """Return (N, …) float32: what the answers are made of."""

    def _pad(self, rows: list[Row]) -> tuple[Tensor, Tensor]:
        """Return ids and attention mask, int64 (B, T) each, padded at the end."""
        longest = max(len(row.token_ids) for row in rows)
        ids = torch.full((len(rows), longest), self._padding)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(row.token_ids)] = torch.tensor(row.token_ids)
            mask[place, : len(row.token_ids)] = 1
        return ids.to(self.device), mask.to(self.device)

    @torch.inference_mode()
    def verify(self, other_id: int) -> None:
        """Raise ValueError unless a row's numbers are its own, and the longest row runs.

        `other_id` stands in the rows that are tried: a masked language model's mask.
        """
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randint(0, self.vocab_size, (self._max_model_len,), generator=generator)
        longest = Row((other_id, *drawn.tolist()[1:]))
        short = Row(longest.token_ids[: max(1, min(5, self._max_model_len // 2))])
        alone = self._numbers([short])
        try:
            beside = self._numbers([short, longest])[: len(alone)]
        except (IndexError, RuntimeError) as error:
            raise ValueError(
                f"{self.config.model_type} cannot run {self._max_model_len} tokens: {error}"
            ) from error
        apart = (alone - beside).abs().max()
        if not apart <= TOLERANCE[self.dtype] * (alone.std() + 1e-6):
            raise ValueError(
                f"{self.config.model_type} cannot be served: what it makes of a text depends on "
                f"what runs beside it ({apart:.3g} apart)."
            )


class EmbeddingModel(TorchEncoder):
    """Text to one vector."""

    def __init__(self, module: Any, facts: EncoderFacts) -> None:
        """Pool and normalise as `facts` say."""
        super().__init__(module, facts.max_model_len)
        self._facts = facts
        self.dimensions: int = module.config.hidden_size

    def _answer(self, rows: list[Row]) -> list[Answer]:
        vectors = self._numbers(rows)  # (B, H)
        finite = vectors.isfinite().all(dim=1).tolist()
        table = vectors.cpu().numpy().astype(np.float32, copy=False)
        return [table[place] if good else None for place, good in enumerate(finite)]

    def _numbers(self, rows: list[Row]) -> Tensor:
        ids, mask = self._pad(rows)
        hidden = self.module(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, T, H)
        if self._facts.pooling == "cls":
            vectors = hidden[:, 0].float()
        else:
            weights = mask.unsqueeze(-1).float()  # (B, T, 1)
            vectors = (hidden.float() * weights).sum(1) / weights.sum(1)
        return functional.normalize(vectors, dim=1) if self._facts.normalised else vectors


class MaskedLanguageModel(TorchEncoder):
    """Text with masks to the likeliest tokens of each."""

    most_rows = MOST_ROWS_WITH_MASKS

    def __init__(self, module: Any, facts: EncoderFacts, mask_token_id: int) -> None:
        """Look at the positions of `mask_token_id`."""
        super().__init__(module, facts.max_model_len)
        self._mask_token_id = mask_token_id
        self._places: tuple[Tensor, Tensor] | None = None  # rows, positions: (N,) each
        if module.base_model is module:
            raise ValueError(f"{self.config.model_type} has no body apart from its head.")
        module.base_model.register_forward_hook(self._keep_masks)

    def _keep_masks(self, _module: Any, _inputs: Any, output: Any) -> Any:
        """Let the head see the masked positions alone: its numbers for all would not fit."""
        if self._places is not None:
            output.last_hidden_state = output[0][self._places].unsqueeze(0)  # (1, N, H)
        return output

    def _numbers(self, rows: list[Row]) -> Tensor:
        """Return (N, V) logits of every mask, row after row."""
        ids, mask = self._pad(rows)
        found = (ids == self._mask_token_id) & (mask == 1)
        self._places = tuple(found.nonzero(as_tuple=True))  # type: ignore[assignment]
        logits: Tensor = self.module(input_ids=ids, attention_mask=mask).logits[0]
        return logits.float()

    def _answer(self, rows: list[Row]) -> list[Answer]:
        positions = [_positions(row, self._mask_token_id) for row in rows]
        if not any(positions):
            return [()] * len(rows)
        probabilities = self._numbers(rows).softmax(dim=1).cpu()  # (N, V)
        answers: list[Answer] = []
        start = 0
        for row, places in zip(rows, positions, strict=True):
            part = probabilities[start : start + len(places)]
            start += len(places)
            fills = tuple(MaskFill(p, _best(part[n], row)) for n, p in enumerate(places))
            answers.append(fills if bool(part.isfinite().all()) else None)
        return answers


def _positions(row: Row, token_id: int) -> list[int]:
    return [position for position, found in enumerate(row.token_ids) if found == token_id]


def _best(probabilities: Tensor, row: Row) -> tuple[tuple[int, float], ...]:
    """Return the likeliest (id, probability) of one mask's (V,), among the row's targets if any."""
    targets = torch.tensor(row.target_ids, dtype=torch.int64)
    chosen = probabilities[targets] if row.target_ids else probabilities
    values, places = chosen.topk(min(row.top_k, len(chosen)))
    ids = targets[places] if row.target_ids else places
    return tuple(zip(ids.tolist(), values.tolist(), strict=True))


def load_embedding_model(
    path: str, facts: EncoderFacts, device: torch.device, dtype: torch.dtype
) -> EmbeddingModel:
    """Load a checkpoint; ValueError when a part of it is missing."""
    return EmbeddingModel(_load(AutoModel, path, device, dtype), facts)


def load_masked_model(
    path: str, facts: EncoderFacts, mask_token_id: int, device: torch.device, dtype: torch.dtype
) -> MaskedLanguageModel:
    """Load a checkpoint; ValueError when a part of it is missing."""
    module = _load(AutoModelForMaskedLM, path, device, dtype)
    return MaskedLanguageModel(module, facts, mask_token_id)


def _load(auto: Any, path: str, device: torch.device, dtype: torch.dtype) -> Any:
    options = {"output_loading_info": True, "ignore_mismatched_sizes": True}
    module, told = auto.from_pretrained(path, dtype=dtype, **options)
    check_sizes(told["mismatched_keys"])
    # What only pools for classifiers is not used here, and often left out.
    check_complete(key for key in told["missing_keys"] if not key.startswith("pooler."))
    return module.to(device)
