"""`medgen sample`: new slices from a prior, as a picture and as NIfTI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from medgen.cli.options import seed_option
from medgen.cli.places import check_folder, trained_model
from medgen.errors import WriteError

SHEET = "samples.png"
SLICES = "samples.nii.gz"


class Size(click.ParamType):
    """`ROWS,COLS`, two whole numbers of pixels."""

    name = "ROWS,COLS"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Two positive ints."""
        if isinstance(value, tuple):
            return value
        try:
            rows, cols = (int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"expected two whole numbers such as 80,80, got {value!r}", param, ctx)
        return rows, cols


@click.command(short_help="Draw new slices from the prior of a two-stage model.")
@click.option("--model", required=True, metavar="NAME|BUNDLE", help="Trained two-stage model.")
@click.option("-n", "count", default=16, show_default=True, type=click.IntRange(1), help="Slices.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DIR")
@click.option("--size", default=(80, 80), show_default="80,80", type=Size(), help="In pixels.")
@seed_option
@click.option("--temperature", default=1.0, show_default=True, type=click.FloatRange(0))
@click.option("--top-k", type=click.IntRange(1), help="Only the k most likely codes.")
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), help="Nucleus sampling.")
@click.option("--overwrite", is_flag=True, help="Replace earlier samples in DIR.")
def sample(
    model: str,
    count: int,
    output: Path,
    size: tuple[int, int],
    seed: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    overwrite: bool,
) -> None:
    """Write new slices to DIR: samples.png, a sheet, and samples.nii.gz, slices along axis 2."""
    if not overwrite and any((output / name).exists() for name in (SHEET, SLICES)):
        raise WriteError(f"{output} already holds samples; add --overwrite to replace them.")
    check_folder(output)

    import numpy as np
    from skimage.io import imsave
    from skimage.util import img_as_ubyte, montage

    from medgen.families.two_stage.sample import sample_slices
    from medgen.intensities.scale import Scale
    from medgen.volumes import Geometry, Volume, write_volume

    _, bundle = trained_model(model)
    slices = sample_slices(
        bundle, count, size, seed=seed, temperature=temperature, top_k=top_k, top_p=top_p
    )
    output.mkdir(parents=True, exist_ok=True)
    kind = bundle.rule.kind
    # Where values have no unit, 0 to 1.
    scale = bundle.rule.scale_for(slices) if kind.absolute else Scale(0.0, 1.0, bundle.rule.levels)
    array = np.moveaxis(scale.from_unit(slices), 0, 2)
    geometry = Geometry.from_spacing(array.shape, (1.0, 1.0, 1.0))
    write_volume(Volume(array, geometry, modality=kind.name), output / SLICES, overwrite=overwrite)
    sheet = montage(slices + 0.5, fill=0.0, padding_width=2)
    imsave(output / SHEET, img_as_ubyte(np.clip(sheet, 0, 1)), check_contrast=False)
    unit = kind.unit or "0 … 1"
    click.echo(f"{count} slices of {size[0]} x {size[1]} pixels ({unit}) written to {output}")
