"""`medgen train-autoencoder` and `medgen train-image-espcn`: models of microscopy images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from medgen.cli.options import um_per_pixel_option
from medgen.cli.places import trained_model
from medgen.cli.training import chosen_recipe, fit_shown, keep, require_no_model, training_options
from medgen.errors import TrainingError
from medgen.families.autoencoder.recipe import AUTOENCODER_RECIPES, AutoencoderRecipe
from medgen.families.image_espcn.recipe import IMAGE_ESPCN_RECIPES, ImageESPCNRecipe

if TYPE_CHECKING:
    from medgen.training.gather_images import TrainingImages


def _gather(
    options: dict[str, Any], recipe: AutoencoderRecipe | ImageESPCNRecipe
) -> TrainingImages:
    from medgen.training.gather_images import gather_images

    return gather_images(
        options["data"],
        options["validation"],
        crop=recipe.crop,
        um_per_pixel=options["um_per_pixel"],
        scale_um=recipe.scale_um or None,
    )


@click.command("train-autoencoder", short_help="Train an autoencoder of microscopy images (H&E).")
@training_options(AUTOENCODER_RECIPES, (um_per_pixel_option,))
def train_autoencoder(**options: Any) -> None:
    """Train an autoencoder on DATA, images (PNG, JPEG, TIFF), slides and folders.

    An image becomes one number for 4 x 4 pixels, and an image again. --validation is needed: only
    you know which images are of other patients or another laboratory. Of a slide (SVS, NDPI, MRXS,
    ...) up to 64 tiles of 512 x 512 pixels are read, spread over its tissue.
    """
    output = options["output"]
    require_no_model(output)
    recipe = chosen_recipe(AUTOENCODER_RECIPES, options)

    from medgen.training.workers import join_workers

    images = _gather(options, recipe)
    workers = join_workers()

    from medgen.families.autoencoder.fit import AutoencoderTask

    bundle = fit_shown(AutoencoderTask(images, recipe, options["seed"]), options, workers)
    keep(bundle, images, "train-autoencoder", options, workers)


# Of a laboratory held out, 2 left the power spectrum nearly as pixels alone do, at the same PSNR.
FEATURE_WEIGHT = 20.0


@click.command("train-image-espcn", short_help="Train a model that makes microscopy images finer.")
@click.option(
    "--feature-loss",
    metavar="NAME|BUNDLE",
    help="Autoencoder whose encodings are to be alike, too.",
)
@training_options(IMAGE_ESPCN_RECIPES, (um_per_pixel_option,))
def train_image_espcn(**options: Any) -> None:
    """Train a super-resolution net on DATA, images (PNG, JPEG, TIFF), slides and folders.

    Images are made coarse, each pixel the mean of 4 x 4 (or as many as a recipe's factor says), and
    the net learns to undo it: to be alike pixel by pixel, and with --feature-loss in the encodings
    of an autoencoder as well.
    """
    output = options["output"]
    require_no_model(output)
    recipe = chosen_recipe(IMAGE_ESPCN_RECIPES, options)
    if options["feature_loss"] is None and recipe.feature_weight:
        raise TrainingError(
            "A recipe with a feature_weight needs to know whose features; name an autoencoder with "
            "--feature-loss."
        )
    if options["feature_loss"] is not None and not recipe.feature_weight:
        recipe = replace(recipe, feature_weight=FEATURE_WEIGHT)

    from medgen.training.workers import join_workers

    images = _gather(options, recipe)
    workers = join_workers()

    from medgen.families.autoencoder.encode import autoencoder_of
    from medgen.families.image_espcn.fit import ImageESPCNTask

    judge = None
    if options["feature_loss"] is not None:
        judge = autoencoder_of(trained_model(options["feature_loss"])[1])
    bundle = fit_shown(ImageESPCNTask(images, recipe, options["seed"], judge), options, workers)
    keep(bundle, images, "train-image-espcn", options, workers)
