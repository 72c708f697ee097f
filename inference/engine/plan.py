"""The contract between the half that decides (CPU, integers) and the half that computes (device).

The scheduler answers every step with a `Plan`: which tokens of which sequences to run, and where
their keys and values go. A runner answers a plan with a `StepResult`. Neither side reads anything
else of the other, so each is tested alone, and a runner may live on another device or be a fake.
"""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from inference.engine.params import SamplingParams


@dataclass(slots=True)
class Row:
    """A contiguous range of one sequence's tokens to run in one step. Nobody changes one.

    It is not frozen, since making one would take three times as long, and each step makes many.

    `tokens` and `block_table` are the live lists of the sequence (no copy per step): a runner
    reads them during `run` and never changes them. Position `p` of the sequence is stored in
    block `block_table[p // block_size]` at offset `p % block_size`.
    """

    key: int  # identifies the sequence within this engine process
    tokens: list[int]  # prompt, then everything sampled so far
    num_prompt_tokens: int
    start: int  # position of the first token to run; everything before it is in the cache
    num_tokens: int
    block_table: list[int]
    params: SamplingParams
    seed: int  # the request's, or one drawn for it
    samples: bool  # these tokens reach the end of the sequence: sample what follows
    drafts: tuple[int, ...] = ()  # guesses at the tokens after the last, counted in `num_tokens`

    @property
    def length(self) -> int:
        """Tokens of the sequence up to the last of this row that is no guess."""
        return self.start + self.num_tokens - len(self.drafts)


@dataclass(frozen=True, slots=True)
class Plan:
    """One step: rows to run together, and sequences whose per-sequence state may be dropped."""

    step: int
    rows: tuple[Row, ...]
    released: tuple[int, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Tokens this step pushes through the model."""
        return sum(row.num_tokens for row in self.rows)

    @property
    def num_decoding(self) -> int:
        """Rows with one token more of a sequence, beside any guesses."""
        return sum(row.num_tokens - len(row.drafts) == 1 for row in self.rows)

    @property
    def num_chunk_tokens(self) -> int:
        """Tokens of the other rows: of prompts, and of what is computed again."""
        return sum(row.num_tokens for row in self.rows if row.num_tokens - len(row.drafts) > 1)


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Log-probability of one token and the likeliest alternatives, natural logarithm.

    `logprob` is None for the first token of a prompt, which nothing precedes.
    """

    token_id: int
    logprob: float | None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(slots=True)
class Sampled:
    """The token a row's distribution gave, with its log-probabilities if they were asked for.

    Nobody changes one; it is not frozen for the same reason as a row.
    """

    token_id: int
    logprobs: Logprobs | None = None


@dataclass(slots=True)
class StepResult:
    """What a step brought, by row key.

    Every row of the plan is in exactly one place: failed rows in `failures` (with a sentence for
    the caller), rows that sample in `sampled`, the rest nowhere. `further` holds the tokens after
    that, one for each draft that turned out to be what was sampled before it. `prompt_logprobs`
    holds, for rows that want them, one entry for each prompt token whose logits this step computed.
    """

    sampled: dict[int, Sampled] = field(default_factory=dict)
    further: dict[int, list[Sampled]] = field(default_factory=dict)
    prompt_logprobs: dict[int, list[Logprobs]] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)

    def merge(self, other: "StepResult") -> None:
        """Take over the entries of a run of other rows of the same plan."""
        self.sampled.update(other.sampled)
        self.further.update(other.further)
        self.prompt_logprobs.update(other.prompt_logprobs)
        self.failures.update(other.failures)


DEVICE_LOST_STATUS = 70  # with which the process ends then


class DeviceLostError(Exception):
    """The device can no longer be used; the process must end and be started again."""


class Runner(Protocol):
    """The device half. `run` must be repeatable: the same rows give the same tokens again."""

    def run(self, plan: Plan) -> StepResult:
        """Compute one step."""
        ...


class Launch(Protocol):
    """A step under way on the device."""

    # Known after `result`: a step launched after this one began from tokens that were not final.
    misled: bool

    def result(self) -> StepResult:
        """Wait for it."""
        ...


@runtime_checkable
class Launcher(Runner, Protocol):
    """A runner whose device works while the host goes on."""

    def launch(self, plan: Plan, after: Launch | None = None) -> Launch:
        """Start one step.

        With `after`, the step before it, whose tokens nobody has read yet: each row of this plan
        is a single token, the one which that step samples for the row of the same key.
        """
        ...
