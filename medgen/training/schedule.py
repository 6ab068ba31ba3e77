"""How long to train, and how the learning rate moves meanwhile."""

from __future__ import annotations

import math
from dataclasses import dataclass

from medgen.errors import TrainingError
from medgen.recipes import Recipe

# Warm-up: a tenth of the steps, at most 500; of a run by the clock this share of its time.
WARMUP_STEPS = 500
WARMUP_SHARE = 0.03
STEADY_WARMUP = 10
# Lowest learning rate, at either end, over the peak.
FLOOR = 0.01


@dataclass(frozen=True)
class Plan:
    """How long to train, by steps or by the clock, and how fast.

    A run by the clock takes the steps that fit and ends like one by steps, its learning rate at the
    bottom: what a borrowed machine or a queue with a limit asks for.

    Args:
        steps: gradient steps in all, or None.
        minutes: time from the first step to the last, validations included, or None; over all parts
            of a run that was interrupted.
        validate_every: steps between validations, each followed by a checkpoint.
        learning_rate: peak; a warm-up leads to it, then a cosine falls to a hundredth of it.
        linear: from the peak in a line to 0 instead.
        steady: the rate depends on nothing but the step: `STEADY_WARMUP` steps lead to the peak,
            where it stays, so that a run by the clock is repeated by the steps that it took.
        optimizer: see `Recipe`.

    Raises:
        TrainingError: not exactly one of `steps` and `minutes`.
    """

    steps: int | None
    validate_every: int
    learning_rate: float
    minutes: float | None = None
    linear: bool = False
    steady: bool = False
    optimizer: str = "adam"

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise TrainingError(
                f"A run lasts a number of steps or of minutes; got {self.steps} and {self.minutes}."
            )

    @classmethod
    def of(cls, recipe: Recipe, minutes: float | None = None) -> Plan:
        """The plan of a recipe; `minutes` take the place of its steps."""
        steps = recipe.steps if minutes is None else None
        return cls(
            steps,
            recipe.validate_every,
            recipe.learning_rate,
            minutes,
            recipe.falls_linearly,
            optimizer=recipe.optimizer,
        )

    def share_done(self, step: int, seconds: float) -> float:
        """How much of the run is over after `step` steps and `seconds`, from 0 to 1."""
        if self.steps is not None:
            return step / self.steps
        assert self.minutes is not None
        return min(1.0, seconds / (60 * self.minutes))

    def coming(self, step: int, seconds: float, pace: float, most: int) -> list[float]:
        """Learning rates of the steps to take without a look at the clock.

        Args:
            step: how many were taken.
            seconds: how long that took.
            pace: seconds that a step is expected to take.
            most: steps; at least one is taken, and none beyond the next validation.
        """
        count = min(most, self.validate_every - step % self.validate_every)
        if self.steps is not None:
            count = min(count, self.steps - step)
        elif self.minutes is not None and pace > 0:
            count = min(count, max(1, int((60 * self.minutes - seconds) / pace)))
        return [self.rate(step + i, seconds + i * pace) for i in range(count)]

    def rate(self, step: int, seconds: float) -> float:
        """Learning rate of the step after `step` steps and `seconds`."""
        if self.linear:
            return self.learning_rate * (1 - self.share_done(step, seconds))
        if self.steady:
            return self.learning_rate * min(1.0, (step + 1) / STEADY_WARMUP)
        warmup = WARMUP_SHARE
        if self.steps is not None:
            warmup = min(WARMUP_STEPS, self.steps // 10) / self.steps
        share = self.share_done(step, seconds)
        if share < warmup:
            return self.learning_rate * (FLOOR + (1 - FLOOR) * share / warmup)
        falling = (1 + math.cos(math.pi * (share - warmup) / (1 - warmup))) / 2
        return self.learning_rate * (FLOOR + (1 - FLOOR) * falling)
