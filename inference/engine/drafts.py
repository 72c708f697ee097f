"""Guesses at what comes next, read off from what was there before (prompt lookup).

Where a text repeats its prompt or itself (code, JSON, summaries, quotations), the tokens that
followed the last four the previous time are likely to follow again. Guesses run beside the next
token in one step and are kept as far as the model samples the same ones, so the result is that of
sampling one by one (Saxena 2023; Leviathan et al. 2023). A sequence whose guesses are mostly wrong
is left alone for a while, longer each time.
"""

GRAM = 4  # measured: with 3, ten times as many guesses of ordinary chats are wrong
MOST = 7
WORTH = 0.4  # of the guesses, on average: below, they cost more than they bring
MEMORY = 0.8  # weight of the past in that average
FIRST_REST = 8
LONGEST_REST = 256


class Drafter:
    """Guesses for one sequence. Its list of tokens may only grow."""

    def __init__(self, tokens: list[int]) -> None:
        """Nothing is indexed before the first guess."""
        self._tokens = tokens
        self._after: dict[tuple[int, ...], int] = {}  # gram -> where the token after it stands
        self._indexed = GRAM
        self._success = 1.0
        self._rest = FIRST_REST
        self._resting_until = 0

    def guess(self, most: int) -> tuple[int, ...]:
        """Return at most `most` tokens that may follow; () when nothing suggests itself."""
        tokens = self._tokens
        if len(tokens) < max(GRAM, self._resting_until):
            return ()
        for end in range(self._indexed, len(tokens)):
            self._after[tuple(tokens[end - GRAM : end])] = end
        self._indexed = len(tokens)
        place = self._after.get(tuple(tokens[-GRAM:]))
        if place is None:
            return ()
        # What repeats with a short period goes on beyond the end of what is known.
        period = len(tokens) - place
        count = min(most, MOST)
        return tuple(tokens[place + offset % period] for offset in range(count))

    def learn(self, guessed: int, right: int) -> None:
        """Take note of how many of the last guesses were right."""
        self._success = MEMORY * self._success + (1 - MEMORY) * right / guessed
        if self._success < WORTH:
            self._resting_until = len(self._tokens) + self._rest
            self._rest = min(2 * self._rest, LONGEST_REST)
            self._success = WORTH  # one more try
        elif right == guessed:
            self._rest = FIRST_REST
