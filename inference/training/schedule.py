"""Learning-rate multipliers: warm-up, stable, decay (WSD, Hu et al. 2024).

The long stable part does not depend on the length of the run, so a decay may begin from whatever
checkpoint exists.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    steps: int
    warmup_steps: int
    decay_steps: int
    floor: float = 0.02

    def __post_init__(self) -> None:
        if self.warmup_steps + self.decay_steps > self.steps:
            raise ValueError("Warm-up and decay must fit into the number of steps.")

    def multiplier(self, step: int) -> float:
        """For the step with this number, from 0: linear up, flat, linear down to `floor`."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        left = self.steps - step
        if left > self.decay_steps:
            return 1.0
        return self.floor + (1 - self.floor) * left / self.decay_steps
