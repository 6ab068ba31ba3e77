"""`medgen sample`: new slices from a prior, as a picture and as NIfTI."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medgen.cli.device import device_option
from medgen.cli.options import modality_option, seed_option
from medgen.cli.output import answer, json_option
from medgen.cli.places import check_folder, trained_model
from medgen.cli.progress import shown_progress
from medgen.errors import BundleError, WriteError

if TYPE_CHECKING:
    import numpy as np

    from medgen.bundles.bundle import Bundle

SHEET = "samples.png"
SLICES = "samples.nii.gz"
COMPARISON = "comparison.json"


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
@click.option(
    "--compare",
    "scans",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="SCAN",
    help="Measure the slices beside those of a real scan (repeatable): the training scans, to tell "
    "copies.",
)
@modality_option
@device_option
@click.option("--overwrite", is_flag=True, help="Replace earlier samples in DIR.")
@json_option
def sample(
    model: str,
    count: int,
    output: Path,
    size: tuple[int, int],
    seed: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    scans: tuple[Path, ...],
    modality: str | None,
    overwrite: bool,
) -> None:
    """Write new slices to DIR: samples.png, a sheet, and samples.nii.gz, slices along axis 2.

    With --compare also comparison.json: how alike the slices are to real ones, and to each other.
    """
    if not overwrite and any((output / name).exists() for name in (SHEET, SLICES, COMPARISON)):
        raise WriteError(f"{output} already holds samples; add --overwrite to replace them.")
    check_folder(output)

    import numpy as np
    from skimage.io import imsave
    from skimage.util import img_as_ubyte, montage

    from medgen.families.two_stage.sample import sample_slices
    from medgen.intensities.scale import Scale
    from medgen.storage import write_text
    from medgen.volumes import Geometry, Volume, write_volume

    _, bundle = trained_model(model)
    real = [_slices_of(scan, bundle, size, modality) for scan in scans]
    with shown_progress() as progress:
        slices = sample_slices(
            bundle,
            count,
            size,
            seed=seed,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            progress=partial(progress, "Slices"),
        )
    compared, told = _compare(slices + 0.5, real, seed) if real else (None, "")
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
    (output / COMPARISON).unlink(missing_ok=True)  # of earlier samples
    if compared is not None:
        write_text(json.dumps(compared, indent=2) + "\n", output / COMPARISON)
        click.echo(told)
    answer({"output": output, "slices": count, "size": size, "unit": unit, "compared": compared})


def _slices_of(
    scan: Path, bundle: Bundle, size: tuple[int, int], modality: str | None
) -> np.ndarray:
    """Slices `(n, rows, cols)` of a real scan as the model's training saw them, from 0 to 1.

    Raises:
        BundleError: the model is one of pieces of slices, or of slices of another size.
    """
    from medgen.examples.stacks import stack_of
    from medgen.families.vqvae.reconstruct import EMPTY
    from medgen.volumes import read_volume

    side = bundle.family.codec(bundle).image_size
    if side is None or size != (side, side):
        whole = "pieces of slices" if side is None else f"slices of {side} x {side} pixels"
        raise BundleError(
            f"{bundle.name} is a model of {whole}, and --compare needs whole ones, got --size "
            f"{size[0]},{size[1]}; leave it out, or name such a model at its size."
        )
    volume = read_volume(scan, modality=modality)
    bundle.rule.require(volume.modality, volume.guess)
    unit = stack_of(volume, bundle.rule, scan.name, side).unit
    return unit[unit.std(axis=(1, 2)) >= EMPTY] + 0.5


def _compare(
    samples: np.ndarray, real: list[np.ndarray], seed: int
) -> tuple[dict[str, object], str]:
    """How samples compare with real slices, in figures and in words."""
    from dataclasses import asdict

    from medgen.evaluation.generative import compare
    from medgen.families.vqvae.reconstruct import EMPTY

    shown = samples[samples.std(axis=(1, 2)) >= EMPTY]
    found = compare(shown, real, seed)
    figures: dict[str, object] = {
        key: None if value != value else value for key, value in asdict(found).items()
    }  # JSON has no NaN
    figures["samples"], figures["empty_samples"] = len(samples), len(samples) - len(shown)
    return figures, (
        f"{len(shown)} of {len(samples)} slices hold something\n"
        f"most alike real slice: SSIM {found.nearest_ssim:.3f}, at most {found.highest_ssim:.3f} "
        f"(real slices and another scan's: {found.real_nearest_ssim:.3f}, "
        f"{found.real_highest_ssim:.3f})\n"
        f"pairs of samples: MS-SSIM {found.ms_ssim:.3f} (real slices: {found.real_ms_ssim:.3f})\n"
        f"precision {found.precision:.0%}, recall {found.recall:.0%}, "
        f"squared MMD {found.mmd:.3g}"
    )
