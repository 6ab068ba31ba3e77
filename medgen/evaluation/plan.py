"""Which slices of a scan are taken out or made coarse, and what a method sees of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from medgen.errors import EvaluationError
from medgen.volumes.geometry import Geometry


@dataclass(frozen=True)
class Plan:
    """Which slices of a scan the methods see and which they have to re-create.

    Every `step`-th slice from `first` on is the truth. Every `factor`-th of the truth is acquired,
    what a method sees; those between are removed.

    Args:
        axis: slice axis of the scan.
        first: index of the first slice.
        step: slices of the scan from one of the truth to the next.
        factor: slices of the truth from one acquired to the next.
        acquired: number of acquired slices, at least 2.
        spacing_mm: distance of the slices of the truth.
    """

    axis: int
    first: int
    step: int
    factor: int
    acquired: int
    spacing_mm: float

    beside: ClassVar[tuple[str, str]] = "acquired before", "acquired behind"

    @property
    def gap_mm(self) -> float:
        """Distance, centre to centre, of the acquired slices: those that a method sees."""
        return self.spacing_mm * self.factor

    @property
    def truth(self) -> range:
        """Indices, in the scan, of all slices of the truth."""
        count = (self.acquired - 1) * self.factor + 1
        return range(self.first, self.first + count * self.step, self.step)

    @property
    def removed(self) -> list[int]:
        """Indices, in the truth, of the slices to re-create."""
        return [t for t in range(len(self.truth)) if t % self.factor]

    def where(self, t: int) -> str:
        """`outermost` if slice `t` of the truth lies in the first or the last gap, else `interior`.

        There a method has acquired slices on one side only beyond the two neighbours.
        """
        return "outermost" if t // self.factor in (0, self.acquired - 2) else "interior"

    def neighbours(self, t: int) -> tuple[int, int]:
        """Indices, in the truth, of the acquired slices before and behind removed slice `t`."""
        before = t - t % self.factor
        return before, before + self.factor


@dataclass(frozen=True)
class DegradedPlan:
    """Voxels of a scan are made coarse, and the methods have to re-create every slice of it.

    Named as in `Plan`, of which it can take the place.

    Args:
        axis: slice axis of the scan.
        factor: voxels of the truth for each that a method sees, along each axis.
        acquired: number of coarse slices.
        spacing_mm: distance of the slices of the truth.
        by: how they are made coarse, one of `degradation.DEGRADATIONS`.
        in_plane: pixels alone are made coarse, slice by slice.
    """

    axis: int
    factor: int
    acquired: int
    spacing_mm: float
    by: str
    in_plane: bool = False

    beside: ClassVar[tuple[str, str]] = "truth before", "truth behind"

    @property
    def kept(self) -> int | None:
        """The axis that stays as it is, None for none."""
        return self.axis if self.in_plane else None

    @property
    def deep(self) -> int:
        """Slices of the truth for each that a method sees."""
        return 1 if self.in_plane else self.factor

    @property
    def gap_mm(self) -> float:
        """Distance, centre to centre, of the slices that a method sees."""
        return self.spacing_mm * self.deep

    @property
    def truth(self) -> range:
        """Indices, in the scan, of all slices of the truth."""
        return range(self.acquired * self.deep)

    @property
    def removed(self) -> list[int]:
        """Indices, in the truth, of the slices to re-create."""
        return list(self.truth)

    def where(self, t: int) -> str:
        """`outermost` if slice `t` lies in the first or the last coarse one, else `interior`.

        In-plane all are: no slice helps another.
        """
        ends = () if self.in_plane else (0, self.acquired - 1)
        return "outermost" if t // self.deep in ends else "interior"

    def neighbours(self, t: int) -> tuple[int, int]:
        """Indices of the true slices before and behind slice `t`, itself at an end.

        Nothing of the wanted fineness was acquired; noise is compared with the truth's.
        """
        return max(t - 1, 0), min(t + 1, len(self.truth) - 1)


AnyPlan = Plan | DegradedPlan


def plan_scan(
    geometry: Geometry,
    *,
    factor: int = 2,
    gap_mm: float | None = None,
    slice_axis: int | None = None,
) -> Plan:
    """Decide which slices of a scan to remove.

    Without `gap_mm` all slices are the truth. With it, the truth is thinned first to every n-th
    slice, n as near as whole slices allow, so that the acquired ones lie about that far apart.
    Slices behind the last acquired one are not used.

    Args:
        geometry: of the scan.
        factor: int >= 2; 1 in `factor` slices of the truth is kept.
        gap_mm: wanted distance of the acquired slices.
        slice_axis: 0, 1 or 2; by default the geometry's.

    Raises:
        GeometryError: there is no such axis.
        EvaluationError: fewer than 2 slices are left, or the gap is finer than the scan allows.
    """
    if factor < 2:
        raise EvaluationError(f"The factor must be at least 2, got {factor}.")
    axis = geometry.slice_axis if slice_axis is None else slice_axis
    geometry.require_slices(axis)
    spacing, count = geometry.spacing[axis], geometry.shape[axis]
    step = 1 if gap_mm is None else max(1, round(gap_mm / (factor * spacing)))
    if gap_mm is not None and gap_mm < 0.75 * factor * spacing:
        raise EvaluationError(
            f"Keeping 1 in {factor} slices that lie {spacing:g} mm apart leaves them at least "
            f"{factor * spacing:g} mm apart, got --gap {gap_mm:g}; ask for a wider gap."
        )
    acquired = (count - 1) // (step * factor) + 1
    if acquired < 2:
        raise EvaluationError(
            f"Keeping 1 in {step * factor} leaves only 1 of the scan's {count} slices, and 2 are "
            "needed; choose a smaller factor or gap."
        )
    return Plan(axis, 0, step, factor, acquired, spacing * step)


def plan_degraded(
    geometry: Geometry,
    *,
    factor: int,
    by: str,
    in_plane: bool = False,
    slice_axis: int | None = None,
) -> DegradedPlan:
    """Decide how a scan is made coarse; see `degradation`.

    Args:
        geometry: of the scan, those of its axes multiples of `factor` that are made coarse.
        factor: int >= 2.
        by: one of `DEGRADATIONS`.
        in_plane: see `DegradedPlan`.
        slice_axis: 0, 1 or 2, along which slices are compared; by default the geometry's.
    """
    axis = geometry.slice_axis if slice_axis is None else slice_axis
    count = geometry.shape[axis] // (1 if in_plane else factor)
    return DegradedPlan(axis, factor, count, geometry.spacing[axis], by, in_plane)


def overlap_warning(plan: AnyPlan, thickness_mm: float | None) -> str | None:
    """One sentence if removed slices overlap the acquired ones beside them, or None.

    They do when they lie nearer than one slice thickness: then they share most of their noise,
    interpolation looks near perfect, and nothing is learned about gaps of several millimetres.
    """
    if isinstance(plan, DegradedPlan):
        return None
    if thickness_mm is None or plan.spacing_mm >= 0.99 * thickness_mm:
        return None
    return (
        f"Removed slices lie {plan.spacing_mm:g} mm from acquired ones but are {thickness_mm:g} mm "
        "thick, so both overlap and share their noise: errors are too small and say nothing about "
        f"wider gaps; repeat with --gap {2 * thickness_mm:g} or more."
    )
