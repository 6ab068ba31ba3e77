"""`medgen superresolve`: a scan of finer voxels."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from medgen.cli.device import device_option, tell_device
from medgen.cli.folders import require_one_scan, work_through_folder
from medgen.cli.options import (
    folder_jobs_option,
    scan_options,
    scheduler_option,
    slice_axis_option,
)
from medgen.cli.output import answer, json_option
from medgen.cli.progress import shown_progress
from medgen.errors import printable


@click.command(short_help="Make the voxels of a scan finer along all axes.")
@click.argument("scan", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="OUT")
@click.option(
    "--model",
    metavar="NAME|BUNDLE",
    help="nearest, linear, bspline, lanczos, one of `medgen models` that is an espcn, or the "
    "folder of a model of your own. By default the released one for the scan's modality and the "
    "factor, and nearest for label maps.",
)
@click.option(
    "--factor",
    type=click.IntRange(2),
    metavar="N",
    help="Voxels made of one along each axis; by default the model's, or 2.",
)
@click.option(
    "--in-plane",
    is_flag=True,
    help="Make pixels finer alone: every slice stays as thick as it is, and where it is.",
)
@slice_axis_option
@click.option(
    "--uncertainty",
    type=click.Path(path_type=Path),
    metavar="NIFTI",
    help="Of a trained model: also write, with _std, _low and _high before the suffix, the "
    "standard deviation and the ends of a 90 % interval of every voxel.",
)
@folder_jobs_option
@scheduler_option
@device_option
@scan_options
@json_option
def superresolve(
    scan, output, model, factor, in_plane, slice_axis, uncertainty, jobs, scheduler, volume,
    series, modality, intercept, overwrite,
) -> None:  # fmt: skip
    """Write SCAN with every voxel split into N x N x N finer ones, or N x N in-plane, to OUT.

    SCAN is a NIfTI, NRRD, MetaImage or MGH file, or a folder with a DICOM series. The finer voxels
    fill the space of those they are made of, so that nothing is shifted; all of them are estimates.

    OUT is a NIfTI, NRRD or MetaImage file; where it ends like no file and SCAN is DICOM, a folder
    for a new series. Beside it OUT.json tells what it was made of.

    SCAN may also be a folder of scans or a BIDS data set, and OUT a folder, as of medgen
    interpolate: scans keep their names and places, those that are done are skipped, and those that
    fail are listed in OUT/failures.csv.
    """
    if slice_axis is not None and not in_plane:
        raise click.UsageError(
            "--slice-axis says which slices --in-plane leaves as they are; give both, or neither."
        )

    from medgen.jobs.folder import is_folder_of_scans
    from medgen.jobs.superresolve import Task

    task = Task(
        scan=scan,
        output=output,
        model=model,
        factor=factor,
        in_plane=in_plane,
        slice_axis=slice_axis,
        uncertainty=uncertainty,
        volume=volume,
        series=series,
        modality=modality,
        intercept=intercept,
        overwrite=overwrite,
    )
    if is_folder_of_scans(scan):
        if uncertainty is not None:
            raise click.UsageError(
                "--uncertainty names files of one scan; leave it out for a folder."
            )
        work_through_folder(task, jobs, scheduler)
        return
    require_one_scan(scan, jobs, scheduler)
    task.require_writable()
    source = task.source()
    task = task.with_model(source)
    if task.model_folder is not None:
        tell_device()
    method = task.load_method()
    with shown_progress() as progress:
        outcome = task.run(
            method,
            source=source,
            progress=partial(progress, "Voxels"),
            note=lambda sentence: click.echo(f"Note: {printable(sentence)}", err=True),
        )
    click.echo(printable(outcome.line))
    answer(
        {
            "output": task.output,
            "model": outcome.method,
            "shape": outcome.after.shape,
            "spacing_mm": outcome.after.spacing,
            "notes": outcome.notes,
        }
    )
