"""The experiment: take slices out of a scan, let methods put them back, score what they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from medgen.errors import EvaluationError
from medgen.evaluation.budgets import Budget
from medgen.evaluation.plan import AnyPlan, Plan, overlap_warning
from medgen.evaluation.protocols import PROTOCOLS
from medgen.evaluation.reading import Shown, shown_slices
from medgen.evaluation.recreate import (
    Recreate,
    Recreations,
    recreate_slices,
    true_slices,
)
from medgen.evaluation.regions import Region
from medgen.evaluation.scoring import Binning, SliceScore, SliceTask, score_slice
from medgen.evaluation.scrubbing import Case, kept_cases
from medgen.evaluation.similarity import SSIM_SIDE
from medgen.processes import in_order
from medgen.volumes.geometry import Geometry
from medgen.volumes.volume import Volume

# Slices handed to other processes before the first comes back.
AHEAD = 16

Progress = Callable[[str, int, int], None]


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
        published: protocol of a paper -> method -> PSNR in dB of the scan, of those asked for.
        shown: what a machine reader is to see, if it was asked for.
        cases: slices to scroll through, from the worst to the best.
    """

    name: str
    modality: str
    geometry: Geometry
    plan: AnyPlan
    thickness_mm: float | None
    region: str
    binning: Binning | None
    scores: tuple[SliceScore, ...] = field(repr=False)
    blank: int
    failures: Mapping[str, str]
    example: Example = field(repr=False)
    notes: tuple[str, ...] = ()
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    shown: Shown | None = field(default=None, repr=False)
    cases: tuple[Case, ...] = field(default=(), repr=False)

    @property
    def warnings(self) -> list[str]:
        """What a reader must know before trusting the numbers; see `overlap_warning`."""
        overlap = overlap_warning(self.plan, self.thickness_mm)
        return [*([] if overlap is None else [overlap]), *self.notes]


def evaluate_scan(
    volume: Volume,
    methods: Mapping[str, Recreate],
    plan: AnyPlan,
    *,
    name: str,
    region: Region,
    binning: Binning | None,
    mapped: bool = False,
    thickness_mm: float | None = None,
    protocols: Sequence[str] = (),
    reader: Budget | None = None,
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
        protocols: keys of `PROTOCOLS`: papers by whose PSNR the scan is measured as well.
        reader: budget of the machine reader for whom slices are kept, if one will read them.
        executor: scores slices in parallel if given.
        progress: called with the name, slices re-created or scored, and such slices in all.

    Raises:
        EvaluationError: voxels are not finite, slices are below 11 voxels a side, every removed one
            is blank, the region is empty in all of them, no method gave a result, or protocols are
            asked for a scan that is not in HU.

    Example:
        >>> from medgen.evaluation.plan import plan_scan
        >>> from medgen.evaluation.regions import region_for
        >>> from medgen.interpolation.recreate import recreators
        >>> from medgen.phantoms.phantom import phantom_volume
        >>> scan = phantom_volume("ct", (24, 20, 9), (9.0, 9.0, 12.0), seed=3)
        >>> result = evaluate_scan(
        ...     scan,
        ...     recreators(("linear",), seed=0),
        ...     plan_scan(scan.geometry),
        ...     name="phantom",
        ...     region=region_for(scan),
        ...     binning=None,
        ... )
        >>> sorted({score.method for score in result.scores})
        ['linear', 'truth']
    """
    if protocols and volume.kind.absolute is None:
        raise EvaluationError(
            f"The protocols of {', '.join(protocols)} are for CT in HU, got "
            f"{volume.kind.title}; leave out --protocol."
        )
    truth = _truth_of(volume, plan, region)
    total = len(methods) + len(truth.scored)
    made = recreate_slices(
        volume, methods, plan, truth.padding, lambda done: progress(name, done, total)
    )

    def task(t: int) -> SliceTask:
        return _task(volume, plan, truth, made, t, binning, mapped)

    scores: list[SliceScore] = []
    results = in_order(executor, score_slice, map(task, truth.scored), ahead=AHEAD)
    for done, rows in enumerate(results, start=1):
        scores += rows
        progress(name, len(methods) + done, total)
    middle = task(min(truth.scored, key=lambda t: abs(t - len(truth.values) // 2)))
    return ScanResult(
        name=name,
        modality=volume.modality,
        geometry=volume.geometry,
        plan=plan,
        thickness_mm=thickness_mm or volume.metadata.get("slice_thickness_mm"),
        region=region.name,
        binning=binning,
        scores=tuple(scores),
        blank=len(plan.removed) - len(truth.scored),
        failures=made.failures,
        example=Example(
            middle.index,
            middle.neighbours[0],
            middle.true,
            middle.neighbours[1],
            middle.tests,
            middle.region,
        ),
        notes=volume.notes,
        published=_published(protocols, truth, made, plan.factor),
        shown=None
        if reader is None or not isinstance(plan, Plan)
        else shown_slices(name, truth.values, made.tests, plan, truth.scored, reader),
        cases=kept_cases(truth.values, made.tests, truth.regions, plan, volume.geometry, scores),
    )


def _published(
    protocols: Sequence[str], truth: _Truth, made: Recreations, factor: int
) -> dict[str, dict[str, float]]:
    """PSNR of every method by each protocol."""
    return {
        name: {
            method: PROTOCOLS[name].psnr(truth.values, stack, factor, lower=truth.limits[0])
            for method, stack in made.tests.items()
        }
        for name in protocols
    }


@dataclass(frozen=True, eq=False)
class _Truth:
    """What methods are measured against.

    Args:
        values: slices of the truth, `(n, rows, cols)` in physical units, padding as air.
        padding: bool, like `values`.
        regions: bool, like `values`; where texture is measured.
        scored: indices of the removed slices that are not blank.
        limits: lowest and highest possible value.
    """

    values: np.ndarray
    padding: np.ndarray
    regions: np.ndarray
    scored: list[int]
    limits: tuple[float, float]


def _truth_of(volume: Volume, plan: AnyPlan, region: Region) -> _Truth:
    """The truth in a scan; refuses what cannot be measured, see `evaluate_scan`."""
    truth, padding = true_slices(volume, plan)
    regions = np.moveaxis(region.mask, plan.axis, 0)[
        plan.truth.start : plan.truth.stop : plan.truth.step
    ]
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
    limits = volume.kind.absolute or (float(truth.min()), float(truth.max()))
    return _Truth(truth, padding, regions, scored, limits)


def _task(
    volume: Volume,
    plan: AnyPlan,
    truth: _Truth,
    made: Recreations,
    t: int,
    binning: Binning | None,
    mapped: bool,
) -> SliceTask:
    """All that is needed to score slice `t` of the truth."""
    values = truth.values
    lower, upper = truth.limits
    return SliceTask(
        index=plan.truth[t],
        position_mm=plan.truth[t] * volume.spacing[plan.axis],
        where=plan.where(t),
        true=values[t],
        tests={method: stack[t] for method, stack in made.tests.items()},
        intervals={method: (low[t], high[t]) for method, (low, high) in made.intervals.items()},
        neighbours=values[list(plan.neighbours(t))],
        region=truth.regions[t],
        lower=lower,
        data_range=upper - lower,
        binning=binning,
        mapped=mapped,
    )
