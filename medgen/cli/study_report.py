"""`medgen study-report` and `medgen study-plan`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from medgen.cli.options import seed_option
from medgen.cli.output import answer, json_option
from medgen.errors import printable

READERS, CASES = (4, 8, 16, 32), (20, 40, 80, 160)


@click.command(short_help="Report what readers of a study answered.")
@click.argument("study", metavar="STUDY", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="REPORT",
    type=click.Path(path_type=Path),
    help="Folder to write the report to.",
)
@seed_option
@click.option("--overwrite", is_flag=True, help="Replace an existing report.")
@json_option
def study_report(study: Path, output: Path, seed: int, overwrite: bool) -> None:
    """Report the answers in STUDY, which may go on meanwhile.

    REPORT gets answers.csv, imrmc.csv (for iMRMC), summary.json, and report.html with all tables.
    The seed is that of the bootstrap.
    """
    from medgen.study.report import write_study_report

    summary = write_study_report(study, output, seed=seed, overwrite=overwrite)
    echo_study(summary)
    click.echo(f"Report written to {output}.")
    answer(summary | {"output": output})


def echo_study(summary: dict[str, Any]) -> None:
    """The main numbers of a report."""
    from medgen.evaluation.pages import shown_p

    closer = summary["design"] == "closer"
    titles = ["answers", "chosen" if closer else "correct", "readers+cases", "exact p"]
    titles += ["published"] if closer else ["d'"]
    rows = [(row["second"], row) for row in summary["contests"]] + [("all", summary["overall"])]
    width = max(len(name) for name, _ in rows)
    click.echo(f"{'':{width}}" + "".join(f"{title:>15}" for title in titles))
    for name, row in rows:
        ends = row["mrmc"] or row["bootstrap"]
        interval = "–" if ends is None else " to ".join(f"{100 * end:.0f}" for end in ends) + " %"
        cells = [f"{row['answers']}", f"{100 * row['share']:.0f} %", interval]
        cells += [shown_p(row["exact_p"])]
        published = row.get("published")
        if closer:
            cells += ["–" if published is None else f"{published} %"]
        else:
            cells += [f"{row['d_prime']:.2f}"]
        click.echo(printable(f"{name:{width}}" + "".join(f"{cell:>15}" for cell in cells)))


@click.command(short_help="Tell how many readers and cases a study takes.")
@click.option(
    "--share",
    default=0.6,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Of the answers that are expected to choose the first method, or the real slice.",
)
@click.option(
    "--questions", default=12, show_default=True, type=click.IntRange(1), help="For each reader."
)
@click.option(
    "--reader-sd",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 0.5),
    help="Standard deviation of readers' own shares.",
)
@click.option(
    "--case-sd",
    default=0.2,
    show_default=True,
    type=click.FloatRange(0, 0.5),
    help="Standard deviation of cases' own shares.",
)
@click.option(
    "--pilot",
    type=click.Path(path_type=Path),
    metavar="REPORT",
    help="Take share and deviations from the report of another study.",
)
@json_option
def study_plan(
    share: float, questions: int, reader_sd: float, case_sd: float, pilot: Path | None
) -> None:
    """Tell the interval and the power to expect of numbers of readers and cases.

    For each: half of the width of the interval over readers and cases, and how likely it leaves out
    50 %, in percent.
    """
    from medgen.study.planning import assumed, of_pilot, plan

    parts = assumed(share, reader_sd=reader_sd, case_sd=case_sd)
    if pilot is not None:
        share, parts = of_pilot(pilot)
    deviations = [100 * part**0.5 for part in (parts.reader, parts.case)]
    click.echo(
        f"{100 * share:.0f} % of {questions} questions a reader; deviation of readers "
        f"{deviations[0]:.0f} %, of cases {deviations[1]:.0f} %"
    )
    click.echo("readers" + "".join(f"{f'{cases} cases':>14}" for cases in CASES))
    plans = []
    for readers in READERS:
        row = [plan(share, parts, readers=readers, cases=n, questions=questions) for n in CASES]
        cells = [f"±{100 * each.half_width:.0f}, {100 * each.power:.0f} %" for each in row]
        click.echo(f"{readers:7}" + "".join(f"{cell:>14}" for cell in cells))
        plans += row
    facts = {"share": share, "questions": questions, "components": asdict(parts)}
    answer(facts | {"plans": [asdict(each) for each in plans]})
