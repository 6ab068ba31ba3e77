"""`medgen encode`: microscopy images to encodings and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from medgen.cli.device import device_option
from medgen.cli.image_outputs import check_outputs, names_in
from medgen.cli.options import um_per_pixel_option
from medgen.cli.output import answer, json_option
from medgen.cli.places import trained_model
from medgen.cli.progress import shown_progress
from medgen.storage import csv_text, make_folder, move, staging, write_text

if TYPE_CHECKING:
    from medgen.families.autoencoder.encode import Decoded
    from medgen.images.image import Image

LIKENESS = "likeness.csv"
HEADER = ("image", "rows", "columns", "um_per_pixel", "psnr_db", "ssim")
# Below this side the window of SSIM finds no place.
SMALLEST_SIDE = 11


@click.command(short_help="Encode microscopy images, and decode them.")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="NAME|BUNDLE", help="Trained autoencoder.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder to write to.",
)
@um_per_pixel_option
@device_option
@click.option("--overwrite", is_flag=True, help="Replace DIR if it exists.")
@json_option
def encode(
    images: tuple[Path, ...],
    model: str,
    output: Path,
    um_per_pixel: float | None,
    overwrite: bool,
) -> None:
    """Encode IMAGES, files (PNG, JPEG, TIFF) and folders, and write to DIR what they become.

    Of each image NAME: NAME_encoding.npy, one number for 4 x 4 pixels; the same as pictures,
    NAME_plain.png (values as they are), NAME_stretched.png (linear contrast) and NAME_equalised.png
    (histogram equalised); and NAME_reconstruction.png, the image that the encoding stands for.
    likeness.csv and the lines printed compare it with the image.
    """
    check_outputs(output, LIKENESS, overwrite)

    from medgen.images.image import find_images

    paths = find_images(images)
    names = names_in(output, paths)

    from medgen.families.autoencoder.encode import autoencoder_of, decoded
    from medgen.images.image import read_image

    _, bundle = trained_model(model)
    net = autoencoder_of(bundle)
    scale_um = bundle.recipes["autoencoder"].scale_um or None
    rows = []
    measured = {}
    make_folder(output.parent)
    with shown_progress() as progress, staging(output) as place:
        folder = place / "encodings"
        folder.mkdir()
        for done, (path, name) in enumerate(zip(paths, names, strict=True), 1):
            image = read_image(path, um_per_pixel=um_per_pixel, scale_um=scale_um)
            result = decoded(net, image.array)
            _write(result, image, folder, name)
            found = _likeness(result, image)
            rows.append(_row(path.name, image, found))
            if found:
                measured[path.name] = found
            progress("images", done, len(paths))
        write_text(csv_text([HEADER, *rows], digits=6), folder / LIKENESS)
        move(folder, output, overwrite=overwrite)
    _tell(measured)
    click.echo(f"Encodings written to {output}.")
    images_told = [dict(zip(HEADER, row, strict=True)) for row in rows]
    answer({"output": output, "model": bundle.name, "images": images_told})


def _write(result: Decoded, image: Image, folder: Path, name: str) -> None:
    import numpy as np

    from medgen.images.views import views, write_png
    from medgen.nets.autoencoder import COMPRESSION

    um = image.um_per_pixel
    np.save(folder / f"{name}_encoding.npy", result.encoding)
    write_png(result.image, folder / f"{name}_reconstruction.png", um)
    for view, picture in views(result.encoding).items():
        write_png(picture, folder / f"{name}_{view}.png", None if um is None else um * COMPRESSION)


def _likeness(result: Decoded, image: Image) -> tuple[float, float] | None:
    """PSNR (dB) and SSIM, None of an image that the window of SSIM does not fit into."""
    from medgen.families.autoencoder.encode import likeness

    if min(image.shape) < SMALLEST_SIDE:
        return None
    return likeness(image.array, result.image)


def _row(name: str, image: Image, found: tuple[float, float] | None) -> tuple[object, ...]:
    """A row of `LIKENESS`, empty where nothing is known."""
    return (name, *image.shape, image.um_per_pixel, *(found or (None, None)))


def _tell(measured: dict[str, tuple[float, float]]) -> None:
    """A line for each image, and their mean."""
    width = max(map(len, measured), default=0)
    lines = dict(measured)
    if len(measured) > 1:
        psnr, ssim = (
            sum(values) / len(measured) for values in zip(*measured.values(), strict=True)
        )
        lines["mean"] = psnr, ssim
    for name, (psnr, ssim) in lines.items():
        click.echo(f"{name:<{width}}  PSNR {psnr:.2f} dB  SSIM {ssim:.4f}")
