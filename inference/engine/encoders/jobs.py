"""What goes between an encoder's server, its queue and its model. No torch here.

A job is what one request asks: some inputs, answered as a whole. A row is one of them on its way to
the model; an answer is what the model makes of it.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inference.engine.request import FinishReason

Vector = NDArray[np.float32]  # (dimensions,)


@dataclass(frozen=True, slots=True)
class MaskFill:
    """The most probable tokens of one mask, best first: (id, probability)."""

    position: int  # among the input's tokens
    candidates: tuple[tuple[int, float], ...]


# Of an embedding model, of a masked language model, and of one whose numbers were not finite.
Answer = Vector | tuple[MaskFill, ...] | None


@dataclass(frozen=True, slots=True)
class Row:
    """One input. `top_k` and `target_ids` (none: all tokens) are for its masks."""

    token_ids: tuple[int, ...]
    top_k: int = 1
    target_ids: tuple[int, ...] = ()


class Encoder(Protocol):
    """A model, or a fake of one."""

    def run(self, rows: Sequence[Row]) -> list[Answer]:
        """Answer each row; what one of them is answered does not depend on the others.

        May raise, and is then asked again with fewer. DeviceLostError: it cannot go on.
        """
        ...


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a job ended; `answers` by input when it was STOP."""

    reason: FinishReason
    answers: tuple[Answer, ...] = ()
    error: str = ""
    retry_after_s: float = 0.0


@dataclass(eq=False, slots=True)
class Job:
    """One request. Changed by the loop's thread only; `end` is set once."""

    request_id: str
    tenant: str
    rows: tuple[Row, ...]
    priority: int = 0  # lower runs first
    deadline_s: float = 0.0  # from its arrival; 0: none
    end: Future[JobEnd] = field(default_factory=Future)
    answers: dict[int, Answer] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)  # inputs that were not run yet, next one last
    key: int = 0  # the loop's number for it, while it lives
    arrival: int = 0  # the queue's

    @property
    def num_tokens(self) -> int:
        """What is billed."""
        return sum(len(row.token_ids) for row in self.rows)

    @property
    def num_waiting_tokens(self) -> int:
        """Tokens of what was not run yet."""
        return sum(len(self.rows[index].token_ids) for index in self.waiting)


@dataclass(frozen=True, slots=True)
class EncoderLimits:
    """Sizes fixed at start, in tokens."""

    max_model_len: int
    token_budget: int  # of a step
    max_waiting_tokens: int  # then refuse

    def __post_init__(self) -> None:
        """Refuse a budget that the longest input would never fit."""
        if self.token_budget < self.max_model_len:
            raise ValueError(
                f"the token budget ({self.token_budget}) must cover the longest input "
                f"({self.max_model_len} tokens)"
            )
