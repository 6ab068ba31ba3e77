"""How near methods come to acquired slices that are left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medgen.evaluation.edges import edge_preservation_ratio
from medgen.evaluation.noise import local_deviation_ratio
from medgen.evaluation.recreate import every_second_around, take_slices
from medgen.interpolation.contract import Interpolator
from medgen.volumes.geometry import Geometry
from medgen.volumes.volume import Volume

# Side, in pixels, of the middle of a slice in which draws are compared, as drawing takes its time.
DRAWN_SIDE = 128
# Nothing is divided by less.
TINY = 1e-30
# What a model must gain, in dB, to be ahead, and what its draws may lose: of the share of edges
# kept, and of the logarithm of the noise ratio. Slices are left out at twice the scan's gap, and of
# gains of 0.17 and 0.22 dB there nothing was left at its own.
AHEAD_DB, EDGES_LOST, NOISE_LOST = 0.3, 0.02, 0.1


@dataclass(frozen=True)
class Standing:
    """How a method does on the slices left out.

    Args:
        psnr_db: of its best guess.
        edges: share of the edges kept by what it draws; NaN where there are none, or no draws.
        noise: of what it draws, over that of the neighbours; likewise.
    """

    psnr_db: float
    edges: float = float("nan")
    noise: float = float("nan")

    def loses_to(self, other: Standing) -> str | None:
        """What keeps it from taking the place of `other`, None if it is ahead."""
        if not self.psnr_db >= other.psnr_db + AHEAD_DB:
            return (
                f"{self.psnr_db:.2f} dB against {other.psnr_db:.2f} dB, and {AHEAD_DB} dB more "
                "are asked for"
            )
        if self.edges < other.edges - EDGES_LOST:
            return f"{self.edges:.3f} of the edges against {other.edges:.3f}"
        own, others = (abs(np.log(one.noise)) for one in (self, other))
        if own > others + NOISE_LOST:
            return f"{self.noise:.2f} of the noise against {other.noise:.2f}"
        return None

    @property
    def facts(self) -> dict[str, float]:
        """Those that are known, by name."""
        known = {"psnr_db": self.psnr_db, "edges": self.edges, "noise": self.noise}
        return {name: float(value) for name, value in known.items() if np.isfinite(value)}


class Judge:
    """Leaves slices out of a scan, one at a time, and compares what methods put there.

    A method sees every second slice, so that the gap is twice the scan's.

    Args:
        stack: acquired slices along axis 0, as `Interpolator.fill` takes them.
        held: indices of those that are left out, none the first or the last.
    """

    def __init__(self, stack: Volume, held: range):
        self.stack, self.held = stack, held
        truth = stack.array[held.start : held.stop]
        limits = stack.kind.absolute or (float(truth.min()), float(truth.max()))
        self.low, self.range = limits[0], max(limits[1] - limits[0], TINY)

    def guess(self, method: Interpolator) -> Standing:
        """How near its best guesses come."""
        judged = method.prediction() or method
        errors = [
            np.mean((_filled(judged, self.stack, k) - self.stack.array[k]) ** 2.0)
            for k in self.held
        ]
        error = max(float(np.mean(errors)), TINY)
        return Standing(float(10 * np.log10(self.range**2 / error)))

    def draws(self, method: Interpolator) -> tuple[float, float]:
        """`edges` and `noise` of what it draws, in the middle of the slices; see `Standing`."""
        middle = _middle(self.stack)
        edges, noise = [], []
        for k in self.held:
            drawn, true, before, behind = (
                image.astype(np.float64) - self.low
                for image in (_filled(method, middle, k), *middle.array[[k, k - 1, k + 1]])
            )
            edges.append(edge_preservation_ratio(true, drawn, data_range=self.range))
            noise.append(local_deviation_ratio(np.stack([before, behind]), drawn))
        return _mean(edges), _mean(noise)


def _filled(method: Interpolator, stack: Volume, k: int) -> np.ndarray:
    """What `method` puts in the place of slice `k`, `(rows, cols)`."""
    shown = every_second_around(k, len(stack.array))
    position = (k - shown.start) / shown.step
    around = take_slices(stack, 0, shown)
    (filling,) = method.fill(around, np.array([position]), lambda done, total: None)
    return filling.images[0]


def _middle(stack: Volume) -> Volume:
    starts = [max(0, (n - DRAWN_SIDE) // 2) for n in stack.shape[1:]]
    rows, cols = (slice(start, start + DRAWN_SIDE) for start in starts)
    array = np.ascontiguousarray(stack.array[:, rows, cols])
    return stack.with_array(array, Geometry(array.shape, stack.geometry.affine))


def _mean(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
