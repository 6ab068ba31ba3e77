"""Every figure of a re-created slice, declared once: files, page, pictures, console read this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medgen.evaluation import noise
from medgen.evaluation.edges import edge_preservation_ratio
from medgen.evaluation.similarity import mae, psnr, rmse, ssim

NOT_DEFINED = float("nan")


@dataclass(frozen=True, eq=False)
class Pair:
    """A removed slice and what a method made of it, in physical units above the lowest value.

    Args:
        true: the removed slice, `(rows, cols)` float64.
        test: what a method made of it, likewise.
        neighbours: the acquired slices before and behind, `(2, rows, cols)`.
        region: bool `(rows, cols)`, what some figures are restricted to.
        data_range: span of the possible values.
        interval: low and high, each like `true`; None of a method that tells none.
    """

    true: np.ndarray
    test: np.ndarray
    neighbours: np.ndarray
    region: np.ndarray
    data_range: float
    interval: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class Metric:
    """What a number in the tables is called, how it is measured, and when it is good.

    Args:
        name: column in the files.
        title: heading in the report.
        best: `high`, `low`, or the value that is perfect.
        table: number of the report's table that shows it.
        measure: its value for a pair, NaN where it is not defined.
        short: heading on the console, None for a number that is not shown there.
    """

    name: str
    title: str
    best: str | float
    table: int
    measure: Callable[[Pair], float]
    short: str | None = None

    def merit(self, values: np.ndarray) -> np.ndarray:
        """`values` turned so that higher is better; ratios count by their factor from the best."""
        if self.best == "high":
            return values
        if self.best == "low":
            return -values
        with np.errstate(divide="ignore"):
            return -np.abs(np.log(values / self.best))


def region_mae(pair: Pair) -> float:
    """Mean absolute error in the region."""
    if not pair.region.any():
        return NOT_DEFINED
    return mae(pair.true[pair.region], pair.test[pair.region])


def coverage(pair: Pair) -> float:
    """Share of the pixels of the removed slice that lie within the interval.

    Pixels where it and both neighbours are no higher than air, or than the lowest value of MR, do
    not count: there is nothing to know. NaN if there are no others, or no interval.
    """
    if pair.interval is None:
        return NOT_DEFINED
    low, high = pair.interval
    counted = (pair.true > 0) | (pair.neighbours > 0).any(axis=0)
    held = (low <= pair.true) & (pair.true <= high)
    return float(held[counted].mean()) if counted.any() else NOT_DEFINED


def _edges(over: str = "true", published: bool = False) -> Callable[[Pair], float]:
    return lambda pair: edge_preservation_ratio(
        pair.true, pair.test, data_range=pair.data_range, over=over, published=published
    )


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "psnr_db", "PSNR (dB)", "high", 1,
            lambda pair: psnr(pair.true, pair.test, data_range=pair.data_range), "PSNR",
        ),
        Metric(
            "ssim", "SSIM", "high", 1,
            lambda pair: ssim(pair.true, pair.test, data_range=pair.data_range), "SSIM",
        ),
        Metric("mae", "MAE", "low", 1, lambda pair: mae(pair.true, pair.test), "MAE"),
        Metric("rmse", "RMSE", "low", 1, lambda pair: rmse(pair.true, pair.test)),
        Metric("mae_region", "MAE in the region", "low", 1, region_mae),
        Metric(
            "interval_coverage", "Truth in the 90 % interval", 0.9, 1, coverage, "coverage"
        ),
        Metric("edge_accuracy", "Edges kept", "high", 2, _edges(), "edges"),
        Metric("edge_robustness", "Edges not invented", "high", 2, _edges(over="test")),
        Metric(
            "edge_seed_compatible", "Edge count ratio of the published script", 0.5, 2,
            _edges(published=True),
        ),
        Metric(
            "noise_power_ratio", "High-frequency power / neighbours", 1.0, 2,
            lambda pair: noise.high_frequency_power_ratio(pair.neighbours, pair.test),
        ),
        Metric(
            "noise_deviation_ratio", "Local deviation / neighbours", 1.0, 2,
            lambda pair: noise.local_deviation_ratio(pair.neighbours, pair.test), "noise",
        ),
        Metric(
            "spectrum_distance_db", "Power spectrum distance (dB)", "low", 2,
            lambda pair: noise.power_spectrum_distance(pair.true, pair.test),
        ),
    )
}  # fmt: skip
