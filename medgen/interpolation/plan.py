"""Which slices a finer scan has, where they lie, and which of them are synthetic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medgen.errors import GeometryError
from medgen.volumes.geometry import AXES, Geometry
from medgen.volumes.volume import Volume

# Target positions this near to an acquired slice, in units of the old spacing, are that slice.
COINCIDENCE = 1e-4
# Likewise, of grids that were read from files.
ROUNDING = 1e-3


@dataclass(frozen=True, eq=False)
class SlicePlan:
    """The slices of a finer scan, in terms of the acquired ones.

    Args:
        axis: 0, 1 or 2, the slice axis.
        geometry: grid of the finer scan.
        positions: `(m,)` float64 ascending, one for each of its slices: 2.0 is the third acquired
            slice, 2.25 lies a quarter of the way from there to the fourth.
    """

    axis: int
    geometry: Geometry
    positions: np.ndarray

    @property
    def nearest(self) -> np.ndarray:
        """The acquired slice nearest to each slice, int `(m,)`."""
        return np.rint(self.positions).astype(int)

    @property
    def synthetic(self) -> np.ndarray:
        """Whether each slice is synthetic, bool `(m,)`; the others are the acquired ones."""
        return np.abs(self.positions - self.nearest) >= COINCIDENCE

    def mask(self) -> Volume:
        """The finer scan's grid with 1 in voxels of synthetic slices, 0 elsewhere, uint8."""
        array = np.zeros(self.geometry.shape, np.uint8)
        np.moveaxis(array, self.axis, 0)[self.synthetic] = 1
        return Volume(array, self.geometry)


def plan_slices(
    geometry: Geometry,
    *,
    factor: int | None = None,
    spacing_mm: float | None = None,
    slice_axis: int | None = None,
) -> SlicePlan:
    """Plan more slices for a scan on `geometry`; for the arguments see `interpolate_volume`.

    Raises:
        GeometryError: not exactly one of `factor` and `spacing_mm`, or one that does not fit.

    Example:
        >>> from medgen.volumes import Geometry
        >>> plan = plan_slices(Geometry.from_spacing((64, 64, 4), (1.0, 1.0, 6.0)), factor=2)
        >>> plan.positions.tolist()
        [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
        >>> plan.synthetic.tolist()
        [False, True, False, True, False, True, False]
    """
    if (factor is None) == (spacing_mm is None):
        raise GeometryError(
            f"Give a factor or a spacing in mm, not both, got {factor=} and {spacing_mm=}."
        )
    axis = geometry.slice_axis if slice_axis is None else slice_axis
    if factor is not None:
        finer = geometry.refine(axis, factor)
        return SlicePlan(axis, finer, np.arange(finer.shape[axis]) / factor)
    assert spacing_mm is not None
    finer = geometry.respace(axis, spacing_mm)
    steps = np.arange(finer.shape[axis])
    return SlicePlan(axis, finer, steps * (spacing_mm / geometry.spacing[axis]))


def plan_onto(before: Geometry, after: Geometry) -> SlicePlan | None:
    """The plan by which a scan on `before` became one on `after`.

    Args:
        before: grid of the scan.
        after: grid of a finer one, or the same.

    Returns:
        None where the grids differ in more than the slices along one axis, or the finer one has
        slices beyond the first or last acquired one.
    """
    # (4, 4), from voxels of `after` to voxels of `before`
    steps = np.linalg.inv(before.affine) @ after.affine
    for axis in sorted(AXES, key=lambda axis: axis != before.slice_axis):
        step, start = steps[axis, axis], steps[axis, 3]
        along = np.eye(4)
        along[axis, [axis, 3]] = step, start
        positions = start + step * np.arange(after.shape[axis])
        nearest = np.rint(positions)
        # Headers hold float32: what is an acquired slice by that much is one.
        positions = np.where(np.abs(positions - nearest) < ROUNDING, nearest, positions)
        last = before.shape[axis] - 1
        if (
            all(before.shape[other] == after.shape[other] for other in AXES if other != axis)
            and 0 < step <= 1 + ROUNDING
            and positions[0] >= 0
            and positions[-1] <= last
            and after.close_to(Geometry(after.shape, before.affine @ along), 0.1, 0.1)
        ):
            return SlicePlan(axis, after, positions)
    return None
