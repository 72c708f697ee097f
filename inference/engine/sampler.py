"""From logits to tokens, each row by its own parameters.

The order, for every row: repetition penalty (Keskar et al. 2019), presence and frequency penalties,
logit bias, suppression of end tokens below `min_tokens`, grammar; then the likeliest token if the
temperature is 0, else temperature, top-k, top-p, min-p, and one draw by inverting the cumulative
distribution at a uniform number of (seed, position). Log-probabilities are taken from the logits as
the model gave them. Work is done only for the rows that ask for it, and for all of those at once.

A row draws the same token, to the last bit of its probabilities, whatever rows are beside it. So
only operators that work row by row are used: PyTorch's `logsumexp`, for example, cuts a single long
row up between threads, but not one of many.

Nothing here waits for the device: `draw` queues the work, and `Drawn.read` waits. A filter looks at
the `LIKELIEST` tokens; the rare row for which that was not enough is found out when it is read, and
drawn again among all.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from inference.engine import kernels
from inference.engine.native.draw import Draw, native_draw
from inference.engine.noise import uniform
from inference.engine.plan import Row, Sampled
from inference.engine.scores import Scores
from inference.engine.token_counts import TokenCounts
from inference.engine.transfers import HostCopy, to_device

if TYPE_CHECKING:  # whose library nothing needs that has no grammar
    from inference.engine.grammar_masks import Masks

LIKELIEST = 1024


@dataclass(frozen=True, slots=True)
class _Doubt:
    """Rows whose filter may need more than the likeliest tokens."""

    rows: list[int]
    decided: HostCopy  # (len(rows),) bool: it did not
    redraw: Callable[[list[int]], Tensor]  # places among `rows` -> token ids, drawn among all


class Drawn:
    """The tokens of a step: on the device at once, on the host when they are read."""

    def __init__(
        self,
        token_ids: Tensor,
        highest: Tensor,
        doubt: _Doubt | None,
        score: Callable[[Tensor], Scores] | None,
        scored: list[int],
    ) -> None:
        """Take token ids (R,), the highest logits (R,), and how to go on.

        Where the highest logit is no finite number, not all logits were numbers.
        """
        self.token_ids = token_ids
        self.redrawn = False  # after `read`: `token_ids` were not yet the final ones
        self._ids, self._highest = HostCopy(token_ids), HostCopy(highest)
        self._doubt = doubt
        self._score = score
        self._scored = scored
        self._scores = score(token_ids) if score is not None else None

    def read(self) -> list[Sampled | None]:
        """Wait; return what each row drew, None where the logits were no numbers."""
        chosen: list[int] = self._ids.get().tolist()
        highest: list[float] = self._highest.get().tolist()
        if self._doubt is not None:
            decided: list[bool] = self._doubt.decided.get().tolist()
            unsure = [place for place, sure in enumerate(decided) if not sure]
            if unsure:
                self._redraw(self._doubt, unsure, chosen)
        logprobs = {}
        if self._scores is not None:
            entries = self._scores.read([chosen[index] for index in self._scored])
            logprobs = dict(zip(self._scored, entries, strict=True))
        return [
            Sampled(token_id, logprobs.get(index)) if math.isfinite(highest[index]) else None
            for index, token_id in enumerate(chosen)
        ]

    @torch.inference_mode()
    def _redraw(self, doubt: _Doubt, unsure: list[int], chosen: list[int]) -> None:
        self.redrawn = True
        for place, token_id in zip(unsure, doubt.redraw(unsure).tolist(), strict=True):
            chosen[doubt.rows[place]] = token_id
        if self._score is not None:
            self._scores = self._score(torch.tensor(chosen, device=self.token_ids.device))


class Sampler:
    """Samples for the rows of a step; keeps token counts for rows with penalties."""

    def __init__(
        self, vocab_size: int, eos_token_ids: tuple[int, ...], device: torch.device
    ) -> None:
        """Sample ids below `vocab_size` on `device`."""
        self._eos = tuple(token_id for token_id in eos_token_ids if token_id < vocab_size)
        self._device = device
        self._counts = TokenCounts(vocab_size, device)
        self._softmax_draw = fastest_draw(device)

    def release(self, keys: tuple[int, ...]) -> None:
        """Drop what is kept for sequences that ended."""
        self._counts.release(keys)

    def draw(self, logits: Tensor, rows: tuple[Row, ...], masks: "Masks | None" = None) -> Drawn:
        """Sample from logits (R, V), one row each."""
        shaped = self._shape(logits, rows)
        if masks is not None:
            own = shaped.to(torch.float32, copy=True) if shaped is logits else shaped
            shaped = self._mask(own, masks)
        token_ids, highest, doubt = self._draw(shaped, rows)
        scored = [index for index, row in enumerate(rows) if row.params.logprobs is not None]
        score = self._scorer(logits, rows, scored) if scored else None
        return Drawn(token_ids, highest, doubt, score, scored)

    def _scorer(
        self, logits: Tensor, rows: tuple[Row, ...], scored: list[int]
    ) -> Callable[[Tensor], Scores]:
        # A copy: the model may write its next logits to the same place.
        raw = logits[self._index(scored)]
        depths = [rows[index].params.logprobs or 0 for index in scored]
        return lambda token_ids: Scores(raw, token_ids[self._index(scored)], depths)

    # Changes to the logits.

    def _shape(self, logits: Tensor, rows: tuple[Row, ...]) -> Tensor:
        """Apply penalties, biases and suppression; `logits` themselves are left alone."""
        penalised = [index for index, row in enumerate(rows) if row.params.has_penalties]
        biased = [index for index, row in enumerate(rows) if row.params.logit_bias]
        young = [
            index
            for index, row in enumerate(rows)
            if row.length - row.num_prompt_tokens < row.params.min_tokens
            and row.params.grammar is None  # whose mask knows whether anything but the end is left
        ]
        if not penalised and not biased and not young:
            return logits
        shaped = logits.to(torch.float32, copy=True)
        if penalised:
            places = self._index(penalised)
            kept = [rows[index] for index in penalised]
            shaped.index_copy_(0, places, self._penalise(shaped[places], kept))
        flat, width = shaped.view(-1), shaped.shape[1]
        if biased:
            pairs = [(index, *pair) for index in biased for pair in rows[index].params.logit_bias]
            places = self._index([index * width + token_id for index, token_id, _ in pairs])
            flat.index_add_(0, places, self._floats([value for _, _, value in pairs]))
        ends = [
            index * width + token_id
            for index in young
            for token_id in (*self._eos, *rows[index].params.stop_token_ids)
        ]
        if ends:
            flat.index_fill_(0, self._index(ends), -torch.inf)
        return shaped

    def _mask(self, shaped: Tensor, masks: "Masks") -> Tensor:
        """Leave to the rows with a grammar what it allows them."""
        places = self._index(masks.rows)
        packed = to_device(masks.bits, torch.uint8, self._device)  # (G, bytes)
        shifts = torch.arange(8, dtype=torch.uint8, device=self._device)
        bits = (packed.unsqueeze(2) >> shifts) & 1  # (G, bytes, 8)
        allowed = bits.flatten(1)[:, : shaped.shape[1]].bool()  # (G, V)
        return shaped.index_copy_(0, places, shaped[places].masked_fill(~allowed, -torch.inf))

    def _penalise(self, logits: Tensor, rows: list[Row]) -> Tensor:
        seen, counts = self._counts.of(rows)  # (P, V) bool and float
        repetition = self._column([row.params.repetition_penalty for row in rows])
        presence = self._column([row.params.presence_penalty for row in rows])
        frequency = self._column([row.params.frequency_penalty for row in rows])
        repeated = torch.where(logits > 0, logits / repetition, logits * repetition)
        logits = torch.where(seen, repeated, logits)
        return logits - frequency * counts - presence * (counts > 0)

    def _index(self, places: list[int]) -> Tensor:
        return to_device(places, torch.int64, self._device)

    def _floats(self, values: list[float]) -> Tensor:
        return to_device(values, torch.float32, self._device)

    def _column(self, values: list[float]) -> Tensor:
        return self._floats(values).unsqueeze(1)

    # Drawing.

    def _draw(self, shaped: Tensor, rows: tuple[Row, ...]) -> tuple[Tensor, Tensor, _Doubt | None]:
        """Return token ids (R,), the highest logits (R,), and what may have to be drawn again."""
        points = uniform([row.seed for row in rows], [row.length for row in rows])
        filtered = [index for index, row in enumerate(rows) if _has_filter(row)]
        temperatures = [_temperature(row) for row in rows]
        divisors = [temperatures[index] for index in filtered]
        for index in filtered:
            temperatures[index] = 0.0  # drawn below
        token_ids, highest = self._softmax_draw(shaped, temperatures, points)
        if not filtered:
            return token_ids, highest, None
        places = self._index(filtered)
        scaled = shaped[places] / self._column(divisors)
        targets = to_device(points[filtered], torch.float32, self._device)
        some = [rows[index] for index in filtered]
        found, decided = self._draw_filtered(scaled, targets, some, LIKELIEST)
        token_ids = token_ids.index_copy_(0, places, found)
        if decided is None:
            return token_ids, highest, None

        def redraw(unsure: list[int]) -> Tensor:
            again = self._index(unsure)
            few = [some[index] for index in unsure]
            return self._draw_filtered(scaled[again], targets[again], few, None)[0]

        return token_ids, highest, _Doubt(filtered, HostCopy(decided), redraw)

    def _draw_filtered(
        self, scaled: Tensor, points: Tensor, rows: list[Row], width: int | None
    ) -> tuple[Tensor, Tensor | None]:
        """Draw among the `width` likeliest tokens; tell whether no others could have been drawn."""
        ids, probabilities, decided = self._filter(scaled, rows, width)
        places = invert(probabilities, points)
        return ids.gather(1, places.unsqueeze(1)).squeeze(1), decided

    def _filter(
        self, scaled: Tensor, rows: list[Row], width: int | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return ids (F, K), likeliest first, and what is left of their probabilities.

        Third, whether a row's filter ends within its first `width`; None: they all do.
        """
        whole = scaled.shape[1]
        width = whole if width is None else min(width, whole)
        top_k = self._column([float(row.params.top_k or whole) for row in rows])
        top_p = self._column([row.params.top_p for row in rows])
        min_p = self._column([row.params.min_p for row in rows])
        values, ids = scaled.topk(width, dim=-1)  # likeliest first
        rank = torch.arange(width, device=self._device)
        left = values.masked_fill(rank >= top_k, -torch.inf).softmax(-1)
        # top-p is a share of what top-k left; without top-k, of everything.
        shares = scaled.softmax(-1).gather(1, ids)
        probabilities = torch.where(top_k < whole, left, shares)
        before = probabilities.cumsum(-1) - probabilities  # mass of the likelier ones
        keep = (before < top_p) & (probabilities >= min_p * probabilities[:, :1])
        keep[:, 0] = True
        if width == whole or all(0 < row.params.top_k <= width for row in rows):
            return ids, probabilities * keep, None
        inside = torch.where(top_k < whole, top_k <= width, ~keep[:, -1:])
        return ids, probabilities * keep, inside.squeeze(1)


def fastest_draw(device: torch.device) -> Draw:
    """Return what draws by softmax on a device."""
    if kernels.available(device):
        from inference.engine.kernels.draw import triton_draw

        return triton_draw
    return (native_draw() if device.type == "cpu" else None) or softmax_draw


def softmax_draw(
    logits: Tensor, temperatures: Sequence[float], points: npt.NDArray[np.float64]
) -> tuple[Tensor, Tensor]:
    """Return a token id and the highest logit of each row; see `native/draw.py`."""
    highest, token_ids = logits.max(dim=-1)  # (R,) each; NaN wins a max
    drawn = [index for index, temperature in enumerate(temperatures) if temperature]
    if drawn:
        device = logits.device
        places = to_device(drawn, torch.int64, device)
        divisors = to_device([temperatures[index] for index in drawn], torch.float32, device)
        probabilities = (logits[places] / divisors.unsqueeze(1)).softmax(dim=-1)
        found = invert(probabilities, to_device(points[drawn], torch.float32, device))
        token_ids = token_ids.index_copy_(0, places, found)
    return token_ids, highest


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


def _temperature(row: Row) -> float:
    """0: the likeliest token."""
    return max(row.params.temperature, 1e-5) if row.params.temperature else 0.0


def _has_filter(row: Row) -> bool:
    """Whether it draws among some of the tokens only."""
    params = row.params
    return params.temperature > 0 and (params.top_k > 0 or params.top_p < 1.0 or params.min_p > 0.0)
