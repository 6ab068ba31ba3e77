"""`medgen refine-images`: microscopy images made finer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medgen.cli.device import device_option
from medgen.cli.image_outputs import check_outputs, names_in
from medgen.cli.options import um_per_pixel_option
from medgen.cli.output import answer, json_option
from medgen.cli.places import trained_model
from medgen.cli.progress import shown_progress
from medgen.errors import BundleError
from medgen.storage import csv_text, make_folder, move, staging, write_text

if TYPE_CHECKING:
    import numpy as np

    from medgen.nets.image_espcn import ImageESPCN

IMAGES_MADE = "images.csv"
TITLES = ("PSNR", "SSIM", "edges", "texture", "spectrum")


@click.command("refine-images", short_help="Make microscopy images finer.")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model",
    "models",
    required=True,
    multiple=True,
    metavar="NAME|BUNDLE",
    help="What train-image-espcn wrote; several with --degrade.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder to write to.",
)
@click.option(
    "--degrade", is_flag=True, help="Make images coarse first, restore them, and compare."
)
@um_per_pixel_option
@device_option
@click.option("--overwrite", is_flag=True, help="Replace DIR if it exists.")
@json_option
def refine_images(
    images: tuple[Path, ...],
    models: tuple[str, ...],
    output: Path,
    degrade: bool,
    um_per_pixel: float | None,
    overwrite: bool,
) -> None:
    """Make IMAGES, files (PNG, JPEG, TIFF) and folders of them, finer, and write them to DIR.

    NAME becomes NAME_MODEL.png. With --degrade each image is made coarse first (means of pixels),
    then restored by every model and by bicubic interpolation, and compared with what it was; means
    over the images are printed, and images.csv has each.
    """
    if len(models) > 1 and not degrade:
        raise BundleError("Several models are for --degrade; name one.")
    check_outputs(output, IMAGES_MADE, overwrite)

    from medgen.images.image import find_images

    paths = find_images(images)
    names = names_in(output, paths)

    from medgen.images.image import read_image

    nets = _nets(models)
    rows: list[dict[str, object]] = []
    make_folder(output.parent)
    with shown_progress() as progress, staging(output) as place:
        folder = place / "images"
        folder.mkdir()
        for done, (path, name) in enumerate(zip(paths, names, strict=True), 1):
            image = read_image(path, um_per_pixel=um_per_pixel)
            made = _restored if degrade else _refined
            rows += made(image.array, image.um_per_pixel, nets, folder, name)
            progress("images", done, len(paths))
        table: list[list[object]] = [list(rows[0]), *(list(row.values()) for row in rows)]
        write_text(csv_text(table, digits=6), folder / IMAGES_MADE)
        move(folder, output, overwrite=overwrite)
    if degrade:
        _tell(rows)
    click.echo(f"Images written to {output}.")
    answer({"output": output, "images": rows})


def _nets(models: Sequence[str]) -> dict[str, ImageESPCN]:
    """Nets by the name of their model.

    Raises:
        BundleError: one makes no images finer, or they are of several factors or of one name.
    """
    from medgen.families.image_espcn.refine import image_espcn_of

    bundles = [trained_model(model)[1] for model in models]
    nets = {bundle.name: image_espcn_of(bundle) for bundle in bundles}
    if len(nets) < len(bundles) or len({net.factor for net in nets.values()}) > 1:
        raise BundleError("Models that are compared have names of their own and one factor.")
    return nets


def _refined(
    array: np.ndarray,
    um: float | None,
    nets: Mapping[str, ImageESPCN],
    folder: Path,
    name: str,
) -> list[dict[str, object]]:
    """Write what a model makes of an image."""
    from medgen.families.image_espcn.refine import refined
    from medgen.images.views import write_png

    ((model, net),) = nets.items()
    fine = refined(net, array)
    finer_um = None if um is None else um / net.factor
    write_png(fine, folder / f"{name}_{model}.png", finer_um)
    rows, columns = fine.shape[:2]
    return [{"image": name, "rows": rows, "columns": columns, "um_per_pixel": finer_um}]


def _restored(
    array: np.ndarray,
    um: float | None,
    nets: Mapping[str, ImageESPCN],
    folder: Path,
    name: str,
) -> list[dict[str, object]]:
    """Write what models and bicubic interpolation make of a coarse image, and compare it."""
    from medgen.families.image_espcn.refine import bicubic, comparison, degraded, refined
    from medgen.images.views import write_png

    factor = next(iter(nets.values())).factor
    coarse = degraded(array, factor)
    write_png(coarse, folder / f"{name}_coarse.png", None if um is None else um * factor)
    restored = {"bicubic": bicubic(coarse, factor)}
    restored |= {model: refined(net, coarse) for model, net in nets.items()}
    rows: list[dict[str, object]] = []
    for method, fine in restored.items():
        write_png(fine, folder / f"{name}_{method}.png", um)
        truth = array[: fine.shape[0], : fine.shape[1]]
        rows.append({"image": name, "method": method, **comparison(truth, fine)})
    return rows


def _tell(rows: Sequence[Mapping[str, object]]) -> None:
    """Means of each method."""
    import numpy as np

    from medgen.families.image_espcn.refine import MEASURES

    methods = list(dict.fromkeys(str(row["method"]) for row in rows))
    width = max(map(len, methods))
    click.echo(" " * width + "".join(f"{title:>10}" for title in TITLES))
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        means = [np.nanmean([float(str(row[key])) for row in own]) for key in MEASURES]
        click.echo(f"{method:<{width}}" + "".join(f"{mean:10.4g}" for mean in means))
