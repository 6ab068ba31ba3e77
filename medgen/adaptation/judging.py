"""How near methods come to slices, or rows of pixels, that are left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from medgen.evaluation.edges import edge_preservation_ratio
from medgen.evaluation.noise import local_deviation_ratio
from medgen.evaluation.recreate import SHOWN, every_second_around, take_slices
from medgen.examples.alone import thick
from medgen.intensities.modality import Modality
from medgen.interpolation.contract import Interpolator
from medgen.volumes.geometry import Geometry
from medgen.volumes.volume import Volume

# Rows, and columns, that are left out to judge a model that learnt from others.
LINES_JUDGED = 4
# Side, in pixels, of the middle of a slice in which draws are compared, as drawing takes its time.
DRAWN_SIDE = 128
# Nothing is divided by less.
TINY = 1e-30
# What a model must gain, in dB, to be ahead, and what its draws may lose: of the share of edges
# kept, and of the logarithm of the noise ratio. At twice the scan's gap more is asked for: of gains
# of 0.17 and 0.22 dB there nothing was left at its own.
AHEAD_DB, AHEAD_AT_TWICE_DB, EDGES_LOST, NOISE_LOST = 0.1, 0.3, 0.02, 0.1


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

    def loses_to(self, other: Standing, ahead_db: float) -> str | None:
        """What keeps it from taking the place of `other`, None if it is ahead by `ahead_db`."""
        if not self.psnr_db >= other.psnr_db + ahead_db:
            return (
                f"{self.psnr_db:.2f} dB against {other.psnr_db:.2f} dB, and {ahead_db} dB more "
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


@dataclass(frozen=True, eq=False)
class LeftOut:
    """An image that a method is to find between others.

    Args:
        around: what it is shown, along axis 0.
        position: where between these the image lies, see `Interpolator.fill`.
        truth: the image.
    """

    around: Volume
    position: float
    truth: np.ndarray

    def filled(self, method: Interpolator) -> np.ndarray:
        """What `method` puts in its place."""
        positions = np.array([self.position])
        (filling,) = method.fill(self.around, positions, lambda done, total: None)
        return filling.images[0]

    @property
    def middle(self) -> LeftOut:
        """The same of the middle of the image."""
        starts = [max(0, (n - DRAWN_SIDE) // 2) for n in self.truth.shape]
        rows, cols = (slice(start, start + DRAWN_SIDE) for start in starts)
        array = np.ascontiguousarray(self.around.array[:, rows, cols])
        around = self.around.with_array(array, Geometry(array.shape, self.around.geometry.affine))
        return LeftOut(around, self.position, self.truth[rows, cols])


def slices_left_out(stack: Volume, held: range) -> list[LeftOut]:
    """Slices to be found at twice the gap: a method sees every second one.

    Args:
        stack: acquired slices along axis 0, as `Interpolator.fill` takes them.
        held: indices of those that are left out, none the first or the last.
    """
    cases = []
    for k in held:
        shown = every_second_around(k, len(stack.array))
        around = take_slices(stack, 0, shown)
        cases.append(LeftOut(around, (k - shown.start) / shown.step, stack.array[k]))
    return cases


def lines_left_out(
    stack: Volume, held: range, steps: int, weights: Callable[[float], np.ndarray]
) -> list[LeftOut]:
    """Rows, and columns, of all slices, to be found as images between others at the scan's gap.

    They are as thick as the slices.

    Args:
        stack: acquired slices along axis 0.
        held: rows that trained nothing; of columns these alone are shown.
        steps: the gap in rows, and in columns.
        weights: slice profile at a spacing in mm.
    """
    within = held[steps : len(held) - steps]
    band = stack.array[:, held.start : held.stop]
    count = band.shape[2]
    return [
        *_left_out_along(stack, stack.array, 1, within, steps, weights),
        *_left_out_along(stack, band, 2, range(count // 4, 3 * count // 4), steps, weights),
    ]


def _left_out_along(
    stack: Volume,
    array: np.ndarray,
    axis: int,
    targets: range,
    steps: int,
    weights: Callable[[float], np.ndarray],
) -> list[LeftOut]:
    """At most `LINES_JUDGED` of `targets` along an axis."""
    gap, distance = stack.spacing[0], stack.spacing[axis]
    lines = thick(np.moveaxis(array, axis, 0), distance, weights)
    cases = []
    chosen = targets[:: max(1, len(targets) // LINES_JUDGED)][:LINES_JUDGED]
    for i, k in enumerate(chosen):
        before = k - 1 - i % (steps - 1)
        first = before - min(SHOWN - 1, before // steps) * steps
        shown = range(first, min(before + SHOWN * steps + 1, len(lines)), steps)
        between = np.ascontiguousarray(lines[shown.start : shown.stop : steps])
        geometry = Geometry.from_spacing(between.shape, (steps * distance, gap, distance))
        around = stack.with_array(between, geometry)
        cases.append(LeftOut(around, (k - first) / steps, lines[k]))
    return cases


class Judge:
    """Compares what methods put in the place of images left out.

    Args:
        cases: the images.
        kind: how their intensities are compared.
    """

    def __init__(self, cases: Sequence[LeftOut], kind: Modality):
        self.cases = cases
        truth = np.concatenate([case.truth.ravel() for case in cases])
        limits = kind.absolute or (float(truth.min()), float(truth.max()))
        self.low, self.range = limits[0], max(limits[1] - limits[0], TINY)

    def guess(self, method: Interpolator) -> Standing:
        """How near the best guess of `method` comes."""
        judged = method.prediction() or method
        errors = [np.mean((case.filled(judged) - case.truth) ** 2.0) for case in self.cases]
        error = max(float(np.mean(errors)), TINY)
        return Standing(float(10 * np.log10(self.range**2 / error)))

    def draws(self, method: Interpolator) -> tuple[float, float]:
        """`edges` and `noise` of what it draws, in the middle of the images; see `Standing`."""
        edges, noise = [], []
        for case in (case.middle for case in self.cases):
            before = int(case.position)
            drawn, true, *neighbours = (
                image.astype(np.float64) - self.low
                for image in (
                    case.filled(method),
                    case.truth,
                    *case.around.array[before : before + 2],
                )
            )
            edges.append(edge_preservation_ratio(true, drawn, data_range=self.range))
            noise.append(local_deviation_ratio(np.stack(neighbours), drawn))
        return _mean(edges), _mean(noise)


def _mean(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
