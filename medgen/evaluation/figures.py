"""Pictures of a report, each a matplotlib `Figure`: boxes, profiles, agreement, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from medgen.evaluation.experiment import ScanResult
from medgen.evaluation.hanging import hung, hung_spacing
from medgen.evaluation.metrics import METRICS, Metric
from medgen.evaluation.regions import enlarged_region
from medgen.evaluation.summary import Cases

TEXTURE_CLASSES = ("glcm", "glrlm", "glszm", "gldm", "ngtdm")


def box_plots(cases: Cases, methods: Sequence[str]) -> Figure:
    """One box plot for each metric over the cases of the tables; a line at the perfect value."""
    columns = 3
    rows = -(-len(METRICS) // columns)
    figure = Figure(figsize=(4 * columns, 2.8 * rows), layout="constrained")
    for axes, metric in zip(figure.subplots(rows, columns).flat, METRICS.values(), strict=False):
        values = cases.values(methods, "metrics", metric.name)
        axes.boxplot([v[np.isfinite(v)] for v in values], tick_labels=list(methods))
        if not isinstance(metric.best, str):
            axes.axhline(metric.best, color="grey", linewidth=0.8, linestyle=":")
        axes.set_title(_directed(metric), fontsize=9)
        axes.tick_params(labelsize=8)
    for axes in figure.axes[len(METRICS) :]:
        axes.remove()
    return figure


def profile(scan: ScanResult, methods: Sequence[str], metric: Metric) -> Figure:
    """A metric of every removed slice along the scan; slices in outermost gaps are open circles."""
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    axes = figure.subplots()
    for method in methods:
        scores = [score for score in scan.scores if score.method == method]
        place = [score.position_mm for score in scores]
        value = [score.metrics[metric.name] for score in scores]
        (line,) = axes.plot(place, value, linewidth=1, label=method)
        for score, x, y in zip(scores, place, value, strict=True):
            face = "white" if score.where == "outermost" else line.get_color()
            axes.plot(x, y, "o", markersize=4, color=line.get_color(), markerfacecolor=face)
    axes.set_xlabel("position along the slice axis (mm)")
    axes.set_title(f"{scan.name}: {_directed(metric)}", fontsize=9)
    axes.legend(fontsize=8)
    return figure


def agreement(texture: dict[str, Any], methods: Sequence[str]) -> Figure:
    """Concordance of every texture feature as boxes, and median NRMSE of each class as a map.

    Args:
        texture: the part `texture` of a summary.
        methods: in the wanted order.
    """
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    boxes, table = figure.subplots(1, 2)
    values = [np.array(texture["concordance"][method], np.float64) for method in methods]
    boxes.boxplot([v[np.isfinite(v)] for v in values], tick_labels=list(methods))
    boxes.axhline(texture["threshold"], color="grey", linewidth=0.8, linestyle=":")
    boxes.set_title("Concordance of texture features (higher is better)", fontsize=9)
    boxes.tick_params(labelsize=8)

    errors = np.array([texture["nrmse"][method] for method in methods], np.float64)
    family = np.array([name.split("_")[0] for name in texture["features"]])
    cells = np.array(
        [[_finite_median(row[family == each]) for each in TEXTURE_CLASSES] for row in errors]
    )
    table.imshow(cells, cmap="Oranges", vmin=0, vmax=1.5 * np.nanmax(cells), aspect="auto")
    for (row, column), value in np.ndenumerate(cells):
        table.text(column, row, f"{value:.3f}", ha="center", va="center", fontsize=8)
    table.set_xticks(range(len(TEXTURE_CLASSES)), [each.upper() for each in TEXTURE_CLASSES])
    table.set_yticks(range(len(methods)), list(methods))
    table.set_title("Median NRMSE by feature class (lower is better)", fontsize=9)
    table.tick_params(labelsize=8)
    return figure


def side_by_side(scan: ScanResult) -> Figure:
    """Neighbours, truth and every method for the scan's example, their errors, a region enlarged.

    Rows: the whole slices; the error of each (image less truth); the part with most detail
    enlarged; its error. All images share one grey scale, all errors another. Slices hang as
    radiologists hang them. The shape of Figure 5 of Rogers et al., PixelMiner, 2023.
    """
    example = scan.example
    images = {
        scan.plan.beside[0]: example.before,
        "truth": example.true,
        **example.tests,
        scan.plan.beside[1]: example.behind,
    }
    geometry, axis = scan.geometry, scan.plan.axis
    images = {name: hung(image, geometry, axis) for name, image in images.items()}
    spacing = hung_spacing(geometry, axis)

    true = images["truth"]
    low, high = np.percentile(true, (0.5, 99.5))
    errors = {name: image - true for name, image in images.items() if name != "truth"}
    worst = max(np.percentile(np.abs(error), 99) for error in errors.values()) or 1.0
    top, left, height, width = enlarged_region(true, hung(example.region, geometry, axis))
    box = (slice(top, top + height), slice(left, left + width))

    figure = Figure(figsize=(2.1 * len(images), 8.6), layout="constrained")
    grid = figure.subplots(4, len(images))
    aspect = spacing[0] / spacing[1]
    grey = {"cmap": "gray", "vmin": low, "vmax": high, "aspect": aspect}
    red = {"cmap": "RdBu_r", "vmin": -worst, "vmax": worst, "aspect": aspect}
    for column, (name, image) in zip(grid.T, images.items(), strict=True):
        whole, whole_error, part, part_error = column
        whole.set_title(name, fontsize=9)
        whole.imshow(image, **grey)
        whole.add_patch(
            Rectangle((left, top), width, height, fill=False, edgecolor="gold", linewidth=1)
        )
        part.imshow(image[box], **grey)
        if name in errors:
            shown = whole_error.imshow(errors[name], **red)
            part_error.imshow(errors[name][box], **red)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        if not axes.images:
            axes.set_axis_off()
    figure.colorbar(shown, ax=list(grid[1]), label="error", fraction=0.02, pad=0.005)
    return figure


def _directed(metric: Metric) -> str:
    """Title of a metric with the direction in which it is better."""
    hints: dict[str | float, str] = {"high": "higher is better", "low": "lower is better"}
    hint = hints.get(metric.best, f"{metric.best} is best")
    return f"{metric.title} ({hint})"


def _finite_median(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else float("nan")
