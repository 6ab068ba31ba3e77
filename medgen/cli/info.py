"""`medgen info`: what a scan is, before anything is done with it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from medgen.cli.options import reading_options
from medgen.cli.output import answer, json_option
from medgen.cli.progress import shown_progress
from medgen.errors import printable

UNTOLD = "the scan is too small, or its slices too near, to tell how thick they are"


@click.command(short_help="Show what a scan is: grid, kind, range of values.")
@click.argument("path", type=click.Path(path_type=Path), metavar="PATH")
@reading_options
@click.option(
    "--profile",
    is_flag=True,
    help="Also estimate from the scan itself how thick its slices are; takes seconds.",
)
@json_option
def info(
    path: Path,
    volume: int | None,
    series: str | None,
    modality: str | None,
    intercept: float | None,
    profile: bool,
) -> None:
    """Show shape, spacing, orientation, slices, modality and values of the scan at PATH.

    PATH is a file (NIfTI, NRRD, MetaImage, MGH, DICOM) or a folder with a DICOM series. Nothing
    that tells who the patient is gets printed.
    """
    from medgen.volumes import describe, read_volume

    scan = read_volume(path, volume=volume, series=series, modality=modality, intercept=intercept)
    facts = describe(scan)
    lines = rows(facts)
    if profile:
        from medgen.profiles.estimate import estimate_profile

        with shown_progress() as progress:
            estimate = estimate_profile(scan, progress=partial(progress, "Thicknesses"))
        facts["slice_profile"] = None if estimate is None else estimate.facts
        lines.append(("profile", UNTOLD if estimate is None else estimate.sentence))
    for name, text in lines:
        click.echo(printable(f"{name:<12}  {text}"))
    answer(facts)


def rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and sentence of everything `medgen.volumes.describe` knows, for reading."""
    unit = f" {facts['unit']}".rstrip()
    result = [
        ("format", facts["format"] or "unknown"),
        ("shape", " x ".join(map(str, facts["shape"]))),
        ("spacing", " x ".join(f"{s:.4g}" for s in facts["spacing_mm"]) + " mm"),
        ("orientation", f"{facts['orientation']}, {facts['obliquity_deg']:.3g} degrees oblique"),
        (
            "slices",
            f"{facts['slices']} along axis {facts['slice_axis']}, "
            f"{facts['slice_spacing_mm']:.4g} mm apart",
        ),
    ]
    if facts["slice_thickness_mm"] is not None:
        between = facts["uncovered_mm"]
        beside = "slices touch"
        if between:
            beside = f"{abs(between):.4g} mm " + ("uncovered between" if between > 0 else "overlap")
        result.append(("thickness", f"{facts['slice_thickness_mm']:.4g} mm, {beside}"))
    if facts["position_deviation_mm"] is not None:
        off = f"at most {facts['position_deviation_mm']:.3f} mm off a regular grid"
        result.append(("positions", off))
    sure = "sure" if facts["modality_sure"] else f"perhaps {facts['modality_guess']}"
    why = ", and ".join(facts["modality_reasons"])
    result.append(("modality", f"{facts['modality']} ({sure}: {why})"))
    stored = facts["dtype"]
    if (facts["slope"], facts["intercept"]) != (1, 0):
        stored += f", times {facts['slope']:g} plus {facts['intercept']:g}"
    result.append(("stored", stored))
    if facts["minimum"] is not None:
        result.append(("values", f"{facts['minimum']:g} to {facts['maximum']:g}{unit}"))
    if facts["padding_value"] is not None:
        share = f"in {facts['padding_fraction']:.1%} of the voxels"
        result.append(("padding", f"{facts['padding_value']:g}{unit} {share}"))
    if facts["non_finite"]:
        result.append(("non-finite", f"{facts['non_finite']} voxels are NaN or infinite"))
    return result + [("note", note) for note in facts["notes"]]
