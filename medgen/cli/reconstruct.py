"""`medgen reconstruct`: a scan through the VQ-VAE and back."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from medgen.cli.device import device_option
from medgen.cli.options import scan_options
from medgen.cli.output import answer, json_option
from medgen.cli.places import check_output, trained_model
from medgen.cli.progress import shown_progress


@click.command(short_help="Pass a scan through a VQ-VAE and measure what is lost.")
@click.argument("scan", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="OUT")
@click.option(
    "--model", required=True, metavar="NAME|BUNDLE", help="Trained model with a codebook."
)
@device_option
@scan_options
@json_option
def reconstruct(
    scan: Path,
    output: Path,
    model: str,
    volume: int | None,
    series: str | None,
    modality: str | None,
    intercept: float | None,
    overwrite: bool,
) -> None:
    """Write SCAN as the VQ-VAE of a model sees it, and print mean SSIM and PSNR of its slices.

    A model for small slices (recipe oasis-80) is shown, and gives, axial slices of its own size;
    the measures compare with those. A model conditioned on the acquired slices (recipe conditional)
    has codes of a slice between two others: the first and the last stay as they are.
    """
    check_output(output, overwrite)

    from medgen.families.vqvae.reconstruct import reconstruct_volume
    from medgen.volumes import read_volume, write_volume

    before = read_volume(scan, volume=volume, series=series, modality=modality, intercept=intercept)
    _, bundle = trained_model(model)
    with shown_progress() as progress:
        result = reconstruct_volume(before, bundle, partial(progress, "Slices"))
    write_volume(result.volume, output, overwrite=overwrite)
    if result.ssim.size:
        measures = (
            f"mean SSIM {result.ssim.mean():.4f} (lowest {result.ssim.min():.4f}), "
            f"mean PSNR {result.psnr_db.mean():.2f} dB over {result.low:g} … {result.high:g}"
        )
    else:
        measures = "none has the contrast or the size to be measured"
    click.echo(
        f"{result.ssim.size} slices: {measures}; {result.codebook_usage:.0%} of the codebook used"
    )
    click.echo(f"{output} written")
    answer(
        {
            "output": output,
            "slices": result.ssim.size,
            "ssim": result.ssim.tolist(),
            "psnr_db": result.psnr_db.tolist(),
            "range": [result.low, result.high],
            "codebook_usage": result.codebook_usage,
        }
    )
