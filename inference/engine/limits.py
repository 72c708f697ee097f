"""The sizes that an engine's scheduler keeps to."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SchedulerLimits:
    """Sizes fixed at start. Lengths are in tokens."""

    max_model_len: int
    token_budget: int = 512
    max_running: int = 64
    max_waiting: int = 1024
    max_drafts: int = 0  # of a step: too many delay the sequences beside them
    max_stretch: float = 2.0  # of a decoding step by prompts beside it (`pace.py`); 0: no limit

    def __post_init__(self) -> None:
        """Refuse sizes with which a step could not serve every running sequence."""
        for name in ("max_model_len", "token_budget", "max_running"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.max_waiting < 0:
            raise ValueError("max_waiting must not be negative")
        if self.max_stretch != 0 and not 1 < self.max_stretch < math.inf:
            raise ValueError("max_stretch must be above 1, or 0 for no limit")
        if self.token_budget < self.max_running:
            raise ValueError(
                f"the token budget ({self.token_budget}) must cover one token for each of "
                f"{self.max_running} running sequences"
            )
