"""Whether a model knows a scan at all: acquired slices left out, beside linear interpolation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from medgen.evaluation.recreate import every_second_around, take_slices
from medgen.interpolation.classical import CLASSICAL
from medgen.interpolation.contract import Interpolator
from medgen.interpolation.insert import insert
from medgen.interpolation.plan import SlicePlan
from medgen.volumes.volume import Volume

# Slices that are left out, one at a time, evenly spread.
CHECKED = 3
# Runs that make fewer slices than this are over before a check would be.
WORTH_A_CHECK = 16


@dataclass(frozen=True)
class Check:
    """Errors where the truth is known, over gaps twice as wide as the scan's.

    Args:
        model: name of what was checked.
        slices: indices, along the slice axis, of those that were left out.
        error: mean absolute error of the model's prediction, in physical units.
        linear_error: of linear interpolation.
        unit: of both, empty where the scan's values have none.
    """

    model: str
    slices: tuple[int, ...]
    error: float
    linear_error: float
    unit: str

    @property
    def note(self) -> str | None:
        """What a user must know, None where the model is ahead."""
        if self.error <= self.linear_error:
            return None
        unit = f" {self.unit}" if self.unit else ""
        return (
            f"This scan is unlike what {self.model} knows: where {len(self.slices)} acquired "
            f"slices were left out, its mean error is {self.error:.3g}{unit}, that of linear "
            f"interpolation {self.linear_error:.3g}{unit}; medgen audit tells more, and --model "
            "names another."
        )

    @property
    def facts(self) -> dict[str, object]:
        """For the provenance."""
        return {
            "left_out": list(self.slices),
            "mae": self.error,
            "linear_mae": self.linear_error,
        }


def check_scan(scan: Volume, method: Interpolator, axis: int) -> Check | None:
    """Leave out acquired slices, one at a time, and see how well the model's guess replaces them.

    The model sees every second slice, so that its neighbours of the gap are those of the slice left
    out. What it is judged by is its prediction (see `Interpolator.prediction`), as chance adds to
    the error of what is drawn; what has none is judged by what it gives.

    Args:
        scan: no label map.
        method: what is to fill in its slices.
        axis: of the slices.

    Returns:
        None if fewer than three slices have any content.
    """
    judged = method.prediction() or method
    inner = range(1, scan.shape[axis] - 1)
    chosen = np.unique(np.linspace(0, len(inner) - 1, CHECKED + 2)[1:-1].round().astype(int))
    errors = []
    for k in (inner[i] for i in chosen if len(inner)):
        truth = scan.to_physical(np.take(scan.array, k, axis)).astype(np.float64)
        if np.ptp(truth) == 0:
            continue
        shown = every_second_around(k, scan.shape[axis])
        position = (k - shown.start) / shown.step
        before = math.ceil(position)
        around = take_slices(scan, axis, shown)
        positions = np.insert(np.arange(len(shown), dtype=float), before, position)
        geometry = scan.geometry.resliced(axis, len(positions), scan.spacing[axis])
        plan = SlicePlan(axis, geometry, positions)
        errors.append(
            (
                k,
                *(
                    _error(around, one, plan, before, truth)
                    for one in (judged, CLASSICAL["linear"])
                ),
            )
        )
    if not errors:
        return None
    slices, own, linear = zip(*errors, strict=True)
    return Check(method.name, slices, float(np.mean(own)), float(np.mean(linear)), scan.kind.unit)


def _error(
    around: Volume, method: Interpolator, plan: SlicePlan, index: int, truth: np.ndarray
) -> float:
    made = insert(around, method, plan).volumes[0]
    image = made.to_physical(np.take(made.array, index, plan.axis)).astype(np.float64)
    return float(np.abs(image - truth).mean())
