"""From logits to tokens, each row by its own parameters.

The order, for every row: repetition penalty (Keskar et al. 2019), presence and frequency penalties,
logit bias, suppression of end tokens below `min_tokens`; then the likeliest token if the
temperature is 0, else temperature, top-k, top-p, min-p, and one draw by inverting the cumulative
distribution at a uniform number of (seed, position). Log-probabilities are taken from the logits as
the model gave them. Work is done only for the rows that ask for it, and for all of those at once.
"""

import torch
from torch import Tensor

from inference.engine.noise import uniform
from inference.engine.plan import Logprobs, Row, Sampled
from inference.engine.token_counts import TokenCounts

# Filters look at this many likeliest tokens first, and at all of them only if that is not enough.
LIKELIEST = 1024


class Sampler:
    """Samples for the rows of a step; keeps token counts for rows with penalties."""

    def __init__(
        self, vocab_size: int, eos_token_ids: tuple[int, ...], device: torch.device
    ) -> None:
        """Sample ids below `vocab_size` on `device`."""
        self._eos = tuple(token_id for token_id in eos_token_ids if token_id < vocab_size)
        self._device = device
        self._counts = TokenCounts(vocab_size, device)

    def release(self, keys: tuple[int, ...]) -> None:
        """Drop what is kept for sequences that ended."""
        self._counts.release(keys)

    def sample(self, logits: Tensor, rows: tuple[Row, ...]) -> list[Sampled | None]:
        """Sample from logits (R, V), one row each; None where they are not numbers."""
        raw = logits.float()
        shaped = self._shape(raw, rows)
        highest, token_ids = shaped.max(dim=-1)  # (R,) each; NaN wins a max
        drawn = [index for index, row in enumerate(rows) if row.params.temperature > 0]
        if drawn:
            token_ids[drawn] = self._draw(shaped, rows, drawn)
        chosen, sound = token_ids.tolist(), highest.isfinite().tolist()
        logprobs = self._logprobs(raw, rows, chosen)
        return [
            Sampled(token_id, logprobs.get(index)) if sound[index] else None
            for index, token_id in enumerate(chosen)
        ]

    # Changes to the logits.

    def _shape(self, raw: Tensor, rows: tuple[Row, ...]) -> Tensor:
        """Apply penalties, biases and suppression; `raw` itself is left alone."""
        penalised = [index for index, row in enumerate(rows) if row.params.has_penalties]
        biased = [index for index, row in enumerate(rows) if row.params.logit_bias]
        young = [
            index
            for index, row in enumerate(rows)
            if len(row.tokens) - row.num_prompt_tokens < row.params.min_tokens
        ]
        if not penalised and not biased and not young:
            return raw
        shaped = raw.clone()
        if penalised:
            kept = [rows[index] for index in penalised]
            shaped[penalised] = self._penalise(shaped[penalised], kept)
        for index in biased:
            ids, values = zip(*rows[index].params.logit_bias, strict=True)
            shaped[index, list(ids)] += torch.tensor(values, device=self._device)
        for index in young:
            ends = [*self._eos, *rows[index].params.stop_token_ids]
            if ends:
                shaped[index, ends] = -torch.inf
        return shaped

    def _penalise(self, logits: Tensor, rows: list[Row]) -> Tensor:
        seen, counts = self._counts.of(rows)  # (P, V) bool and float
        repetition = self._column([row.params.repetition_penalty for row in rows])
        presence = self._column([row.params.presence_penalty for row in rows])
        frequency = self._column([row.params.frequency_penalty for row in rows])
        repeated = torch.where(logits > 0, logits / repetition, logits * repetition)
        logits = torch.where(seen, repeated, logits)
        return logits - frequency * counts - presence * (counts > 0)

    def _column(self, values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self._device).unsqueeze(1)

    # Drawing.

    def _draw(self, shaped: Tensor, rows: tuple[Row, ...], drawn: list[int]) -> Tensor:
        """Return a token id for each of the `drawn` rows."""
        kept = [rows[index] for index in drawn]
        noise = uniform([row.seed for row in kept], [len(row.tokens) for row in kept])
        points = torch.from_numpy(noise).to(self._device, torch.float32)
        temperature = self._column([max(row.params.temperature, 1e-5) for row in kept])
        scaled = shaped[drawn] / temperature
        token_ids = torch.empty(len(drawn), dtype=torch.int64, device=self._device)
        filtered = [index for index, row in enumerate(kept) if _has_filter(row)]
        plain = [index for index, row in enumerate(kept) if not _has_filter(row)]
        if plain:
            probabilities = scaled[plain].softmax(dim=-1)
            token_ids[plain] = invert(probabilities, points[plain])
        if filtered:
            ids, probabilities = self._filter(scaled[filtered], [kept[i] for i in filtered])
            places = invert(probabilities, points[filtered])
            token_ids[filtered] = ids.gather(1, places.unsqueeze(1)).squeeze(1)
        return token_ids

    def _filter(self, scaled: Tensor, rows: list[Row]) -> tuple[Tensor, Tensor]:
        """Return ids (F, K), likeliest first, and what is left of their probabilities."""
        width = min(LIKELIEST, scaled.shape[1])
        ids, probabilities, decided = self._filter_within(scaled, rows, width)
        if not decided:
            ids, probabilities, _ = self._filter_within(scaled, rows, scaled.shape[1])
        return ids, probabilities

    def _filter_within(
        self, scaled: Tensor, rows: list[Row], width: int
    ) -> tuple[Tensor, Tensor, bool]:
        whole = scaled.shape[1]
        top_k = self._column([float(row.params.top_k or whole) for row in rows])
        top_p = self._column([row.params.top_p for row in rows])
        min_p = self._column([row.params.min_p for row in rows])
        values, ids = scaled.topk(width, dim=-1)  # likeliest first
        rank = torch.arange(width, device=self._device)
        values = values.masked_fill(rank >= top_k, -torch.inf)
        # top-p is a share of what top-k left; without top-k, of everything.
        mass = torch.where(
            top_k < whole, values.logsumexp(-1, keepdim=True), scaled.logsumexp(-1, keepdim=True)
        )
        probabilities = (values - mass).exp()
        before = probabilities.cumsum(-1) - probabilities  # mass of the likelier ones
        keep = (before < top_p) & (probabilities >= min_p * probabilities[:, :1])
        keep[:, 0] = True
        inside = torch.where(top_k < whole, top_k <= width, ~keep[:, -1:])
        decided = width == whole or bool(inside.all())
        return ids, probabilities * keep, decided

    # Log-probabilities.

    def _logprobs(
        self, raw: Tensor, rows: tuple[Row, ...], chosen: list[int]
    ) -> dict[int, Logprobs]:
        wanted = [index for index, row in enumerate(rows) if row.params.logprobs is not None]
        if not wanted:
            return {}
        depths = [rows[index].params.logprobs or 0 for index in wanted]
        entries = describe(raw[wanted], [chosen[index] for index in wanted], depths)
        return dict(zip(wanted, entries, strict=True))


def invert(probabilities: Tensor, points: Tensor) -> Tensor:
    """Return, per row of (R, K), the place where the cumulative sum first exceeds point · total.

    Points are in [0, 1). A place of probability 0 is never returned: a sum that rounding has
    pushed past the last positive one falls back to the likeliest.
    """
    sums = probabilities.cumsum(-1)
    targets = points.unsqueeze(1) * sums[:, -1:]
    places = torch.searchsorted(sums, targets, right=True).clamp_(max=sums.shape[1] - 1)
    possible = probabilities.gather(1, places) > 0
    return torch.where(possible, places, probabilities.argmax(-1, keepdim=True)).squeeze(1)


def describe(logits: Tensor, token_ids: list[int], depths: list[int]) -> list[Logprobs]:
    """Return log-probabilities of logits (R, V): of one token each, and of the likeliest."""
    logprobs = logits.float().log_softmax(-1)
    own = logprobs.gather(1, torch.tensor(token_ids, device=logits.device).unsqueeze(1))
    depth = min(max(depths), logits.shape[1])
    values, ids = logprobs.topk(depth, dim=-1)
    table = zip(token_ids, own.squeeze(1).tolist(), ids.tolist(), values.tolist(), strict=True)
    return [
        Logprobs(token_id, logprob, tuple(zip(top_ids[:depth], top[:depth], strict=True)))
        for (token_id, logprob, top_ids, top), depth in zip(table, depths, strict=True)
    ]


def _has_filter(row: Row) -> bool:
    return row.params.top_k > 0 or row.params.top_p < 1.0 or row.params.min_p > 0.0
