"""How long steps take here, and how much of a prompt a step may run beside those that decode.

A step lasts as long as the work in it, and everyone who decodes waits for its end. So prompts run
beside them in chunks that at most double the step (`max_stretch` 2). What is doubled is the step
of all that are present, not of those that happen to decode: a crowd that arrives together is let
in quickly, since it will soon share its steps anyhow. And while more wait for their first token
than decode, they get that many times more of each step. What that means in tokens is not set but
measured, since it depends on the model, the machine, the number of rows and the length of what
they look back on. Numbers only; the clock is the caller's.
"""

# Weights of the past, each step. Chunks are few, and each is cut by the measure of those before it.
DECODE_MEMORY = 0.95
PROMPT_MEMORY = 0.7
SMALLEST_SHARE = 32  # of the budget: a smaller chunk costs about as much as this one


class Pace:
    """Running estimates of one engine: seconds of a decoding step, and of a prompt's token."""

    def __init__(self, max_stretch: float, token_budget: int) -> None:
        """Know nothing. `max_stretch` 0: steps may take as long as their budget takes."""
        self._max_stretch = max_stretch
        self._least = max(1, token_budget // SMALLEST_SHARE)
        self._token_budget = token_budget
        # Sums over steps without prompts, for a line of seconds over rows: n, x, y, xx, xy.
        self._sums = [0.0] * 5
        self._prompt_s = 0.0
        self._prompt_tokens = 0.0

    def note(self, num_decoding: int, num_prompt_tokens: int, seconds: float) -> None:
        """Learn from a step: its decoding rows, the tokens of its chunks, its duration."""
        if num_prompt_tokens == 0:
            if num_decoding:
                x, y = float(num_decoding), seconds
                for index, value in enumerate((1.0, x, y, x * x, x * y)):
                    self._sums[index] = DECODE_MEMORY * self._sums[index] + value
            return
        # What the step took beyond its decoding: the chunks' own, their fixed cost included.
        cost_s = max(seconds - self.decode_s(num_decoding), 0.0)
        self._prompt_s = PROMPT_MEMORY * self._prompt_s + cost_s
        self._prompt_tokens = PROMPT_MEMORY * self._prompt_tokens + num_prompt_tokens

    def decode_s(self, num_decoding: int) -> float:
        """Return the seconds of a step of so many decoding rows and nothing else; 0: unknown."""
        n, x, y, xx, xy = self._sums
        if not n:
            return 0.0
        spread = n * xx - x * x
        if spread < 1e-3 * n * xx:  # always about as many rows
            return y / n
        slope = max((n * xy - x * y) / spread, 0.0)
        mean_s, mean_rows = y / n, x / n
        # A line through few points may point anywhere; rows never cost more than in proportion.
        guess_s = mean_s + slope * (num_decoding - mean_rows)
        return min(max(guess_s, 0.25 * mean_s), mean_s * max(num_decoding / mean_rows, 1.0))

    def allowance(self, num_decoding: int, num_present: int) -> int:
        """Return how many tokens of prompts may run beside so many decoding rows.

        `num_present` are all that could run now: they and those that are or wait to be prefilled.
        """
        stretch_s = (self._max_stretch - 1) * self.decode_s(num_present)
        if not num_decoding or not stretch_s or not self._prompt_s or not self._max_stretch:
            return self._token_budget
        stretch_s *= max(1.0, (num_present - num_decoding) / num_decoding)
        return max(self._least, int(stretch_s * self._prompt_tokens / self._prompt_s))
