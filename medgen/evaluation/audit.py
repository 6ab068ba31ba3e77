"""A check of a model on a user's own scan, which has no truth between its slices.

Every inner slice is left out once and re-created from the others, at twice the gap that the model
will fill later: the errors are larger than those to expect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np

from medgen.errors import EvaluationError
from medgen.evaluation.experiment import Progress, ScanResult, evaluate_scan
from medgen.evaluation.plan import Plan
from medgen.evaluation.recreate import Recreate, recreated, stack_of, take_slices
from medgen.evaluation.regions import Region
from medgen.volumes import Geometry, Volume

# Of this many draws, the ranks that bound the middle 50 % and 90 % are whole: a further draw lies
# between the r-th smallest and the r-th largest of n with probability (n + 1 - 2 r) / (n + 1).
DRAWS = 19
RANKS = {0.5: 5, 0.9: 1}


@dataclass(frozen=True)
class Coverage:
    """How often a model's interval of probability `nominal` holds the truth.

    Args:
        nominal: 0.5 or 0.9.
        observed: share of the region's pixels whose true value lies in it.
    """

    nominal: float
    observed: float


def audit_plans(geometry: Geometry, *, slice_axis: int | None = None) -> list[Plan]:
    """Leave out the odd slices, then the even ones: every slice but the first and the last once.

    Raises:
        GeometryError: there is no such axis.
        EvaluationError: the scan has fewer than 3 slices.
    """
    axis = geometry.slice_axis if slice_axis is None else slice_axis
    geometry.require_slices(axis)
    count = geometry.shape[axis]
    if count < 3:
        raise EvaluationError(
            f"An audit leaves out inner slices and needs at least 3, but the scan has {count}."
        )
    plans = [
        Plan(axis, first, 1, 2, (count - first - 1) // 2 + 1, geometry.spacing[axis])
        for first in (0, 1)
    ]
    return [plan for plan in plans if plan.acquired >= 2]


def audit_scan(
    volume: Volume,
    methods: Mapping[str, Recreate],
    *,
    name: str,
    region: Region,
    slice_axis: int | None = None,
    executor: Executor | None = None,
    progress: Progress = lambda name, done, total: None,
) -> ScanResult:
    """Score every method on every inner slice of a scan, re-created from the slices around it.

    Args:
        volume: the scan, at least 3 slices.
        methods: name -> function that inserts slices.
        name: of the scan.
        region: where the error of the region is taken.
        slice_axis: 0, 1 or 2; by default the geometry's.
        executor: scores slices in parallel if given.
        progress: see `evaluate_scan`.

    Returns:
        Scores without texture, in the order of the slices; everything else as for the odd slices.

    Raises:
        GeometryError: there is no such axis.
        EvaluationError: the scan has fewer than 3 slices, or see `evaluate_scan`.
    """
    results = [
        evaluate_scan(
            volume,
            methods,
            plan,
            name=name,
            region=region,
            binning=None,
            executor=executor,
            progress=progress,
        )
        for plan in audit_plans(volume.geometry, slice_axis=slice_axis)
    ]
    scores = sorted((score for result in results for score in result.scores), key=lambda s: s.index)
    return replace(
        results[0],
        scores=tuple(scores),
        blank=sum(result.blank for result in results),
        failures={method: text for result in results for method, text in result.failures.items()},
    )


def interval_coverage(
    volume: Volume,
    draws: Sequence[Recreate],
    *,
    region: Region,
    slice_axis: int | None = None,
    progress: Progress = lambda name, done, total: None,
) -> list[Coverage] | None:
    """Whether the spread of a model's samples tells its error: coverage of 50 % and 90 % intervals.

    Nineteen samples of a slice, drawn with different seeds, bound intervals by their order: the
    truth, were it a further sample, would lie between the 5th smallest and the 5th largest in 50 %
    of all pixels, and between the smallest and the largest in 90 %. Values on a bound count as
    inside, so rounded intensities cover slightly more.

    Args:
        volume: the scan, at least 3 slices.
        draws: 19 functions that insert slices, alike but for their seed.
        region: pixels that count.
        slice_axis: 0, 1 or 2; by default the geometry's.
        progress: called with what is done, draws done and draws in all.

    Returns:
        Coverage of both intervals, or None if all draws are equal: the model gives no intervals.

    Raises:
        ValueError: there are not 19 draws.
    """
    if len(draws) != DRAWS:
        raise ValueError(f"intervals need {DRAWS} draws, got {len(draws)}")
    held = dict.fromkeys(RANKS, 0)
    pixels, differ, done = 0, False, 0
    plans = audit_plans(volume.geometry, slice_axis=slice_axis)
    for plan in plans:
        chosen = slice(plan.truth.start, plan.truth.stop)
        inside = np.moveaxis(region.mask, plan.axis, 0)[chosen][plan.removed]
        truth, padding = stack_of(take_slices(volume, plan.axis, plan.truth), plan.axis)
        true = truth[plan.removed][inside]
        acquired = take_slices(volume, plan.axis, plan.truth[:: plan.factor])
        at_most, at_least = np.zeros(true.shape, np.int16), np.zeros(true.shape, np.int16)
        first = None
        for number, draw in enumerate(draws, start=1):
            sample, *_ = recreated(draw, acquired, plan, padding, f"draw {number}")
            values = sample[plan.removed][inside]
            at_most += values <= true
            at_least += values >= true
            first = values if first is None else first
            differ = differ or not np.array_equal(values, first)
            done += 1
            progress("Draws", done, DRAWS * len(plans))
        pixels += true.size
        for nominal, rank in RANKS.items():
            held[nominal] += int(((at_most >= rank) & (at_least >= rank)).sum())
    if not differ or not pixels:
        return None
    return [Coverage(nominal, count / pixels) for nominal, count in held.items()]
