"""A report of a reader study on disk: CSV of answers, JSON of tables, one page that shows it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import medgen
from medgen.evaluation.pages import page_environment, png_of
from medgen.evaluation.report import SUMMARY, require_writable
from medgen.storage import csv_text, make_folder, move, staging, write_text
from medgen.study.results import Results, read_results, summarize
from medgen.study.study import QUESTION, load_study

FORMAT_VERSION = 1
DIGITS = 9
TABLE, IMRMC, PAGE = "answers.csv", "imrmc.csv", "report.html"
COLUMNS = (
    "reader", "role", "years", "number", "kind", "scan", "slice", "first", "second", "shown_1",
    "shown_2", "choice", "chosen", "chose_first", "seconds", "at", "taken_back", "screen_width",
    "screen_height", "pixel_ratio", "picture_width",
)  # fmt: skip
# The case without signal that iMRMC compares others with, and how everybody scores it.
REFERENCE, EVEN = "reference", 0.5


def write_study_report(
    study: Path, folder: Path, *, seed: int = 0, overwrite: bool = False
) -> dict[str, Any]:
    """Write the report of a study, which may go on; the whole folder appears, or nothing does.

    `answers.csv` has a row for each answer that counts; `imrmc.csv` those to questions asked for
    the first time, in the columns of iMRMC; `summary.json` the tables; `report.html` needs no other
    file.

    Args:
        study: folder of the study.
        folder: to be made.
        seed: of the bootstrap.
        overwrite: replace an existing report.

    Returns:
        What `summary.json` holds.

    Raises:
        StudyError: there is no study, it has no answers, or they were changed.
        EvaluationError: the folder exists, or is no report.
        WriteError: it cannot be written.
    """
    require_writable(folder, overwrite=overwrite)
    results = read_results(load_study(study), study)
    summary = {
        "format_version": FORMAT_VERSION,
        "medgen": medgen.__version__,
        **summarize(results, seed=seed),
    }
    make_folder(folder.parent)
    with staging(folder) as place:
        new = place / "new"
        new.mkdir()
        write_text(csv_text([COLUMNS, *answer_rows(results)], digits=DIGITS), new / TABLE)
        write_text(csv_text(imrmc_rows(results)), new / IMRMC)
        write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", new / SUMMARY)
        write_text(render(summary), new / PAGE)
        move(new, folder, overwrite=overwrite)
    return summary


def answer_rows(results: Results) -> Iterator[list[object]]:
    """Rows of `answers.csv`."""
    for each in results.given:
        pair, step, screen = each.pair, each.step, each.step.note
        profile = results.profiles.get(each.reader, {})
        names = (pair.first, pair.second)
        shown = names[::-1] if each.question.swapped else names
        yield [
            each.reader + 1,
            profile.get("role", ""),
            profile.get("years", ""),
            each.number + 1,
            each.question.kind,
            results.study.scans[pair.scan].name,
            pair.slice,
            *names,
            *shown,
            (step.choice or 0) + 1,
            shown[step.choice or 0],
            int(each.first),
            step.seconds,
            step.at,
            each.taken_back,
            *(screen.get(key, "") for key in ("width", "height", "ratio", "pane")),
        ]


def imrmc_rows(results: Results) -> Iterator[tuple[object, ...]]:
    """Rows of `imrmc.csv`: the columns of iMRMC, truth first.

    Every pair is a case with signal, scored 1 where the first was chosen and 0 where not; the
    modality is what the first was shown against. One more case has none, and everybody scores it
    0.5: so the area under the curve that iMRMC computes is the share that chose the first.

    References:
        Gallas et al., iMRMC, https://github.com/DIDSR/iMRMC.
    """
    asked = results.of_kind(QUESTION)
    yield ("readerID", "caseID", "modalityID", "score")
    yield ("truth", REFERENCE, "truth", 0)
    for number in sorted({each.question.pair for each in asked}):
        yield ("truth", f"pair{number + 1}", "truth", 1)
    for reader, against in sorted({(each.reader, each.pair.second) for each in asked}):
        yield (f"reader{reader + 1}", REFERENCE, against, EVEN)
    for each in asked:
        case = f"pair{each.question.pair + 1}"
        yield (f"reader{each.reader + 1}", case, each.pair.second, int(each.first))


def render(summary: dict[str, Any]) -> str:
    """The page that shows the tables."""
    environment = page_environment("medgen.study", "medgen.evaluation")
    environment.filters["ends"] = lambda ends: _joined(ends, lambda end: f"{100 * end:.0f}")
    environment.filters["numbers"] = lambda ends: _joined(ends, lambda end: f"{end:.2f}")
    environment.filters["number"] = lambda value: "–" if value is None else f"{value:.2f}"
    environment.filters["seconds"] = lambda value: "–" if value is None else f"{value:.1f}"
    data = base64.b64encode(png_of(forest(summary), dpi=110)).decode()
    template = environment.get_template("study-report.html")
    return template.render(summary=summary, picture=data)


def forest(summary: dict[str, Any]) -> Figure:
    """Shares with their intervals over readers and cases, and what was published beside them."""
    rows = [("all", summary["overall"])]
    rows += [(_title(row), row) for row in summary["contests"]]
    figure = Figure(figsize=(8, 0.9 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(50, color="grey", linewidth=0.8, linestyle=":")
    heights = range(len(rows))
    for y, (_, row) in zip(heights, rows, strict=True):
        low, high = (100 * end for end in row["mrmc"] or row["bootstrap"] or row["wilson"])
        axes.plot([low, high], [y, y], color="#3b6ea5", linewidth=2)
    shares = [100 * row["share"] for _, row in rows]
    axes.plot(shares, heights, "o", color="#3b6ea5", label="this study")
    published = [(row["published"], y) for y, (_, row) in enumerate(rows) if row.get("published")]
    if published:
        label = "PixelMiner's readers"
        axes.plot(*zip(*published, strict=True), "D", color="#d99a00", markersize=5, label=label)
    axes.set_yticks(heights, [title for title, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    closer = summary["design"] == "closer"
    axes.set_xlabel(f"{summary['methods'][0]} chosen (%)" if closer else "correct (%)")
    axes.legend(fontsize=8, loc="lower left")
    return figure


def _title(row: dict[str, Any]) -> str:
    return f"against {row['second']}"


def _joined(ends: list[float] | None, shown: Callable[[float], str]) -> str:
    return "–" if ends is None else " – ".join(map(shown, ends))
