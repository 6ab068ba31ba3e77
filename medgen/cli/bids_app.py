"""`medgen-bids`: the command line that BIDS Apps have in common, for `medgen interpolate`.

References:
    Gorgolewski et al., BIDS apps: Improving ease of use, accessibility, and reproducibility of
    neuroimaging data analysis methods, PLOS Computational Biology 13(3), 2017.
"""

from __future__ import annotations

from pathlib import Path

import click

import medgen
from medgen.cli import Failing
from medgen.cli.device import device_option
from medgen.cli.folders import work_through_folder
from medgen.cli.options import finer_options, folder_jobs_option, seed_option
from medgen.cli.output import json_option, quiet_option
from medgen.errors import ReadError


@click.command(cls=Failing, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("bids_dir", type=click.Path(path_type=Path))
@click.argument("output_dir", type=click.Path(path_type=Path))
@click.argument("analysis_level", type=click.Choice(["participant"]))
@click.option(
    "--participant-label",
    "--participant_label",
    "participants",
    multiple=True,
    metavar="LABEL",
    help="Only this subject, with or without sub- (repeatable). By default all.",
)
@click.option("--model", metavar="NAME|BUNDLE", help="As of medgen interpolate.")
@finer_options
@seed_option
@folder_jobs_option
@device_option
@json_option
@click.version_option(medgen.__version__, "-v", "--version", prog_name="medgen-bids")
def main(
    bids_dir: Path,
    output_dir: Path,
    analysis_level: str,
    participants: tuple[str, ...],
    model: str | None,
    factor: int | None,
    spacing: float | None,
    seed: int,
    jobs: int,
) -> None:
    """Make a BIDS derivative in OUTPUT_DIR with synthetic slices in the images of BIDS_DIR.

    There is one analysis level, participant, as every scan is done by itself. It is what medgen
    interpolate BIDS_DIR -o OUTPUT_DIR does, whose help tells what is taken and what is passed over.
    """
    if factor is not None and spacing is not None:
        raise click.UsageError("Give --factor or --spacing, not both.")

    from medgen.jobs.bids import DESCRIPTION, DataSet
    from medgen.jobs.job import Job

    if DataSet.at(bids_dir) is None:
        raise ReadError(f"{bids_dir} is no BIDS data set: it holds no {DESCRIPTION}.")
    labels = [label.removeprefix("sub-") for label in participants]
    there = {path.name.removeprefix("sub-") for path in bids_dir.glob("sub-*") if path.is_dir()}
    missing = sorted(set(labels) - there)
    if missing:
        raise ReadError(
            f"{bids_dir} has no subject {', '.join(missing)}; there are {', '.join(sorted(there))}."
        )
    job = Job(
        scan=bids_dir,
        output=output_dir,
        model=model,
        factor=factor,
        spacing_mm=spacing,
        seed=seed,
    )
    work_through_folder(job, jobs, participants=labels or None)


main.params.append(quiet_option())
