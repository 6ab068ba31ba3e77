"""`medgen audit`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medgen.cli.device import device_option, tell_device
from medgen.cli.options import scan_options, scoring_jobs_option, seed_option, slice_axis_option
from medgen.cli.output import answer, json_option, mean_of
from medgen.cli.progress import shown_progress
from medgen.errors import EvaluationError, printable

if TYPE_CHECKING:
    from medgen.evaluation.audit import Coverage
    from medgen.evaluation.experiment import ScanResult


@click.command(short_help="Check a model on a scan of your own, slice by slice.")
@click.argument("scan", type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="NAME|BUNDLE", help="What to check.")
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    type=click.Path(path_type=Path),
    help="Also write every metric of every slice to a CSV file.",
)
@click.option(
    "--mask",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Region of interest. By default the lungs in chest CT and the body otherwise.",
)
@slice_axis_option
@click.option(
    "--calibration",
    is_flag=True,
    help="Draw 19 samples of every slice and count how often 50 % and 90 % intervals hold the "
    "truth.",
)
@seed_option
@scoring_jobs_option
@device_option
@scan_options
@json_option
def audit(
    scan, model, output, mask, slice_axis, calibration, seed, jobs, volume, series, modality,
    intercept, overwrite,
) -> None:  # fmt: skip
    """Leave out each inner slice of SCAN, re-create it, and compare with the classical methods.

    No truth is needed. The gap is twice that of the scan, so errors are larger than those to expect
    where the model fills in slices between all of SCAN's.
    """
    if output is not None and output.exists() and not overwrite:
        raise EvaluationError(f"{output} exists; pass --overwrite to replace it.")

    from medgen.evaluation.audit import DRAWS, audit_scan, interval_coverage
    from medgen.evaluation.regions import region_for
    from medgen.evaluation.report import write_slices
    from medgen.evaluation.scans import read_mask
    from medgen.evaluation.scoring import TRUTH
    from medgen.interpolation import CLASSICAL
    from medgen.interpolation.recreate import recreators
    from medgen.processes import cores, workers
    from medgen.volumes import read_volume

    methods = recreators((model, *CLASSICAL), seed)
    tell_device()
    name = next(iter(methods))
    before = read_volume(scan, volume=volume, series=series, modality=modality, intercept=intercept)
    region = region_for(before) if mask is None else read_mask(mask, before)
    with shown_progress() as progress, workers(jobs or cores()) as executor:
        result = audit_scan(
            before,
            methods,
            name=printable(scan.name),
            region=region,
            slice_axis=slice_axis,
            executor=executor,
            progress=progress,
        )
    if name in result.failures:
        raise EvaluationError(f"{name} gave no result: {result.failures[name]}")
    echo_slices(result, list(methods))
    coverage = None
    if calibration:
        draws = [recreators((model,), seed + n)[name] for n in range(DRAWS)]
        with shown_progress() as progress:
            coverage = interval_coverage(
                before, draws, region=region, slice_axis=slice_axis, progress=progress
            )
        echo_coverage(name, coverage)
    if output is not None:
        write_slices(output, [result], overwrite=overwrite)
        click.echo(f"Every metric written to {output}.")
    answer(
        {
            "model": name,
            "gap_mm": result.plan.gap_mm,
            "slices": [
                {"slice": score.index, "method": score.method, **score.metrics}
                for score in result.scores
                if score.method != TRUTH
            ],
            "coverage": None if coverage is None else [asdict(each) for each in coverage],
            "output": output,
        }
    )


def echo_slices(result: ScanResult, methods: list[str]) -> None:
    """Errors by slice and method, edges kept and noise of the first, and how they compare."""
    from medgen.evaluation.plan import overlap_warning
    from medgen.evaluation.scoring import TRUTH
    from medgen.evaluation.statistics import signed_rank_p

    plan, model = result.plan, methods[0]
    for text in result.notes:
        click.echo(f"Warning: {text}", err=True)
    if overlap_warning(plan, result.thickness_mm):
        click.echo(
            f"Warning: slices lie {plan.spacing_mm:g} mm apart but are {result.thickness_mm:g} mm "
            "thick, so neighbours share their noise and errors are too small.",
            err=True,
        )
    for method, text in result.failures.items():
        click.echo(f"Warning: {method} failed: {text}", err=True)
    methods = [method for method in methods if method not in result.failures]
    rows: dict[int, dict[str, dict[str, float]]] = {}
    for score in result.scores:
        if score.method != TRUTH:
            rows.setdefault(score.index, {})[score.method] = score.metrics
    widths = [max(9, len(method) + 2) for method in methods]
    titles = "".join(f"{method:>{width}}" for method, width in zip(methods, widths, strict=True))
    click.echo(f"Mean absolute error, re-created across a gap of {plan.gap_mm:g} mm;")
    click.echo(f"edges kept and noise relative to neighbours of {model}")
    click.echo(f"{'slice':>5}{titles}{'edges':>9}{'noise':>9}")
    columns = [[row[method]["mae"] for row in rows.values()] for method in methods]
    columns += [
        [row[model][metric] for row in rows.values()]
        for metric in ("edge_accuracy", "noise_deviation_ratio")
    ]
    widths += [9, 9]
    labels = [*map(str, rows), "mean"]
    columns = [[*column, mean_of(column)] for column in columns]
    for label, *cells in zip(labels, *columns, strict=True):
        text = "".join(f"{cell:>{width}.4g}" for cell, width in zip(cells, widths, strict=True))
        click.echo(f"{label:>5}{text}")
    own = columns[0][:-1]
    for method, column in zip(methods[1:], columns[1:], strict=False):
        differences = [ours - theirs for ours, theirs in zip(own, column[:-1], strict=True)]
        wins = sum(difference < 0 for difference in differences)
        p = signed_rank_p(differences)
        click.echo(
            f"{model} is nearer than {method} in {wins} of {len(own)} slices (Wilcoxon p {p:.2g})."
        )


def echo_coverage(model: str, coverage: list[Coverage] | None) -> None:
    """How often the intervals hold the truth, in one sentence."""
    if coverage is None:
        click.echo(f"{model} gives the same slice for every seed, so it has no intervals.")
        return
    text = " and ".join(f"{c.nominal:.0%} intervals hold {c.observed:.1%}" for c in coverage)
    click.echo(f"Of the region's true values, {text}.")
