"""How much a machine reader sees and learns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """How much a machine reader sees and learns; figures compare within a budget alone.

    Args:
        name: of the budget.
        side: of the squares that it is shown, in pixels; all of a slice that is smaller.
        neighbours: whether it sees the slices before and behind as well, as the method left them.
        fine: whether it is given their fine structure apart, in which noise stands out.
        steps: of learning, for each method and each scan that is left out.
        batch: pairs a step.
        squares: pairs that it answers, of each removed slice.
        filters: of its convolutions.
    """

    name: str
    side: int
    neighbours: bool
    fine: bool
    steps: int
    batch: int
    squares: int
    filters: tuple[int, ...]


BUDGETS = {
    budget.name: budget
    for budget in (
        Budget(
            "default",
            side=64,
            neighbours=False,
            fine=False,
            steps=300,
            batch=16,
            squares=16,
            filters=(16, 24, 32, 48),
        ),
        Budget(
            "strong",
            side=512,
            neighbours=True,
            fine=True,
            steps=3000,
            batch=4,
            squares=1,
            filters=(24, 32, 48, 64, 96),
        ),
    )
}
