"""One sequence's state, from its submission to its end.

Owns the counters the scheduler and the loop agree on. `tokens` is the only truth about the text;
`num_computed` says how many of them have keys and values in the cache, so a preempted sequence is
simply one whose counter went back to 0.
"""

import secrets
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from inference.engine.detokenizer import Detokenizer
from inference.engine.drafts import Drafter
from inference.engine.params import SamplingParams
from inference.engine.plan import Logprobs, Row

if TYPE_CHECKING:  # whose library nothing needs that has no grammar
    from inference.engine.grammar import CompiledGrammar


class FinishReason(IntEnum):
    """Why a sequence ended; the numbers are those of the wire."""

    NONE = 0
    STOP = 1
    LENGTH = 2
    CANCELLED = 3
    ERROR = 4
    OVERLOADED = 5
    DEADLINE = 6


@dataclass(eq=False, slots=True)
class Sequence:
    """A prompt and what is generated after it. Compared and hashed by identity."""

    key: int  # unique within this engine process
    tenant: str
    tokens: list[int]  # prompt; sampled tokens are appended
    params: SamplingParams
    detokenizer: Detokenizer
    priority: int = 0  # lower runs first
    deadline_s: float = 0.0  # from its arrival; 0: none
    sequence_id: int = 0  # the client's number
    request_id: str = ""  # for the logs
    grammar: "CompiledGrammar | None" = None  # of `params.grammar`: held here so that it stays
    num_prompt_tokens: int = 0
    seed: int = 0
    # The scheduler's.
    arrival: int = 0
    num_computed: int = 0
    block_table: list[int] = field(default_factory=list)
    block_hashes: list[bytes] = field(default_factory=list)
    drafter: Drafter = field(init=False)
    held: bool = False  # for a while, because its client is behind with what was sent
    num_cached: int | None = None  # prompt tokens found in the prefix cache at first admission
    # The end.
    finish_reason: FinishReason = FinishReason.NONE
    stop_reason: str = ""
    error: str = ""
    retry_after_s: float = 0.0  # with OVERLOADED
    # What waits for the next delta.
    prompt_logprobs: list[Logprobs] = field(default_factory=list)
    num_deltas: int = 0

    def __post_init__(self) -> None:
        """Fix the prompt's length; draw a seed where the request has none."""
        self.num_prompt_tokens = len(self.tokens)
        self.drafter = Drafter(self.tokens)
        seed = self.params.seed
        self.seed = secrets.randbits(63) if seed is None else seed

    @property
    def rank(self) -> tuple[int, int]:
        """Whose turn comes first: the lower one's."""
        return self.priority, self.arrival

    @property
    def num_generated(self) -> int:
        """Tokens sampled so far."""
        return len(self.tokens) - self.num_prompt_tokens

    @property
    def num_uncomputed(self) -> int:
        """Tokens whose keys and values are not in the cache: 1 for a decoding sequence."""
        return len(self.tokens) - self.num_computed

    @property
    def num_due(self) -> int:
        """Tokens to compute now: of a held sequence all but the one that would bring an answer.

        The others are computed, since sequences with the same prefix may wait for them.
        """
        return self.num_uncomputed - 1 if self.held else self.num_uncomputed

    @property
    def paused(self) -> bool:
        """Takes no step."""
        return self.held and self.num_due == 0

    def row(self, num_tokens: int, drafts: tuple[int, ...] = ()) -> Row:
        """Return the part of a step that runs its next tokens, guesses among them."""
        whole = self.num_computed + num_tokens - len(drafts) == len(self.tokens)
        return Row(
            key=self.key,
            tokens=self.tokens,
            num_prompt_tokens=self.num_prompt_tokens,
            start=self.num_computed,
            num_tokens=num_tokens,
            block_table=self.block_table,
            params=self.params,
            seed=self.seed,
            samples=whole and self.num_generated < self.params.max_tokens,
            drafts=drafts,
        )

    def may_guess(self, num_generated: int) -> bool:
        """Whether several tokens can be sampled at once: each distribution stands by itself.

        Not the first: the last token of a prompt is of the prompt, and may bring its scores.
        """
        return num_generated >= 1 and not self.params.has_penalties

    @property
    def finished(self) -> bool:
        """Nothing more will be computed for this sequence."""
        return self.finish_reason is not FinishReason.NONE

    def finish(self, reason: FinishReason, *, error: str = "", stop_reason: str = "") -> None:
        """End the sequence; the first reason stands."""
        if self.finish_reason is FinishReason.NONE:
            self.finish_reason = reason
            self.error = error
            self.stop_reason = stop_reason
