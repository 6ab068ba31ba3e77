"""`medgen phantom`: a scan whose truth is known everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from medgen.cli.options import seed_option
from medgen.cli.output import answer, json_option
from medgen.cli.places import check_output

SPACING_MM = {"ct": (3.0, 3.0, 5.0), "mr": (1.8, 1.8, 2.8)}


class Triple(click.ParamType):
    """Three positive numbers `A,B,C`, one an axis."""

    def __init__(self, number: type[int] | type[float], name: str) -> None:
        self.number, self.name = number, name

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Three ints or floats above 0."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(self.number(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != 3 or not all(0 < n < float("inf") for n in numbers):
            kind = "whole numbers" if self.number is int else "numbers"
            self.fail(f"expected three {kind} above 0 such as 64,48,20, got {value!r}", param, ctx)
        return numbers


@click.command(short_help="Make a scan whose truth is known at any z.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="OUT")
@click.option(
    "--modality",
    default="ct",
    show_default=True,
    type=click.Choice(list(SPACING_MM)),
    help="A torso in HU, or a head in arbitrary units.",
)
@click.option(
    "--shape",
    default=(128, 128, 64),
    show_default="128,128,64",
    type=Triple(int, "I,J,K"),
    help="Voxels along each axis.",
)
@click.option(
    "--spacing",
    type=Triple(float, "X,Y,Z"),
    help="In mm; by default 3,3,5 for ct and 1.8,1.8,2.8 for mr.",
)
@seed_option
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@json_option
def phantom(
    output: Path,
    modality: str,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float] | None,
    seed: int,
    overwrite: bool,
) -> None:
    """Write an analytic phantom: organs, branching vessels, texture and correlated noise.

    The body fills the field of view, so the same seed over the same field of view is the same body
    at any number of slices: --shape 64,64,21 --spacing 4,4,10 and --shape 64,64,41 --spacing 4,4,5
    agree in every other slice.
    """
    check_output(output, overwrite)

    from medgen.phantoms.phantom import phantom_volume
    from medgen.volumes import write_volume

    volume = phantom_volume(modality, shape, spacing or SPACING_MM[modality], seed)
    write_volume(volume, output, overwrite=overwrite)
    click.echo(f"{output}: {modality} phantom, seed {seed}, {volume.geometry.summary}")
    answer(
        {
            "output": output,
            "modality": modality,
            "seed": seed,
            "shape": volume.shape,
            "spacing_mm": volume.spacing,
        }
    )
