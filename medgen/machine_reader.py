"""A small net learns on some scans to tell real slices from synthetic ones, and reads another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from keras import ops
from scipy.ndimage import uniform_filter

from medgen.backends import Function, compiled
from medgen.errors import EvaluationError
from medgen.evaluation.budgets import Budget
from medgen.evaluation.experiment import Progress
from medgen.evaluation.reading import Reading, Shown
from medgen.examples.batches import ATTEMPTS, FLAT, fit_to, random_window
from medgen.nets.pair_reader import PairReader
from medgen.training.schedule import Plan
from medgen.training.step import Step

LEARNING_RATE = 3e-3
# Share of a scan's voxels above and below which values count as the ends of its range.
BEYOND = 0.005
# What lies between a voxel and the mean of this square around it is fine structure.
FINE = 3
# Beyond this many deviations fine structure is cut off, in front of the net.
CUT = 6.0
# Scores nearer to one another than this are equal.
ROUNDING = 1e-6
LEARN, ANSWER = 0x1EA2, 0xA45E


@dataclass(frozen=True)
class Scale:
    """What brings images of a scan to numbers of about one, alike for real and synthetic ones.

    Args:
        low: lower end of its range, in physical units.
        width: of the range.
        fine: deviation of its fine structure.
    """

    low: float
    width: float
    fine: float

    @classmethod
    def of(cls, true: np.ndarray) -> Scale:
        """The scale of real slices `(n, rows, cols, c)`."""
        low, high = (float(q) for q in np.quantile(true[..., 0], (BEYOND, 1 - BEYOND)))
        width = max(high - low, 1e-6)
        fine = np.abs(fine_structure(true))
        # Of a normal distribution, from the median of what is not flat.
        deviation = float(np.median(fine[fine > 1e-3 * width])) * 1.4826 if fine.any() else width
        return cls(low, width, max(deviation, 1e-6 * width))

    def images(self, slices: np.ndarray, fine_too: bool) -> np.ndarray:
        """Slices `(..., h, w, c)` for the net, with their fine structure behind where it is wanted.

        Then there are `2 c` maps.
        """
        unit = np.clip((slices - self.low) / self.width - 0.5, -1, 1)
        if not fine_too:
            return unit.astype(np.float32)
        fine = np.clip(fine_structure(slices) / self.fine, -CUT, CUT)
        return np.concatenate([unit, fine], axis=-1).astype(np.float32)


def fine_structure(slices: np.ndarray) -> np.ndarray:
    """What is left of slices `(..., h, w, c)` without the local mean."""
    size = (*[1] * (slices.ndim - 3), FINE, FINE, 1)
    return slices - uniform_filter(slices, size, mode="nearest")


def require_scans(count: int) -> None:
    """Raise `EvaluationError` unless there are scans to learn on and another one to answer on."""
    if count < 2:
        raise EvaluationError(
            "A machine reader learns on other scans than the one that it reads, so it needs two or "
            f"more, got {count}; give further scans or leave out --machine-reader."
        )


def read(
    shown: Sequence[Shown],
    budget: Budget,
    *,
    seed: int = 0,
    progress: Progress = lambda name, done, total: None,
) -> dict[str, Reading]:
    """Let a net tell synthetic slices of every method from real ones, one scan left out at a time.

    For each method and each scan it starts afresh, learns from pairs of the other scans, real and
    synthetic of one place, and names the real one in pairs of the scan left out.

    Args:
        shown: two scans or more.
        budget: see `Budget`.
        seed: of the weights to begin with and of the places; the same seed reads alike.
        progress: called with what is read, steps done and steps in all.

    Returns:
        method -> its answers; of methods that two scans have.

    Raises:
        EvaluationError: there is one scan.
    """
    require_scans(len(shown))
    scales = {scan.scan: Scale.of(scan.true) for scan in shown}
    sides = [n for scan in shown for n in scan.true.shape[1:3]]
    budget = replace(budget, side=min(budget.side, *sides))
    maps = shown[0].true.shape[-1] * (2 if budget.fine else 1)
    net = PairReader(maps, budget.filters, seed)
    net.build()
    step = Step(net, average=True)
    plan = Plan(budget.steps, budget.steps, LEARNING_RATE)
    look = compiled(lambda pairs: net(pairs), net)
    fresh = step.arrays()
    readings = {}
    for method in dict.fromkeys(method for scan in shown for method in scan.tests):
        scans = [scan for scan in shown if method in scan.tests]
        if len(scans) < 2:
            continue
        parts = []
        for number, left_out in enumerate(scans):
            others = [scan for scan in scans if scan is not left_out]
            step.restore(fresh)
            for k in range(budget.steps):
                rng = np.random.default_rng([seed, LEARN, number, k])
                batch = [
                    _turned(_drawn(others, method, scales, budget, rng), rng)
                    for _ in range(budget.batch)
                ]
                step(np.stack(batch), k + 1, plan.rate(k, 0.0))
                done = number * budget.steps + k + 1
                progress(f"Reading {method}", done, len(scans) * budget.steps)
            with step.averaged():
                parts.append(_answers(look, left_out, method, scales[left_out.scan], budget, seed))
        readings[method] = Reading(
            np.concatenate([part.hits for part in parts]),
            tuple(scan for part in parts for scan in part.scans),
            tuple(index for part in parts for index in part.indices),
        )
    return readings


def _drawn(
    scans: Sequence[Shown],
    method: str,
    scales: dict[str, Scale],
    budget: Budget,
    rng: np.random.Generator,
) -> np.ndarray:
    """A pair `(2, side, side, maps)` from any place of any slice of any scan."""
    scan = scans[int(rng.integers(len(scans)))]
    number = int(rng.integers(len(scan.true)))
    return _pair(scan, method, number, scales[scan.scan], budget, rng)


def _pair(
    scan: Shown,
    method: str,
    number: int,
    scale: Scale,
    budget: Budget,
    rng: np.random.Generator,
) -> np.ndarray:
    """Real and synthetic, of one place in slice `number` where there is something to see."""
    for _ in range(ATTEMPTS):
        window = random_window(rng, scan.true.shape[1:3], budget.side)
        true = scan.true[number][window]
        if true[..., true.shape[-1] // 2].std() > FLAT * scale.width:
            break
    both = [fit_to(image, budget.side) for image in (true, scan.tests[method][number][window])]
    return scale.images(np.stack(both), budget.fine)


def _turned(pair: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One of the eight symmetries of the square, the same for both."""
    pair = np.rot90(pair, int(rng.integers(4)), (1, 2))
    return pair.swapaxes(1, 2) if rng.integers(2) else pair


def _answers(
    look: Function, scan: Shown, method: str, scale: Scale, budget: Budget, seed: int
) -> Reading:
    """What the net says of pairs of a scan."""
    rng = np.random.default_rng([seed, ANSWER])
    hits: list[np.ndarray] = []
    for number in range(len(scan.true)):
        pairs = [_pair(scan, method, number, scale, budget, rng) for _ in range(budget.squares)]
        real, synthetic = np.moveaxis(ops.convert_to_numpy(look(np.stack(pairs))), 1, 0)
        hits.append(np.where(np.isclose(real, synthetic, atol=ROUNDING), 0.5, real > synthetic))
    indices = np.repeat(scan.indices, budget.squares).tolist()
    return Reading(np.concatenate(hits), (scan.scan,) * len(indices), tuple(indices))
