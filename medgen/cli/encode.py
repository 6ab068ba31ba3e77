"""`medgen encode`: microscopy images to encodings and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from medgen.cli.image_outputs import Row, image_options, images_to_read, write_outputs
from medgen.cli.output import answer
from medgen.cli.places import trained_model

if TYPE_CHECKING:
    from medgen.families.autoencoder.encode import Decoded
    from medgen.images.image import Image

LIKENESS = "likeness.csv"
# Below this side the window of SSIM finds no place.
SMALLEST_SIDE = 11


@click.command(short_help="Encode microscopy images, and decode them.")
@click.option("--model", required=True, metavar="NAME|BUNDLE", help="Trained autoencoder.")
@image_options
def encode(
    images: tuple[Path, ...],
    model: str,
    output: Path,
    um_per_pixel: float | None,
    overwrite: bool,
) -> None:
    """Encode IMAGES (PNG, JPEG, TIFF, slides) and folders of them; write to DIR what they become.

    Of each image NAME: NAME_encoding.npy, one number for 4 x 4 pixels; the same as pictures,
    NAME_plain.png (values as they are), NAME_stretched.png (linear contrast) and NAME_equalised.png
    (histogram equalised); and NAME_reconstruction.png, the image that the encoding stands for.
    likeness.csv and the lines printed compare it with the image. Of a slide (SVS, NDPI, MRXS, ...)
    the tissue is encoded, tile by tile of 512 x 512 pixels; NAME_xX_yY tells where each begins.
    """
    paths = images_to_read(images, output, LIKENESS, overwrite)

    from medgen.families.autoencoder.encode import autoencoder_of, decoded
    from medgen.images.slide import read_parts

    _, bundle = trained_model(model)
    net = autoencoder_of(bundle)
    scale_um = bundle.recipes["autoencoder"].scale_um or None

    def make(path: Path, folder: Path) -> list[Row]:
        rows = []
        for part, image in read_parts(path, um_per_pixel=um_per_pixel, scale_um=scale_um):
            result = decoded(net, image.array)
            _write(result, image, folder, path.stem + part)
            rows.append(_row(path.name + part, result, image))
        return rows

    rows = write_outputs(paths, make, output, LIKENESS, overwrite)
    _tell(rows)
    click.echo(f"Encodings written to {output}.")
    answer({"output": output, "model": bundle.name, "images": rows})


def _write(result: Decoded, image: Image, folder: Path, name: str) -> None:
    import numpy as np

    from medgen.images.views import views, write_png
    from medgen.nets.autoencoder import COMPRESSION

    um = image.um_per_pixel
    np.save(folder / f"{name}_encoding.npy", result.encoding)
    write_png(result.image, folder / f"{name}_reconstruction.png", um)
    for view, picture in views(result.encoding).items():
        write_png(picture, folder / f"{name}_{view}.png", None if um is None else um * COMPRESSION)


def _row(name: str, result: Decoded, image: Image) -> Row:
    """A row of `LIKENESS`; PSNR (dB) and SSIM are None where the window of SSIM does not fit."""
    from medgen.families.autoencoder.encode import likeness

    fits = min(image.shape) >= SMALLEST_SIDE
    psnr, ssim = likeness(image.array, result.image) if fits else (None, None)
    rows, columns = image.shape
    return {
        "image": name,
        "rows": rows,
        "columns": columns,
        "um_per_pixel": image.um_per_pixel,
        "psnr_db": psnr,
        "ssim": ssim,
    }


def _tell(rows: list[Row]) -> None:
    """A line for each image that was compared, and their mean."""
    lines: dict[str, tuple[float, float]] = {
        str(row["image"]): (row["psnr_db"], row["ssim"])  # type: ignore[misc]
        for row in rows
        if row["ssim"] is not None
    }
    width = max(map(len, lines), default=0)
    if len(lines) > 1:
        psnr, ssim = (sum(values) / len(values) for values in zip(*lines.values(), strict=True))
        lines["mean"] = psnr, ssim
    for name, (psnr, ssim) in lines.items():
        click.echo(f"{name:<{width}}  PSNR {psnr:.2f} dB  SSIM {ssim:.4f}")
