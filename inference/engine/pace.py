"""How long steps take here, and how much of a prompt a step may run beside those that decode.

A step lasts as long as the work in it, and everyone who decodes waits for its end. So prompts run
beside them in chunks that at most double the step (`max_stretch` 2). What is doubled is the step
of all that are present, not of those that happen to decode: a crowd that arrives together is let
in quickly, since it will soon share its steps anyhow. And while more wait for their first token
than decode, they get that many times more of each step, at most `max_stretch` times. Where their
prompts are short, so that they will soon decode, each of them counts as much as `CROWD` who decode,
up to `MOST` times: a wave of them is over sooner, at the price of a few longer steps. What that
means in tokens is not set but measured, since it depends on the model, the machine, the number of
rows and the length of what they look back on. Numbers only; the clock is the caller's.

A step's seconds are fitted as a line: base + row_s · rows + token_s · tokens. Where the steps so
far cannot tell rows from tokens, both count alike, since both pass through the same products.
"""

import numpy as np
import numpy.typing as npt

# Weights of the past, each step. Chunks are few, and each is cut by the measure of those before it.
DECODE_MEMORY = 0.95
PROMPT_MEMORY = 0.7
SMALLEST_SHARE = 32  # of the budget: a smaller chunk costs about as much as this one
CROWD, MOST = 16.0, 4.0
NEAR = 0.25  # as many rows more or less take about as long
# Pulls of the fit, in squared rows, that matter only where nothing was measured.
ALIKE = 0.0001  # row_s and token_s towards each other
NOTHING = 1e-6  # both towards 0

_PULLS = np.array([[0.0, 0.0, 0.0], [0.0, ALIKE + NOTHING, -ALIKE], [0.0, -ALIKE, ALIKE + NOTHING]])


class _Steps:
    """What is remembered of one kind of steps: sums of products of (1, rows, tokens, seconds)."""

    def __init__(self, memory: float) -> None:
        self._memory = memory
        self.sums: npt.NDArray[np.float64] = np.zeros((4, 4))

    def note(self, rows: int, tokens: int, seconds: float) -> None:
        step = np.array((1.0, rows, tokens, seconds))
        self.sums *= self._memory
        self.sums += np.outer(step, step)

    def mean(self, column: int) -> float:
        """Mean of the rows (1), tokens (2) or seconds (3)."""
        return float(self.sums[0, column] / self.sums[0, 0])

    def alike(self) -> bool:
        """Whether all had about as many rows."""
        whole = float(self.sums[0, 0] * self.sums[1, 1])
        return whole - float(self.sums[0, 1]) ** 2 < 1e-3 * whole


class Pace:
    """Running estimates of one engine: seconds of a decoding step, and of a prompt's token."""

    def __init__(self, max_stretch: float, token_budget: int) -> None:
        """Know nothing. `max_stretch` 0: steps may take as long as their budget takes."""
        self._max_stretch = max_stretch
        # One token of a prompt looks like a decoding row, from which nothing would be learnt.
        self._least = max(2, token_budget // SMALLEST_SHARE)
        self._token_budget = token_budget
        self._decoding = _Steps(DECODE_MEMORY)
        self._mixed = _Steps(PROMPT_MEMORY)
        self._fit: tuple[float, float] | None = None

    def note(self, num_decoding: int, num_prompt_tokens: int, seconds: float) -> None:
        """Learn from a step: its decoding rows, the tokens of its chunks, its duration."""
        if num_prompt_tokens:
            self._mixed.note(num_decoding, num_prompt_tokens, seconds)
        elif num_decoding:
            self._decoding.note(num_decoding, 0, seconds)
        self._fit = None

    def decode_s(self, num_decoding: int) -> float:
        """Return the seconds of a step of so many decoding rows and nothing else; 0: unknown."""
        if not self._decoding.sums[0, 0]:
            return 0.0
        mean_rows, mean_s = self._decoding.mean(1), self._decoding.mean(3)
        if abs(num_decoding - mean_rows) <= NEAR * mean_rows and self._decoding.alike():
            return mean_s
        base, row_s = self._line()
        # A line through few points may point anywhere; rows never cost more than in proportion.
        guess_s = base + row_s * num_decoding
        return min(max(guess_s, 0.25 * mean_s), mean_s * max(num_decoding / mean_rows, 1.0))

    def allowance(self, num_decoding: int, num_present: int, mean_prompt: float) -> int:
        """Return how many tokens of prompts may run beside so many decoding rows.

        `num_present` are all that could run now: they and those that are or wait to be prefilled,
        whose prompts have `mean_prompt` tokens to compute.
        """
        num_waiting = num_present - num_decoding
        if not num_decoding or not num_waiting or not self._max_stretch:
            return self._token_budget
        stretch_s = (self._max_stretch - 1) * self.decode_s(num_present)
        if not stretch_s or not self._mixed.sums[0, 0]:
            return self._token_budget
        token_s = self._token_s()
        weight, most = (CROWD, MOST) if mean_prompt * token_s <= stretch_s else (1.0, 1.0)
        majority = weight * num_waiting / num_decoding
        stretch_s *= min(max(majority, 1.0), max(most, self._max_stretch))
        return max(self._least, int(stretch_s / token_s))

    def _token_s(self) -> float:
        """Seconds of a prompt's token, with its part of what any chunk costs.

        No less than a quarter of what a token or a row costs on average.
        """
        rows, tokens, seconds = (self._mixed.mean(column) for column in (1, 2, 3))
        base, row_s = self._line()
        beyond_s = seconds - base - row_s * rows
        return max(beyond_s / tokens, 0.25 * seconds / (rows + tokens), 1e-9)

    def _line(self) -> tuple[float, float]:
        """Base and row_s of the line that fits the steps best (least squares)."""
        if self._fit is None:
            sums = self._decoding.sums + self._mixed.sums
            base, row_s, _ = np.linalg.solve(sums[:3, :3] + _PULLS, sums[:3, 3])
            self._fit = float(base), max(float(row_s), 0.0)
        return self._fit
