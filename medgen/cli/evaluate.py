"""`medgen evaluate`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medgen.cli.device import device_option, tell_device
from medgen.cli.options import (
    Method,
    adapt_options,
    gap_option,
    intercept_option,
    machine_reader_option,
    modality_option,
    removed_option,
    scans_argument,
    scoring_jobs_option,
    seed_option,
    slice_axis_option,
    volume_option,
)
from medgen.cli.output import answer, json_option
from medgen.cli.progress import shown_progress
from medgen.degradation import DEGRADATIONS
from medgen.errors import printable
from medgen.evaluation.protocols import OWN, PROTOCOLS

if TYPE_CHECKING:
    from medgen.evaluation.budgets import Budget
    from medgen.evaluation.experiment import Progress
    from medgen.evaluation.scans import Evaluation


@click.command(short_help="Compare interpolation methods where the truth is known.")
@scans_argument
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="REPORT",
    type=click.Path(path_type=Path),
    help="Folder to write the report to.",
)
@click.option(
    "--method",
    "method_names",
    multiple=True,
    type=Method(),
    metavar="METHOD",
    help="nearest, linear, bspline, sinc (lanczos with --degrade), self (a model that learns from "
    "the slices it sees), or a trained model, with its options behind a colon, as in "
    "ct-pixelminer:decode=mean,temperature=auto (repeatable). By default the four classical ones.",
)
@adapt_options
@removed_option
@click.option(
    "--degrade",
    type=click.IntRange(2),
    metavar="N",
    help="Instead of removing slices make voxels N times as long along each axis, and compare what "
    "makes them finer again.",
)
@click.option(
    "--degradation",
    type=click.Choice(DEGRADATIONS),
    default=DEGRADATIONS[0],
    show_default=True,
    help="With --degrade: the mean over the voxels that a coarse one consists of, a point spread "
    "as wide as it, or the middle of k-space, as of a scanner that measures less of it.",
)
@click.option(
    "--in-plane",
    is_flag=True,
    help="With --degrade: make pixels larger, slice by slice, and leave slices as thick.",
)
@gap_option
@click.option(
    "--mask",
    "masks",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Region of interest for texture, one for each SCAN in the same order. By default the "
    "lungs in chest CT and the body otherwise.",
)
@slice_axis_option
@click.option(
    "--thickness",
    "--slice-thickness",
    "thickness_mm",
    type=click.FloatRange(0, min_open=True),
    metavar="MM",
    help="Slice thickness, instead of what the files or, where these do not, the scans tell.",
)
@click.option(
    "--bin-width",
    type=click.FloatRange(0, min_open=True),
    help="Width of a grey level for texture. [default: 25 in CT]",
)
@click.option(
    "--bin-count",
    type=click.IntRange(2),
    help="Number of grey levels for texture instead. [default: 64 unless CT]",
)
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    type=click.Choice([OWN, *PROTOCOLS]),
    help="Tell the PSNR of CT as this paper measures it, too (repeatable), for comparison with "
    "published figures; medgen's own always stands there.",
)
@machine_reader_option
@click.option("--msmfe", is_flag=True, help="Compare maps of texture too; takes minutes a scan.")
@seed_option
@scoring_jobs_option
@volume_option
@modality_option
@intercept_option
@device_option
@click.option("--overwrite", is_flag=True, help="Replace an existing report.")
@json_option
def evaluate(
    scans, output, method_names, adapt_minutes, adapt_steps, factor, degrade, degradation, in_plane,
    gap_mm, masks, slice_axis, thickness_mm, bin_width, bin_count, protocols, machine_reader, msmfe,
    seed, jobs, volume, modality, intercept, overwrite,
) -> None:  # fmt: skip
    """Remove slices from each SCAN, re-create them by every method, and compare with the truth.

    With --adapt models that can are compared with themselves, once they have learnt from the slices
    that methods see (NAME+adapt).

    REPORT gets slices.csv, features.csv, summary.json, figures, and report.html with all tables
    and pictures.
    """
    if bin_width is not None and bin_count is not None:
        raise click.UsageError("Give --bin-width or --bin-count, not both.")
    if degrade and (gap_mm is not None or protocols or machine_reader):
        raise click.UsageError(
            "--gap, --protocol and --machine-reader are about slices that were removed; leave them "
            "out with --degrade."
        )
    if in_plane and not degrade:
        raise click.UsageError("--in-plane says what --degrade makes coarse; give both.")
    if adapt_minutes is not None and adapt_steps is not None:
        raise click.UsageError("Give --adapt or --adapt-steps, not both.")
    learning = {"steps": adapt_steps, "minutes": adapt_minutes, "thickness_mm": thickness_mm}
    if degrade and (adapt_minutes, adapt_steps) != (None, None):
        raise click.UsageError("Models learn from slices alone; leave out --adapt with --degrade.")

    from medgen.evaluation.report import require_writable, write_report
    from medgen.evaluation.scans import Settings, evaluate_scans
    from medgen.evaluation.scoring import Binning
    from medgen.processes import cores

    require_writable(output, overwrite=overwrite)
    if machine_reader is not None:
        from medgen.machine_reader import require_scans

        require_scans(len(scans))
    settings = Settings(
        factor=degrade or factor,
        degradation=degradation if degrade else None,
        in_plane=in_plane,
        gap_mm=gap_mm,
        slice_axis=slice_axis,
        binning=Binning(bin_width or 25.0, bin_count) if bin_width or bin_count else None,
        mapped=msmfe,
        thickness_mm=thickness_mm,
        volume=volume,
        modality=modality,
        intercept=intercept,
        seed=seed,
        protocols=tuple(name for name in PROTOCOLS if name in protocols),
        reader=machine_reader,
    )
    with shown_progress() as progress:
        methods = (
            _restorers(method_names, in_plane)
            if degrade
            else _recreators(method_names, seed, learning | {"progress": progress})
        )
        evaluation = evaluate_scans(
            scans, methods, settings, masks=masks, jobs=jobs or cores(), progress=progress
        )
        if machine_reader is not None:
            evaluation = _read(evaluation, machine_reader, progress)
        summary = write_report(evaluation, output, overwrite=overwrite)
    echo_summary(summary, output)
    answer(summary | {"output": output})


def _restorers(names: tuple[str, ...], in_plane: bool) -> dict[str, Any]:
    """What makes coarse voxels fine again; says what models are computed on."""
    from medgen.superresolution.methods import model_folder
    from medgen.superresolution.restore import restorers

    methods = restorers(names, in_plane=in_plane)
    if any(model_folder(name) for name in names):
        tell_device()
    return dict(methods)


def _recreators(names: tuple[str, ...], seed: int, learning: dict[str, Any]) -> dict[str, Any]:
    """What inserts slices; says what models are computed on.

    With minutes or steps of `learning` also what learns first, as `self` always does.
    """
    from medgen.interpolation import SELF, model_folder
    from medgen.interpolation.options import parsed
    from medgen.interpolation.recreate import recreators

    known = [name for name in names if parsed(name)[0] != SELF]
    methods = dict(recreators(known, seed, intervals=True)) if known or not names else {}
    asked = (learning["minutes"], learning["steps"]) != (None, None)
    learners = names if asked else [name for name in names if name not in known]
    if learners:
        from medgen.adaptation.adapting import Learning
        from medgen.adaptation.naming import learning_recreators

        methods |= learning_recreators(learners, Learning(seed=seed, tell=_note, **learning))
    if any(model_folder(parsed(name)[0]) for name in names):
        tell_device()
    return methods


def _note(sentence: str) -> None:
    click.echo(f"Note: {printable(sentence)}", err=True)


def _read(evaluation: Evaluation, budget: Budget, progress: Progress) -> Evaluation:
    """The same evaluation with what a machine reader says, unless a single scan is left for it."""
    from medgen.machine_reader import read

    shown = [scan.shown for scan in evaluation.scans if scan.shown is not None]
    if len(shown) < 2:
        click.echo("Warning: one scan is left, so the machine reader reads none.", err=True)
        return evaluation
    readings = read(
        shown,
        budget,
        seed=evaluation.settings.seed,
        progress=progress,
    )
    return replace(evaluation, readings=readings)


def echo_summary(summary: dict[str, Any], output: Path) -> None:
    """The main numbers of a report, what failed, and where to read on."""
    from medgen.evaluation.metrics import METRICS

    for scan in summary["scans"]:
        for text in scan["warnings"]:
            click.echo(printable(f"Warning: {scan['name']}: {text}"), err=True)
        for method, text in scan["failures"].items():
            click.echo(printable(f"Warning: {scan['name']}: {method} failed: {text}"), err=True)
    for name, text in summary["failed"].items():
        click.echo(printable(f"Warning: {name} failed: {text}"), err=True)
    published = {
        name: [row[method] for method in summary["methods"]]
        for name, row in summary["protocols"].items()
    }
    table = summary["metrics"][summary["where"]]
    columns = {
        metric.short: [table[name][method]["mean"] for method in summary["methods"]]
        for name, metric in METRICS.items()
        if metric.short
    }
    columns = {"PSNR": columns.pop("PSNR")} | published | columns
    columns["coverage"] = columns.pop("coverage")  # last, as few methods have it
    if summary["texture"] is not None:
        columns["texture"] = list(summary["texture"]["nrmse_median"].values())
        columns["won"] = list(summary["texture"]["features_won"].values())
    if summary["machine_reader"] is not None:
        told = summary["machine_reader"]["methods"]
        columns["told"] = [told.get(name, {}).get("told") for name in summary["methods"]]
    if set(columns["coverage"]) == {None}:
        del columns["coverage"]
    width = max(len(method) for method in summary["methods"])
    click.echo(f"{'':{width}}" + "".join(f"{title:>9}" for title in columns))
    for method, *means in zip(summary["methods"], *columns.values(), strict=True):
        cells = "".join(f"{'–' if mean is None else format(mean, '.4g'):>9}" for mean in means)
        click.echo(f"{method:{width}}{cells}")
    click.echo(f"Report written to {output}.")
