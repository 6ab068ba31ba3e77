"""Slices taken out of a scan, and what methods put in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from medgen.degradation import degrade
from medgen.errors import EvaluationError, MedgenError
from medgen.evaluation.plan import AnyPlan, DegradedPlan
from medgen.intensities.padding import find_outside
from medgen.volumes.geometry import Geometry
from medgen.volumes.volume import Volume

# Acquired slices that a method is shown on each side of a single one that is left out.
SHOWN = 4
# `recreate(volume, factor=2, slice_axis=2)` inserts `factor - 1` slices between neighbours.
# A method that tells its uncertainty gives three scans, the ends of a 90 % interval behind.
Recreate = Callable[..., Volume | tuple[Volume, Volume, Volume]]


@dataclass(frozen=True, eq=False)
class Recreations:
    """What methods made of the acquired slices of a scan.

    Args:
        tests: method -> slices `(n, rows, cols)` in physical units.
        intervals: method -> both ends of the interval, each like `tests`; of those that tell it.
        failures: method -> why it gave nothing.
    """

    tests: Mapping[str, np.ndarray]
    intervals: Mapping[str, tuple[np.ndarray, np.ndarray]]
    failures: Mapping[str, str]


def recreate_slices(
    volume: Volume,
    methods: Mapping[str, Recreate],
    plan: AnyPlan,
    padding: np.ndarray,
    told: Callable[[int], None],
) -> Recreations:
    """Let every method re-create the removed slices of a scan.

    Args:
        volume: the scan.
        methods: name -> function that inserts slices.
        plan: which slices they see.
        padding: bool `(n, rows, cols)`, where the truth is padding.
        told: called with how many methods are through.

    Raises:
        EvaluationError: no method gave a result.
    """
    tests: dict[str, np.ndarray] = {}
    intervals: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    failures: dict[str, str] = {}
    acquired = seen_by_methods(volume, plan)
    for done, (method, recreate) in enumerate(methods.items(), start=1):
        try:
            tests[method], *interval = recreated(recreate, acquired, plan, padding, method)
            if interval:
                low, high = interval
                intervals[method] = low, high
        except MedgenError as error:
            failures[method] = str(error)
        told(done)
    if not tests:
        raise EvaluationError("No method gave a result: " + " ".join(failures.values()))
    return Recreations(tests, intervals, failures)


def recreated(
    recreate: Recreate, acquired: Volume, plan: AnyPlan, padding: np.ndarray, method: str
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


def seen_by_methods(volume: Volume, plan: AnyPlan) -> Volume:
    """The acquired slices of a plan, or the scan made coarse, with padding as air then."""
    if not isinstance(plan, DegradedPlan):
        return take_slices(volume, plan.axis, plan.truth[:: plan.factor])
    values, _ = stack_of(volume, plan.axis)
    metadata = volume.metadata.copy()
    metadata.pop("padding_value", None)
    measured = Volume(
        np.moveaxis(values, 0, plan.axis),
        volume.geometry,
        modality=volume.modality,
        metadata=metadata,
    )
    return degrade(measured, plan.factor, plan.by, plan.kept)


def every_second_around(index: int, count: int) -> range:
    """What a method is shown of `count` slices when slice `index` is left out: every second one.

    So its neighbours of the gap are those of the slice left out, which is half-way between them,
    at twice the distance of the slices. Up to `SHOWN` lie on each side.

    Args:
        index: neither the first nor the last.
        count: of all slices.
    """
    before, behind = min(SHOWN, (index + 1) // 2), min(SHOWN, (count - index) // 2)
    return range(index + 1 - 2 * before, index + 2 * behind, 2)


def take_slices(volume: Volume, axis: int, indices: range) -> Volume:
    """The slices `indices` (with a positive step) along `axis`, as a volume at their place."""
    chosen = [slice(None)] * 3
    chosen[axis] = slice(indices.start, indices.stop, indices.step)
    affine = np.array(volume.geometry.affine)
    affine[:3, 3] = volume.geometry.centers(axis)[indices.start]
    affine[:3, axis] *= indices.step
    array = volume.array[tuple(chosen)]
    return volume.with_array(array, Geometry(array.shape, affine))


def true_slices(volume: Volume, plan: AnyPlan) -> tuple[np.ndarray, np.ndarray]:
    """Slices of the truth `(n, rows, cols)` in physical units, padding as air, and where that is.

    Raises:
        EvaluationError: voxels are not finite.
    """
    truth, padding = stack_of(take_slices(volume, plan.axis, plan.truth), plan.axis)
    if not np.isfinite(truth).all():
        raise EvaluationError(
            "The scan has NaN or infinite voxels; replace them by numbers before evaluating."
        )
    return truth, padding


def stack_of(volume: Volume, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Physical values `(n, rows, cols)` with padding as air, and where that is."""
    volume.require_one_channel("An evaluation")
    values = np.ascontiguousarray(np.moveaxis(volume.to_physical(), axis, 0))
    padding = find_outside(
        values, volume.kind, declared=volume.metadata.get("padding_value")
    ).padding
    values[padding] = volume.kind.air
    return values, padding
