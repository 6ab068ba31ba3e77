"""`medgen refine-images`: microscopy images made finer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medgen.cli.image_outputs import Row, image_options, images_to_read, write_outputs
from medgen.cli.output import answer, mean_of
from medgen.cli.places import trained_model
from medgen.errors import BundleError, EvaluationError

if TYPE_CHECKING:
    from medgen.images.image import Image
    from medgen.nets.image_espcn import ImageESPCN

IMAGES_MADE = "images.csv"
TITLES = ("PSNR", "SSIM", "edges", "texture", "spectrum", "nuclei", "same")


@click.command("refine-images", short_help="Make microscopy images finer.")
@click.option(
    "--model",
    "models",
    required=True,
    multiple=True,
    metavar="NAME|BUNDLE",
    help="What train-image-espcn wrote; several with --degrade.",
)
@click.option(
    "--degrade", is_flag=True, help="Make images coarse first, restore them, and compare."
)
@image_options
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
    over the images are printed, and images.csv has each. Of nuclei the table tells how many there
    are for each of the truth, and how many of both are the same (Dice coefficient). Images are
    first brought to the scale_um of the models' recipe, where it has one.
    """
    if len(models) > 1 and not degrade:
        raise BundleError("Several models are for --degrade; name one.")
    paths = images_to_read(images, output, IMAGES_MADE, overwrite)

    from medgen.images.image import read_image

    nets, scale_um = _nets(models)

    def make(path: Path, folder: Path) -> list[Row]:
        if degrade:
            truth = read_image(path, um_per_pixel=um_per_pixel, scale_um=scale_um)
            return _restored(truth, nets, folder, path.stem)
        return _refined(read_image(path, um_per_pixel=um_per_pixel), nets, folder, path.stem)

    rows = write_outputs(paths, make, output, IMAGES_MADE, overwrite)
    if degrade:
        _tell(rows)
    click.echo(f"Images written to {output}.")
    answer({"output": output, "images": rows})


def _nets(models: Sequence[str]) -> tuple[dict[str, ImageESPCN], float | None]:
    """Nets by the name of their model, and the µm per pixel that they were taught, if any.

    Raises:
        BundleError: one makes no images finer, or they are of several factors or scales, or of one
            name.
    """
    from medgen.families.image_espcn.refine import image_espcn_of

    bundles = [trained_model(model)[1] for model in models]
    nets = {bundle.name: image_espcn_of(bundle) for bundle in bundles}
    recipes = [bundle.recipes["image_espcn"] for bundle in bundles]
    taught = {(recipe.factor, recipe.scale_um) for recipe in recipes}
    if len(nets) < len(bundles) or len(taught) > 1:
        raise BundleError(
            "Models that are compared have names of their own, one factor and one scale_um."
        )
    ((_, scale_um),) = taught
    return nets, scale_um or None


def _refined(image: Image, nets: Mapping[str, ImageESPCN], folder: Path, name: str) -> list[Row]:
    """Write what a model makes of an image."""
    from medgen.families.image_espcn.refine import refined
    from medgen.images.views import write_png

    ((model, net),) = nets.items()
    fine = refined(net, image.array)
    um = None if image.um_per_pixel is None else image.um_per_pixel / net.factor
    write_png(fine, folder / f"{name}_{model}.png", um)
    rows, columns = fine.shape[:2]
    return [{"image": name, "rows": rows, "columns": columns, "um_per_pixel": um}]


def _restored(image: Image, nets: Mapping[str, ImageESPCN], folder: Path, name: str) -> list[Row]:
    """Write what models and bicubic interpolation make of a coarse image, and compare it."""
    from medgen.evaluation.similarity import SSIM_SIDE
    from medgen.families.image_espcn.refine import bicubic, comparison, degraded, refined
    from medgen.images.nuclei import compare_nuclei
    from medgen.images.views import write_png

    factor = next(iter(nets.values())).factor
    needed = -(-SSIM_SIDE // factor) * factor
    if min(image.shape) < needed:
        raise EvaluationError(
            f"{name} has {image.shape[0]} x {image.shape[1]} pixels and comparing takes {needed} "
            f"x {needed}; leave it out, or do without --degrade."
        )
    coarse, um = degraded(image.array, factor), image.um_per_pixel
    write_png(coarse, folder / f"{name}_coarse.png", None if um is None else um * factor)
    restored = {"bicubic": bicubic(coarse, factor)}
    restored |= {model: refined(net, coarse) for model, net in nets.items()}
    rows: list[Row] = []
    for method, fine in restored.items():
        write_png(fine, folder / f"{name}_{method}.png", um)
        truth = image.array[: fine.shape[0], : fine.shape[1]]
        nuclei = {f"nuclei_{k}": n for k, n in asdict(compare_nuclei(truth, fine)).items()}
        rows.append({"image": name, "method": method, **comparison(truth, fine), **nuclei})
    return rows


def _tell(rows: Sequence[Mapping[str, object]]) -> None:
    """Means of each method, and of the nuclei of all images what they are to the true ones."""
    from medgen.families.image_espcn.refine import MEASURES

    methods = list(dict.fromkeys(str(row["method"]) for row in rows))
    width = max(map(len, methods))
    click.echo(" " * width + "".join(f"{title:>10}" for title in TITLES))
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        means = [mean_of([float(str(row[key])) for row in own]) for key in MEASURES]
        true, test, same = (
            sum(int(str(row[f"nuclei_{key}"])) for row in own) for key in ("true", "test", "same")
        )
        means += [test / true, 2 * same / (true + test)] if true else [math.nan, math.nan]
        click.echo(f"{method:<{width}}" + "".join(f"{mean:10.4g}" for mean in means))
