"""`medgen interpolate`: a scan with more slices."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal

import click

from medgen.cli.device import device_option, tell_device
from medgen.cli.folders import require_one_scan, work_through_folder
from medgen.cli.options import (
    adapt_options,
    finer_options,
    folder_jobs_option,
    scan_options,
    scheduler_option,
    seed_option,
    slice_axis_option,
    slice_thickness_option,
)
from medgen.cli.output import answer, json_option
from medgen.cli.progress import shown_progress
from medgen.errors import printable


class Temperature(click.ParamType):
    """A number, 0 or more, or `auto`."""

    name = "temperature"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | Literal["auto"]:
        """Parse what the user gave."""
        return "auto" if value == "auto" else click.FloatRange(0).convert(value, param, ctx)


@click.command(short_help="Insert synthetic slices between those of a scan.")
@click.argument("scan", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="OUT")
@click.option(
    "--model",
    metavar="NAME|BUNDLE",
    help="nearest, linear, bspline, sinc, shape (for label maps), one of `medgen models`, the "
    "folder of a model of your own, or self for one that learns from SCAN alone, for 5 minutes "
    "unless --adapt says otherwise. By default the released one for the scan's modality, and shape "
    "for label maps.",
)
@finer_options
@slice_axis_option
@click.option(
    "--fill-gaps",
    is_flag=True,
    help="Only put in slices that a DICOM series lacks, at the spacing of the others.",
)
@seed_option
@click.option(
    "--temperature",
    type=Temperature(),
    metavar="T|auto",
    help="Of a trained model's sampling; 1 draws from what it learnt, less is smoother. auto, the "
    "default where slices are drawn, gives them the texture of the scan's own; a mean, too.",
)
@click.option("--top-k", type=click.IntRange(1), help="Sample among the k most likely codes.")
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), help="Nucleus sampling.")
@click.option(
    "--decode",
    type=click.Choice(["sample", "mean"]),
    help="Of a PixelMiner or a two-stage model built on one: draw the slice (the default), or take "
    "every pixel's mean.",
)
@click.option(
    "--sampler",
    type=click.Choice(["cached", "fixed-point", "wavefront"]),
    help="Of a PixelMiner: pixel by pixel (the default), in passes over whole slices, for GPUs, or "
    "in slanting fronts, as an exported model does; the slices are the same.",
)
@click.option(
    "--samples",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    metavar="K",
    help="Fillings to draw, with seeds from --seed on; several go to OUT_1, OUT_2, ... before "
    "OUT's suffix. At --temperature 1 they differ nearly as much as the truth may; by default "
    "less.",
)
@click.option(
    "--uncertainty",
    type=click.Path(path_type=Path),
    metavar="NIFTI",
    help="Of a PixelMiner or a two-stage model built on one: also write, with _std, _entropy, _low "
    "and _high before the suffix, standard deviation, entropy in bits, and the ends of a 90 % "
    "interval of every voxel.",
)
@click.option(
    "--mask",
    type=click.Path(path_type=Path),
    metavar="NIFTI",
    help="Also write 1 in voxels of synthetic slices, 0 in acquired ones.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    metavar="SEG",
    help="A label map on the grid of SCAN, to be given the same slices, by shape.",
)
@click.option(
    "--labels-out",
    type=click.Path(path_type=Path),
    metavar="OUT_SEG",
    help="Where the finer label map goes, with OUT_SEG.json beside it.",
)
@click.option(
    "--check/--no-check",
    default=None,
    help="See first how well the model replaces acquired slices that are left out, and say so "
    "where linear interpolation does better. By default where that takes little beside the work.",
)
@click.option(
    "--view", "viewed", is_flag=True, help="Show SCAN and OUT in a browser when done; see `view`."
)
@adapt_options
@slice_thickness_option
@click.option(
    "--resume",
    is_flag=True,
    help="Go on from the slices that a killed run left, if it was the same.",
)
@folder_jobs_option
@scheduler_option
@device_option
@scan_options
@json_option
# Long: every option as an argument, and once more in the job.
def interpolate(
    scan: Path,
    output: Path,
    model: str | None,
    factor: int | None,
    spacing: float | None,
    slice_axis: int | None,
    fill_gaps: bool,
    seed: int,
    temperature: float | Literal["auto"] | None,
    top_k: int | None,
    top_p: float | None,
    decode: str | None,
    sampler: str | None,
    samples: int,
    uncertainty: Path | None,
    mask: Path | None,
    labels: Path | None,
    labels_out: Path | None,
    check: bool | None,
    adapt_minutes: float | None,
    adapt_steps: int | None,
    slice_thickness: float | None,
    viewed: bool,
    resume: bool,
    jobs: int,
    scheduler: str | None,
    volume: int | None,
    series: str | None,
    modality: str | None,
    intercept: float | None,
    overwrite: bool,
) -> None:
    """Write SCAN with synthetic slices between its own to OUT.

    SCAN is a NIfTI, NRRD, MetaImage or MGH file, or a folder with a DICOM series. With --factor
    all its slices stay as they are, bit for bit and in their places; with --spacing those stay
    that lie where a slice is wanted.

    OUT is a NIfTI, NRRD or MetaImage file; where it ends like no file and SCAN is DICOM, a folder
    for a new series. Beside it OUT.json tells what it was made of and which slices are synthetic.

    SCAN may also be a folder of scans, of DICOM series in folders of their own, or a BIDS data set.
    Then OUT is a folder, where the finer scans have the names and places of the scans. Of a BIDS
    data set the images of anatomy and label maps are taken, the others named, and OUT becomes a
    derivative: names tell the resolution (res-2x), OUT.json goes on with those fields of the scan's
    sidecars that still hold. Scans that are done are skipped, so the same command goes on after it
    was killed; those that fail are listed in OUT/failures.csv.
    """
    if factor is not None and spacing is not None:
        raise click.UsageError("Give --factor or --spacing, not both.")

    from medgen.interpolation.options import SamplingOptions
    from medgen.jobs.folder import is_folder_of_scans
    from medgen.jobs.job import Job
    from medgen.jobs.run import run_job

    job = Job(
        scan=scan,
        output=output,
        model=model,
        factor=factor,
        spacing_mm=spacing,
        slice_axis=slice_axis,
        fill_gaps=fill_gaps,
        seed=seed,
        sampling=SamplingOptions(temperature, top_k, top_p, decode, sampler),
        volume=volume,
        series=series,
        modality=modality,
        intercept=intercept,
        samples=samples,
        uncertainty=uncertainty,
        mask=mask,
        labels=labels,
        labels_out=labels_out,
        check=check,
        adapt_minutes=adapt_minutes,
        adapt_steps=adapt_steps,
        slice_thickness_mm=slice_thickness,
        resume=resume,
        overwrite=overwrite,
    )
    if is_folder_of_scans(scan):
        if viewed:
            raise click.UsageError("--view shows one scan; leave it out for a folder of scans.")
        if any(path is not None for path in (mask, uncertainty, labels, labels_out)):
            raise click.UsageError(
                "--mask, --uncertainty, --labels and --labels-out name files of one scan; leave "
                "them out for a folder, whose label maps are scans, too."
            )
        work_through_folder(job, jobs, scheduler)
        return
    require_one_scan(scan, jobs, scheduler)
    if resume and job.learns:
        raise click.UsageError(
            "A run that learns from the scan keeps nothing to go on from; leave out --resume, or "
            "have `medgen adapt` learn, which goes on with --resume."
        )
    job.require_consistent()
    job.require_writable()
    source = job.source()
    job = job.with_model(source)
    if job.model_folder is not None:
        tell_device()
    with shown_progress() as progress:
        outcome = run_job(
            job,
            job.load_method(progress),
            source=source,
            progress=partial(progress, "Slices"),
            note=lambda sentence: click.echo(f"Note: {printable(sentence)}", err=True),
        )
    click.echo(printable(outcome.line))
    answer(
        {
            "outputs": outcome.outputs,
            "model": outcome.method,
            "shape": outcome.after.shape,
            "spacing_mm": outcome.after.spacing,
            "labels": outcome.labels,
            "notes": outcome.notes,
        }
    )
    if viewed:
        from medgen.cli.view import show
        from medgen.viewing.scene import MOST_OUTPUTS, open_scene

        made = outcome.outputs[:MOST_OUTPUTS]
        show(open_scene(scan.name, source.volume, made, uncertainty=uncertainty, modality=modality))
