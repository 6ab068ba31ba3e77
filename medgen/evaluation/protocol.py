"""The experiment: take slices out of a scan, let methods put them back, score what they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from medgen.errors import EvaluationError, MedgenError
from medgen.evaluation.regions import Region
from medgen.evaluation.scoring import Binning, SliceScore, SliceTask, score_slice
from medgen.evaluation.similarity import SSIM_SIDE
from medgen.intensities.padding import find_outside
from medgen.processes import in_order
from medgen.volumes.geometry import Geometry
from medgen.volumes.volume import Volume

# Slices handed to other processes before the first comes back.
AHEAD = 16

# `recreate(volume, factor=2, slice_axis=2)` inserts `factor - 1` slices between neighbours.
# A method that tells its uncertainty gives three scans, the ends of a 90 % interval behind.
Recreate = Callable[..., Volume | tuple[Volume, Volume, Volume]]
Progress = Callable[[str, int, int], None]


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


@dataclass(frozen=True, eq=False)
class Example:
    """Pictures of one removed slice, `(rows, cols)` each, in physical units, and its region."""

    index: int
    before: np.ndarray
    true: np.ndarray
    behind: np.ndarray
    tests: dict[str, np.ndarray]
    region: np.ndarray


@dataclass(frozen=True, eq=False)
class ScanResult:
    """What was measured on one scan.

    Args:
        name: of the scan in the report.
        modality: as the scan's.
        geometry: of the scan as read.
        plan: which slices were removed.
        thickness_mm: thickness of its slices, None if unknown.
        region: what texture was measured in.
        binning: how texture was discretised.
        scores: of all removed slices that are not blank.
        blank: removed slices without any content, which are not scored.
        failures: method -> why it gave nothing.
        example: the scored slice nearest to the middle, for pictures.
        notes: on what was odd about the scan.
    """

    name: str
    modality: str
    geometry: Geometry
    plan: Plan
    thickness_mm: float | None
    region: str
    binning: Binning | None
    scores: tuple[SliceScore, ...] = field(repr=False)
    blank: int
    failures: Mapping[str, str]
    example: Example = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """What a reader must know before trusting the numbers; see `overlap_warning`."""
        overlap = overlap_warning(self.plan, self.thickness_mm)
        return [*([] if overlap is None else [overlap]), *self.notes]


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


def overlap_warning(plan: Plan, thickness_mm: float | None) -> str | None:
    """One sentence if removed slices overlap the acquired ones beside them, or None.

    They do when they lie nearer than one slice thickness: then they share most of their noise,
    interpolation looks near perfect, and nothing is learned about gaps of several millimetres.
    """
    if thickness_mm is None or plan.spacing_mm >= 0.99 * thickness_mm:
        return None
    return (
        f"Removed slices lie {plan.spacing_mm:g} mm from acquired ones but are {thickness_mm:g} mm "
        "thick, so both overlap and share their noise: errors are too small and say nothing about "
        f"wider gaps; repeat with --gap {2 * thickness_mm:g} or more."
    )


def take_slices(volume: Volume, axis: int, indices: range) -> Volume:
    """The slices `indices` (with a positive step) along `axis`, as a volume at their place."""
    chosen = [slice(None)] * 3
    chosen[axis] = slice(indices.start, indices.stop, indices.step)
    affine = np.array(volume.geometry.affine)
    affine[:3, 3] = volume.geometry.centers(axis)[indices.start]
    affine[:3, axis] *= indices.step
    array = volume.array[tuple(chosen)]
    return volume.with_array(array, Geometry(array.shape, affine))


def evaluate_scan(
    volume: Volume,
    methods: Mapping[str, Recreate],
    plan: Plan,
    *,
    name: str,
    region: Region,
    binning: Binning | None,
    mapped: bool = False,
    thickness_mm: float | None = None,
    executor: Executor | None = None,
    progress: Progress = lambda name, done, total: None,
) -> ScanResult:
    """Remove slices, let each method re-create them, and score every one.

    Padding (see `medgen.intensities.padding`) counts as air, and so does whatever a method puts
    where the truth is padding: nothing was measured there. The data range is 4095 HU for CT, and
    that of the truth otherwise.

    Args:
        volume: the scan.
        methods: name -> function that inserts slices.
        plan: which slices to remove.
        name: of the scan in the report.
        region: where texture is measured, with a mask of the shape of the volume.
        binning: grey levels for texture, or None to leave texture out.
        mapped: whether to compare maps of texture features too (MSMFE).
        thickness_mm: of the slices; by default what the file says, if it does.
        executor: scores slices in parallel if given.
        progress: called with the name, slices re-created or scored, and such slices in all.

    Raises:
        EvaluationError: voxels are not finite, slices are below 11 voxels a side, every removed one
            is blank, the region is empty in all of them, or no method gave a result.
    """
    truth, padding = stack_of(take_slices(volume, plan.axis, plan.truth), plan.axis)
    regions = np.moveaxis(region.mask, plan.axis, 0)[plan.truth.start : plan.truth.stop : plan.step]
    if not np.isfinite(truth).all():
        raise EvaluationError(
            "The scan has NaN or infinite voxels; replace them by numbers before evaluating."
        )
    if min(truth.shape[1:]) < SSIM_SIDE:
        raise EvaluationError(
            f"Slices must be at least {SSIM_SIDE} voxels a side to be compared, got "
            f"{truth.shape[1]} x {truth.shape[2]}; choose another axis with --slice-axis."
        )
    scored = [t for t in plan.removed if np.ptp(truth[t]) > 0]
    if not scored:
        raise EvaluationError("Every removed slice is blank, so there is nothing to compare.")
    if not any(regions[t].any() for t in scored):
        raise EvaluationError(
            f"The region of interest ({region.name}) is empty in every removed slice; give another "
            "with --mask."
        )
    total = len(methods) + len(scored)
    tests, intervals, failures = {}, {}, {}
    acquired = take_slices(volume, plan.axis, plan.truth[:: plan.factor])
    for done, (method, recreate) in enumerate(methods.items(), start=1):
        try:
            tests[method], *interval = recreated(recreate, acquired, plan, padding, method)
            if interval:
                intervals[method] = interval
        except MedgenError as error:
            failures[method] = str(error)
        progress(name, done, total)
    if not tests:
        raise EvaluationError("No method gave a result: " + " ".join(failures.values()))

    lower, upper = volume.kind.absolute or (float(truth.min()), float(truth.max()))

    def task(t: int) -> SliceTask:
        before = t - t % plan.factor
        return SliceTask(
            index=plan.truth[t],
            position_mm=plan.truth[t] * volume.spacing[plan.axis],
            where=plan.where(t),
            true=truth[t],
            tests={method: stack[t] for method, stack in tests.items()},
            intervals={method: (low[t], high[t]) for method, (low, high) in intervals.items()},
            neighbours=truth[[before, before + plan.factor]],
            region=regions[t],
            lower=lower,
            data_range=upper - lower,
            binning=binning,
            mapped=mapped,
        )

    scores = []
    results = in_order(executor, score_slice, map(task, scored), ahead=AHEAD)
    for done, rows in enumerate(results, start=1):
        scores += rows
        progress(name, len(methods) + done, total)
    middle = task(min(scored, key=lambda t: abs(t - len(truth) // 2)))
    return ScanResult(
        name=name,
        modality=volume.modality,
        geometry=volume.geometry,
        plan=plan,
        thickness_mm=thickness_mm or volume.metadata.get("slice_thickness_mm"),
        region=region.name,
        binning=binning,
        scores=tuple(scores),
        blank=len(plan.removed) - len(scored),
        failures=failures,
        example=Example(
            middle.index,
            middle.neighbours[0],
            middle.true,
            middle.neighbours[1],
            middle.tests,
            middle.region,
        ),
        notes=volume.notes,
    )


def recreated(
    recreate: Recreate, acquired: Volume, plan: Plan, padding: np.ndarray, method: str
) -> list[np.ndarray]:
    """What one method makes of the acquired slices, in physical units; padding as air.

    One stack, and behind it both ends of the interval from a method that tells it.

    Args:
        recreate: the method.
        acquired: the slices that it sees.
        plan: for their number.
        padding: bool `(n, rows, cols)`, where the truth is padding.
        method: its name.
    """
    result = recreate(acquired, factor=plan.factor, slice_axis=plan.axis)
    volumes = (result,) if isinstance(result, Volume) else result
    stacks = []
    for volume in volumes:
        stack, _ = stack_of(volume, plan.axis)
        if stack.shape != padding.shape:
            raise EvaluationError(
                f"{method} gave slices of shape {stack.shape}, expected {padding.shape}."
            )
        if not np.isfinite(stack).all():
            raise EvaluationError(f"{method} gave NaN or infinite values; it is left out.")
        stack[padding] = volume.kind.air
        stacks.append(stack)
    return stacks


def stack_of(volume: Volume, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Physical values `(n, rows, cols)` with padding as air, and where that is."""
    volume.require_one_channel("An evaluation")
    values = np.ascontiguousarray(np.moveaxis(volume.physical(), axis, 0))
    padding = find_outside(
        values, volume.kind, declared=volume.metadata.get("padding_value")
    ).padding
    values[padding] = volume.kind.air
    return values, padding
