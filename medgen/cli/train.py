"""`medgen train-vqvae`, `train-prior`, `train-pixelminer` and `train-espcn`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from medgen.cli.places import trained_model
from medgen.cli.training import chosen_recipe, fit_shown, keep, require_no_model, training_options
from medgen.errors import TrainingError
from medgen.families.conditional.recipe import (
    CONDITIONAL_PRIOR_RECIPES,
    CONDITIONAL_RECIPES,
    ConditionalPriorRecipe,
    ConditionalRecipe,
)
from medgen.families.espcn.recipe import ESPCN_RECIPES, FACTORS
from medgen.families.pixelminer.presets import PIXELMINER_RECIPES
from medgen.families.two_stage.recipe import PRIOR_RECIPES, PriorRecipe
from medgen.families.vqvae.recipe import VQVAE_RECIPES, VQVAERecipe
from medgen.recipes import Recipe

FIRST_STAGE_RECIPES = VQVAE_RECIPES | CONDITIONAL_RECIPES
if TYPE_CHECKING:
    from medgen.bundles.bundle import Bundle
    from medgen.training.gather import TrainingScans
    from medgen.training.session import Fitting

# Distance between training and validation slices of one scan.
GUARD_MM = 10.0


def _gathered(options: Mapping[str, Any], **wanted: Any) -> TrainingScans:
    """The scans of a command, as `gather_scans` is to prepare them."""
    from medgen.training.gather import gather_scans

    reading = {name: options[name] for name in ("volume", "modality", "intercept")}
    return gather_scans(
        options["data"],
        options["validation"],
        guard_mm=GUARD_MM,
        seed=options["seed"],
        **{"rule": None, "image_size": None, **reading, **wanted},
    )


def _model(name: str | None) -> Bundle | None:
    """A trained model, if one is named."""
    return None if name is None else trained_model(name)[1]


@click.command("train-vqvae", short_help="Train the first stage: slices to codes and back.")
@click.option(
    "--start",
    metavar="NAME|BUNDLE",
    help="PixelMiner whose prediction a conditional recipe builds on.",
)
@click.option(
    "--vqvae",
    metavar="NAME|BUNDLE",
    help="Trained first stage to begin with instead of from nothing.",
)
@training_options(FIRST_STAGE_RECIPES)
def train_vqvae(**options: Any) -> None:
    """Train a VQ-VAE on the slices of DATA, files and folders of scans of one modality."""
    output = options["output"]
    if os.environ.get("TF_CONFIG"):
        raise TrainingError(
            "A codebook is learnt by one process; unset TF_CONFIG, and use it with train-prior and "
            "train-pixelminer."
        )
    require_no_model(output)
    recipe = chosen_recipe(FIRST_STAGE_RECIPES, options)
    conditional = isinstance(recipe, ConditionalRecipe)
    if conditional != (options["start"] is not None):
        raise TrainingError(
            "A conditional recipe builds on the prediction of a PixelMiner, and no other does; "
            "give --start and --recipe conditional together."
        )

    from medgen.families.conditional.fit import ConditionalTask
    from medgen.families.vqvae.fit import LOW_USAGE, VQVAETask

    start, first = (_model(options[name]) for name in ("start", "vqvae"))
    given = start or first
    scans = _gathered(
        options,
        rule=None if given is None else given.rule,
        image_size=None if isinstance(recipe, ConditionalRecipe) else recipe.image_size,
    )
    task: Fitting
    if isinstance(recipe, VQVAERecipe):
        task = VQVAETask(scans, recipe, options["seed"], first)
    elif start is not None:
        task = ConditionalTask(scans, recipe, start, options["seed"], first)
    bundle = fit_shown(task, options)
    usage = bundle.metrics["vqvae"]["codebook_usage"]
    if usage < LOW_USAGE:
        click.echo(
            f"Warning: only {usage:.0%} of the codebook is used; lower num_embeddings or train "
            "longer.",
            err=True,
        )
    keep(bundle, scans, "train-vqvae", options)


@click.command(
    "train-prior", short_help="Train the second stage: codes of a slice from neighbours."
)
@click.option("--vqvae", required=True, metavar="NAME|BUNDLE", help="Trained first stage.")
@click.option(
    "--start",
    metavar="NAME|BUNDLE",
    help="Two-stage model whose prior to begin with instead of from nothing.",
)
@training_options(PRIOR_RECIPES)
def train_prior(**options: Any) -> None:
    """Train a conditional PixelCNN on the codes of DATA and write a two-stage model."""
    output = options["output"]
    require_no_model(output)

    from medgen.training.workers import join_workers

    workers = join_workers()

    from medgen.families.conditional.fit_prior import ConditionalPriorTask
    from medgen.families.two_stage.fit import PriorTask
    from medgen.families.vqvae.codes import codes_of

    _, first_stage = trained_model(options["vqvae"])
    conditional = isinstance(first_stage.recipes.get("vqvae"), ConditionalRecipe)
    recipes: Mapping[str, Recipe] = CONDITIONAL_PRIOR_RECIPES if conditional else PRIOR_RECIPES
    recipe = chosen_recipe(recipes, options)
    scans = _gathered(
        options,
        rule=first_stage.rule,
        image_size=None if conditional else codes_of(first_stage).recipe.image_size,
    )
    start = _model(options["start"])
    task: Fitting
    if isinstance(recipe, ConditionalPriorRecipe):
        task = ConditionalPriorTask(scans, first_stage, recipe, options["seed"], start)
    elif isinstance(recipe, PriorRecipe):
        task = PriorTask(scans, first_stage, recipe, options["seed"], start)
    bundle = fit_shown(task, options, workers)
    keep(bundle, scans, "train-prior", options, workers)


@click.command(
    "train-pixelminer", short_help="Train the direct model: pixels of a slice from neighbours."
)
@click.option(
    "--start",
    metavar="NAME|BUNDLE",
    help="PixelMiner to begin with instead of from nothing.",
)
@training_options(PIXELMINER_RECIPES)
def train_pixelminer(**options: Any) -> None:
    """Train a PixelMiner on the grey levels of DATA, files and folders of scans of one modality."""
    output = options["output"]
    require_no_model(output)
    recipe = chosen_recipe(PIXELMINER_RECIPES, options)

    from medgen.training.workers import join_workers

    workers = join_workers()

    from medgen.families.pixelminer.fit import PixelMinerTask

    start = _model(options["start"])
    scans = _gathered(options, rule=None if start is None else start.rule, levels=recipe.levels)
    bundle = fit_shown(PixelMinerTask(scans, recipe, options["seed"], start), options, workers)
    keep(bundle, scans, "train-pixelminer", options, workers)


@click.command("train-espcn", short_help="Train a model that makes voxels finer.")
@click.option(
    "--factor",
    type=click.Choice([str(factor) for factor in FACTORS]),
    help="Voxels made of one along each axis, instead of the recipe's.",
)
@click.option("--start", metavar="NAME|BUNDLE", help="ESPCN to begin with instead of from nothing.")
@training_options(ESPCN_RECIPES)
def train_espcn(**options: Any) -> None:
    """Train a 3D-ESPCN on DATA, files and folders of scans of one modality.

    Scans of small and nearly cubic voxels are best: they are made coarse, and the model learns to
    undo it.
    """
    output = options["output"]
    require_no_model(output)
    recipe = chosen_recipe(ESPCN_RECIPES, options)
    if options["factor"] is not None:
        recipe = replace(recipe, factor=int(options["factor"]))

    from medgen.training.workers import join_workers

    workers = join_workers()

    from medgen.families.espcn.fit import ESPCNTask

    start = _model(options["start"])
    scans = _gathered(options, rule=None if start is None else start.rule)
    bundle = fit_shown(ESPCNTask(scans, recipe, options["seed"], start), options, workers)
    keep(bundle, scans, "train-espcn", options, workers)
