"""An evaluation on disk: CSV of scores, JSON of tables, pictures, one page that shows it all."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import medgen
from medgen.errors import EvaluationError
from medgen.evaluation import figures
from medgen.evaluation.experiment import ScanResult
from medgen.evaluation.metrics import METRICS, Metric
from medgen.evaluation.pages import page_environment, png_of
from medgen.evaluation.protocols import PROTOCOLS
from medgen.evaluation.reading import tell
from medgen.evaluation.scans import Evaluation
from medgen.evaluation.scoring import SliceScore
from medgen.evaluation.scrubbing import extremes, for_page
from medgen.evaluation.summary import FEWEST_SCANS, gather_cases, summarize
from medgen.storage import csv_text, make_folder, move, staging, write_text

FORMAT_VERSION = 1
DIGITS = 9  # enough to get every float32 back
SLICES, FEATURES = "slices.csv", "features.csv"
SUMMARY, PAGE, PICTURES = "summary.json", "report.html", "figures"
# Scans that get pictures of their own, so that the page stays of a size to be sent.
PICTURED_SCANS = 6
PLACE = ("scan", "slice", "position_mm", "where", "method")


def write_report(
    evaluation: Evaluation, folder: Path, *, overwrite: bool = False
) -> dict[str, Any]:
    """Write the report of an evaluation; either the whole folder appears, or nothing does.

    `slices.csv` has a row for each scan, removed slice and method with every metric;
    `features.csv` one for each texture feature too, of the truth as well, and `msmfe_...` for
    errors of mapped features; `summary.json` the tables; `figures/` the pictures as PNG;
    `report.html` needs no other file.

    Args:
        evaluation: what was measured.
        folder: to be made.
        overwrite: replace an existing report.

    Returns:
        What `summary.json` holds.

    Raises:
        EvaluationError: the folder exists, or is no report.
        WriteError: it cannot be written.
    """
    require_writable(folder, overwrite=overwrite)
    summary = {
        "format_version": FORMAT_VERSION,
        "medgen": medgen.__version__,
        "settings": asdict(evaluation.settings),
        **summarize(evaluation.scans, seed=evaluation.settings.seed),
        "failed": dict(evaluation.failures),
        "machine_reader": None,
    }
    budget = evaluation.settings.reader
    if budget is not None and evaluation.readings:
        summary["machine_reader"] = tell(evaluation.readings, budget, FEWEST_SCANS)
    make_folder(folder.parent)
    with staging(folder) as place:
        new = place / "new"
        (new / PICTURES).mkdir(parents=True)
        write_slices(new / SLICES, evaluation.scans)
        features = [(*PLACE, "feature", "value"), *feature_rows(evaluation.scans)]
        write_text(csv_text(features, digits=DIGITS), new / FEATURES)
        write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", new / SUMMARY)
        pictures = []
        for name, caption, figure in draw(evaluation.scans, summary):
            png = png_of(figure, dpi=100)
            (new / PICTURES / f"{name}.png").write_bytes(png)
            pictures.append({"caption": caption, "data": base64.b64encode(png).decode()})
        write_text(render(summary, pictures, scrubbers(evaluation.scans)), new / PAGE)
        move(new, folder, overwrite=overwrite)
    return summary


def require_writable(folder: Path, *, overwrite: bool = False) -> None:
    """Raise `EvaluationError` where a report must not be written.

    Without `overwrite` nothing may be there; with it, only an empty folder or a report may.
    """
    if not folder.exists():
        return
    if not overwrite:
        raise EvaluationError(f"{folder} exists; pass --overwrite to replace it.")
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / SUMMARY).is_file()):
        raise EvaluationError(
            f"{folder} is not a report and will not be replaced; choose another folder."
        )


def write_slices(path: Path, scans: Iterable[ScanResult], *, overwrite: bool = False) -> None:
    """Write `slices.csv`: place and method, then every metric, for each score.

    Raises:
        WriteError: the file exists or cannot be written.
    """
    rows = (
        [*_place(scan, score), *(score.metrics[name] for name in METRICS)]
        for scan in scans
        for score in scan.scores
        if score.metrics
    )
    table = csv_text([(*PLACE, *METRICS), *rows], digits=DIGITS)
    write_text(table, path, overwrite=overwrite)


def feature_rows(scans: Iterable[ScanResult]) -> Iterator[list[object]]:
    """Rows of `features.csv`: place and method, name, value."""
    for scan in scans:
        for score in scan.scores:
            mapped = {f"msmfe_{name}": value for name, value in score.map_errors.items()}
            for name, value in {**score.features, **mapped}.items():
                yield [*_place(scan, score), name, value]


def draw(
    scans: tuple[ScanResult, ...], summary: dict[str, Any]
) -> Iterator[tuple[str, str, Figure]]:
    """Name, caption and figure of every picture of the report."""
    methods = summary["methods"]
    cases = gather_cases(scans)
    yield (
        "boxes",
        f"Every metric over {len(cases.groups)} {cases.where} {cases.unit}s.",
        figures.box_plots(cases, methods),
    )
    if summary["texture"]:
        yield "texture", "Agreement of texture.", figures.agreement(summary["texture"], methods)
    for number, scan in enumerate(scans[:PICTURED_SCANS], start=1):
        yield (
            f"example-{number}",
            f"{scan.name}, slice {scan.example.index}: whole, error, the framed region enlarged, "
            "its error.",
            figures.side_by_side(scan),
        )
        yield (
            f"profile-{number}",
            f"{scan.name}: every re-created slice; open circles lie in the outermost gaps.",
            figures.profile(scan, methods, METRICS["mae"]),
        )


def scrubbers(scans: Iterable[ScanResult]) -> list[dict[str, Any]]:
    """The worst, the median and the best case, to scroll through their slices on the page."""
    cases = [(scan.name, case) for scan in scans for case in scan.cases]
    return [for_page(*extreme) for extreme in extremes(cases)]


def render(
    summary: dict[str, Any], pictures: list[dict[str, str]], scrubbed: list[dict[str, Any]]
) -> str:
    """The page that shows the tables, the pictures and what there is to scroll through."""
    environment = page_environment("medgen.evaluation")
    environment.filters["number"] = lambda value: "–" if value is None else f"{value:.4g}"
    environment.filters["spread"] = lambda sd: f"{float(f'{sd:.2g}'):g}"
    best = {
        where: {
            metric.name: best_methods(summary["metrics"][where][metric.name], metric)
            for metric in METRICS.values()
        }
        for where in ("interior", "outermost")
    }
    return environment.get_template("report.html").render(
        summary=summary,
        figures=pictures,
        metrics=list(METRICS.values()),
        best=best,
        protocols=PROTOCOLS,
        scrubbers=scrubbed,
    )


def best_methods(table: dict[str, dict[str, float | None]], metric: Metric) -> set[str]:
    """Methods whose mean is the best of the column, none where no method has one."""
    means = {method: cell["mean"] for method, cell in table.items() if cell["mean"] is not None}
    merits = dict(zip(means, metric.merit(np.array(list(means.values()))), strict=True))
    return {method for method, merit in merits.items() if merit == max(merits.values())}


def _place(scan: ScanResult, score: SliceScore) -> list[object]:
    return [scan.name, score.index, float(score.position_mm), score.where, score.method]
