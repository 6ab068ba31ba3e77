"""Every measurement of one removed slice, as re-created by every method."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from medgen.evaluation.metrics import METRICS, Pair
from medgen.evaluation.msmfe import feature_maps, map_errors
from medgen.evaluation.texture import fit_bins, texture_features

# The name that stands for the removed slice itself among the methods.
TRUTH = "truth"
# Texture of fewer pixels than this is mostly chance.
MIN_REGION_PIXELS = 100
# Grey levels of the maps that MSMFE compares, as published.
MAP_LEVELS = 8


@dataclass(frozen=True)
class Binning:
    """Grey levels for texture: a fixed width in units of the image, or a fixed number if given."""

    width: float = 25.0
    count: int | None = None

    def __str__(self) -> str:
        return f"{self.count} levels" if self.count else f"width {self.width:g}"


@dataclass(frozen=True, eq=False)
class SliceTask:
    """All that is needed to score one removed slice.

    Args:
        index: of the slice in the scan as read.
        position_mm: distance from the scan's first slice.
        where: `interior`, or `outermost` for the first and the last gap.
        true: the removed slice, `(rows, cols)` in physical units.
        tests: method -> what it made of it, like `true`.
        neighbours: the acquired slices before and behind, `(2, rows, cols)`.
        region: bool `(rows, cols)`, where texture is measured.
        lower: smallest possible value; images are scored from 0 on.
        data_range: span of the possible values.
        binning: grey levels for texture, or None to leave texture out.
        mapped: whether to compare maps of texture features too, which takes seconds a method.
        intervals: method -> low and high, each like `true`; of those that tell a 90 % interval.
    """

    index: int
    position_mm: float
    where: str
    true: np.ndarray
    tests: dict[str, np.ndarray]
    neighbours: np.ndarray
    region: np.ndarray
    lower: float
    data_range: float
    binning: Binning | None = None
    mapped: bool = False
    intervals: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


@dataclass(frozen=True)
class SliceScore:
    """The scores of one slice: of a method, or only texture for the removed slice itself.

    Args:
        index: of the slice in the scan as read.
        position_mm: distance from the scan's first slice.
        where: `interior` or `outermost`.
        method: name, `TRUTH` for the removed slice.
        metrics: name -> value, NaN where not defined; empty for the truth.
        features: name -> texture feature of the region; empty where it is below 100 pixels.
        map_errors: GLCM feature -> mean squared difference of its map from the truth's (MSMFE), if
            asked for; empty for the truth and where the region is below 100 pixels.
    """

    index: int
    position_mm: float
    where: str
    method: str
    metrics: dict[str, float] = field(default_factory=dict)
    features: dict[str, float] = field(default_factory=dict)
    map_errors: dict[str, float] = field(default_factory=dict)


def score_slice(task: SliceTask) -> list[SliceScore]:
    """Scores of the removed slice (texture only) and of every method, in the order of the task."""
    has_region = task.region.sum() >= MIN_REGION_PIXELS
    binning = task.binning if has_region else None
    mapped = map_errors_of(task) if task.mapped and has_region else {}
    return [
        SliceScore(
            task.index,
            task.position_mm,
            task.where,
            method,
            {} if method == TRUTH else slice_metrics(task, image, task.intervals.get(method)),
            features_of(image, task.region, binning) if binning is not None else {},
            mapped.get(method, {}),
        )
        for method, image in {TRUTH: task.true, **task.tests}.items()
    ]


def slice_metrics(
    task: SliceTask, image: np.ndarray, interval: tuple[np.ndarray, np.ndarray] | None = None
) -> dict[str, float]:
    """Value of each of `METRICS` for one re-created slice `(rows, cols)` in physical units."""

    def above_lowest(values: np.ndarray) -> np.ndarray:
        return np.asarray(values, np.float64) - task.lower

    pair = Pair(
        above_lowest(task.true),
        above_lowest(image),
        above_lowest(task.neighbours),
        task.region,
        task.data_range,
        None if interval is None else (above_lowest(interval[0]), above_lowest(interval[1])),
    )
    return {name: metric.measure(pair) for name, metric in METRICS.items()}


def features_of(image: np.ndarray, region: np.ndarray, binning: Binning) -> dict[str, float]:
    """Texture features of a region of an image."""
    return texture_features(image, region, bin_width=binning.width, bin_count=binning.count)


def map_errors_of(task: SliceTask) -> dict[str, dict[str, float]]:
    """MSMFE of every method, with the maps of the removed slice made once: 8 levels, 5 x 5."""
    bins = fit_bins(task.true[task.region], bin_count=MAP_LEVELS)
    maps_true = feature_maps(task.true, task.region, bins)
    return {
        method: map_errors(maps_true, feature_maps(image, task.region, bins))
        for method, image in task.tests.items()
    }
