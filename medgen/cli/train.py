"""`medgen train-vqvae`, `train-prior`, `train-pixelminer` and `train-espcn`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from medgen.cli.device import device_option, tell_device
from medgen.cli.options import (
    intercept_option,
    modality_option,
    volume_option,
)
from medgen.cli.output import answer, is_quiet, json_option
from medgen.cli.places import check_folder, trained_model
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
from medgen.recipes import One, Recipe, named_recipe

FIRST_STAGE_RECIPES = VQVAE_RECIPES | CONDITIONAL_RECIPES
if TYPE_CHECKING:
    from medgen.bundles.bundle import Bundle
    from medgen.training.gather import TrainingScans
    from medgen.training.gather_images import TrainingImages
    from medgen.training.session import Fitting, Report
    from medgen.training.session import Progress as Told
    from medgen.training.workers import Workers

# Distance between training and validation slices of one scan.
GUARD_MM = 10.0


OF_SCANS = (volume_option, modality_option, intercept_option)


def training_options(
    recipes: Mapping[str, Recipe], reading: Sequence[Callable] = OF_SCANS
) -> Callable[[Callable], Callable]:
    """Options that all training commands share, and those of `reading`."""
    options: list[Any] = [
        click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path)),
        click.option(
            "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="BUNDLE",
            help="Folder to write the model to.",
        ),
        click.option(
            "--validation", multiple=True, type=click.Path(path_type=Path), metavar="PATH",
            help="Scan, image or folder that validates and never trains (repeatable); without it a "
            "part of DATA is set aside.",
        ),
        click.option(
            "--recipe", default="default", show_default=True, metavar="NAME|FILE",
            help=f"{', '.join(recipes)}, or a JSON file.",
        ),
        click.option("--steps", type=click.IntRange(1), help="Gradient steps."),
        click.option(
            "--minutes", type=click.FloatRange(0, min_open=True),
            help="Train for so long instead, and end with a finished model.",
        ),
        click.option("--batch-size", type=click.IntRange(1), help="Crops a step."),
        click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="Peak."),
        click.option("--seed", default=0, show_default=True, type=click.IntRange(0)),
        *reading,
        device_option,
        click.option("--resume", is_flag=True, help="Continue an interrupted run."),
        json_option,
    ]  # fmt: skip

    def decorate(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _tell(recipes: Mapping[str, One], options: Mapping[str, Any]) -> One:
    """The named recipe with what was given on the command line in its place."""
    given = {key: options[key] for key in ("steps", "batch_size", "learning_rate")}
    if options["steps"] is not None and options["minutes"] is not None:
        raise TrainingError("Give --steps or --minutes, not both.")
    return replace(
        named_recipe(recipes, options["recipe"]),
        **{key: value for key, value in given.items() if value is not None},
    )


def _check_output(output: Path) -> None:
    if (output / "recipe.json").exists():
        raise TrainingError(f"{output} already holds a trained model; choose another output.")
    check_folder(output)


def _fit(task: Fitting, options: dict[str, Any], workers: Workers | None = None) -> Bundle:
    """Train in the output folder, with a bar on a terminal."""
    from medgen.training.session import fit
    from medgen.training.workers import ALONE

    tell_device()
    steps = None if options["minutes"] else task.recipe.steps
    with _shown(steps) as (report, progress):
        return fit(
            task,
            options["output"],
            minutes=options["minutes"],
            resume=options["resume"],
            report=report,
            progress=progress,
            workers=workers or ALONE,
        )


@contextmanager
def _shown(steps: int | None) -> Iterator[tuple[Report, Told]]:
    """`report` and `progress` for `fit`: a line a validation, and on a terminal a bar."""
    console = Console(stderr=True)

    def report(row: dict[str, float]) -> None:
        values = "  ".join(f"{k} {v:.4g}" for k, v in row.items() if k != "step")
        click.echo(f"step {row['step']}  {values}")

    if is_quiet() or not console.is_terminal:  # where older releases of rich print an empty line
        yield report, lambda step, logs: None
        return
    columns = (
        TextColumn("{task.fields[loss]}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=steps, loss="starting")

        def progress(step: int, logs: dict[str, float]) -> None:
            bar.update(task, completed=step, loss=f"loss {logs['loss']:.4f}")

        yield report, progress


def _finish(
    bundle: Bundle,
    scans: TrainingScans | TrainingImages,
    command: str,
    options: dict[str, Any],
    workers: Workers | None = None,
) -> None:
    from medgen.bundles.bundle import save_bundle
    from medgen.bundles.card import command_line, model_card
    from medgen.training.checkpoint import discard_checkpoints

    options = {key: value for key, value in options.items() if key != "resume"}
    call = command_line(command, options)
    if workers is not None and workers.count > 1:
        call += f"  # by each of {workers.count} workers of TF_CONFIG"
    if workers is None or workers.is_chief:
        save_bundle(bundle, options["output"], model_card(bundle, call, scans.describe()))
        discard_checkpoints(options["output"])
        click.echo(f"Model written to {options['output']}.")
        answer({"output": options["output"], "kind": bundle.kind, "metrics": bundle.metrics})
    if workers is not None:
        workers.wait()


@click.command("train-vqvae", short_help="Train the first stage: slices to codes and back.")
@click.option(
    "--start",
    metavar="NAME|BUNDLE",
    help="PixelMiner whose prediction a conditional recipe builds on.",
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
    _check_output(output)
    recipe = _tell(FIRST_STAGE_RECIPES, options)
    conditional = isinstance(recipe, ConditionalRecipe)
    if conditional != (options["start"] is not None):
        raise TrainingError(
            "A conditional recipe builds on the prediction of a PixelMiner, and no other does; "
            "give --start and --recipe conditional together."
        )

    from medgen.families.conditional.fit import ConditionalTask
    from medgen.families.vqvae.fit import LOW_USAGE, VQVAETask
    from medgen.training.gather import gather_scans

    start = trained_model(options["start"])[1] if conditional else None
    scans = gather_scans(
        options["data"],
        options["validation"],
        rule=None if start is None else start.rule,
        image_size=None if isinstance(recipe, ConditionalRecipe) else recipe.image_size,
        guard_mm=GUARD_MM,
        seed=options["seed"],
        volume=options["volume"],
        modality=options["modality"],
        intercept=options["intercept"],
    )
    task: Fitting
    if isinstance(recipe, VQVAERecipe):
        task = VQVAETask(scans, recipe, options["seed"])
    elif start is not None:
        task = ConditionalTask(scans, recipe, start, options["seed"])
    bundle = _fit(task, options)
    usage = bundle.metrics["vqvae"]["codebook_usage"]
    if usage < LOW_USAGE:
        click.echo(
            f"Warning: only {usage:.0%} of the codebook is used; lower num_embeddings or train "
            "longer.",
            err=True,
        )
    _finish(bundle, scans, "train-vqvae", options)


@click.command(
    "train-prior", short_help="Train the second stage: codes of a slice from neighbours."
)
@click.option("--vqvae", required=True, metavar="NAME|BUNDLE", help="Trained first stage.")
@training_options(PRIOR_RECIPES)
def train_prior(**options: Any) -> None:
    """Train a conditional PixelCNN on the codes of DATA and write a two-stage model."""
    output = options["output"]
    _check_output(output)

    from medgen.training.workers import join_workers

    workers = join_workers()

    from medgen.families.conditional.fit_prior import ConditionalPriorTask
    from medgen.families.two_stage.fit import PriorTask
    from medgen.families.vqvae.codes import codes_of
    from medgen.training.gather import gather_scans

    _, first_stage = trained_model(options["vqvae"])
    conditional = isinstance(first_stage.recipes.get("vqvae"), ConditionalRecipe)
    recipes: Mapping[str, Recipe] = CONDITIONAL_PRIOR_RECIPES if conditional else PRIOR_RECIPES
    recipe = _tell(recipes, options)
    scans = gather_scans(
        options["data"],
        options["validation"],
        rule=first_stage.rule,
        image_size=None if conditional else codes_of(first_stage).recipe.image_size,
        guard_mm=GUARD_MM,
        seed=options["seed"],
        volume=options["volume"],
        modality=options["modality"],
        intercept=options["intercept"],
    )
    task: Fitting
    if isinstance(recipe, ConditionalPriorRecipe):
        task = ConditionalPriorTask(scans, first_stage, recipe, options["seed"])
    elif isinstance(recipe, PriorRecipe):
        task = PriorTask(scans, first_stage, recipe, options["seed"])
    bundle = _fit(task, options, workers)
    _finish(bundle, scans, "train-prior", options, workers)


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
    _check_output(output)
    recipe = _tell(PIXELMINER_RECIPES, options)

    from medgen.training.workers import join_workers

    workers = join_workers()

    from medgen.families.pixelminer.fit import PixelMinerTask
    from medgen.training.gather import gather_scans

    start = None if options["start"] is None else trained_model(options["start"])[1]
    scans = gather_scans(
        options["data"],
        options["validation"],
        rule=None if start is None else start.rule,
        levels=recipe.levels,
        image_size=None,
        guard_mm=GUARD_MM,
        seed=options["seed"],
        volume=options["volume"],
        modality=options["modality"],
        intercept=options["intercept"],
    )
    bundle = _fit(PixelMinerTask(scans, recipe, options["seed"], start), options, workers)
    _finish(bundle, scans, "train-pixelminer", options, workers)


@click.command("train-espcn", short_help="Train a model that makes voxels finer.")
@click.option(
    "--factor",
    type=click.Choice([str(factor) for factor in FACTORS]),
    help="Voxels made of one along each axis, instead of the recipe's.",
)
@training_options(ESPCN_RECIPES)
def train_espcn(**options: Any) -> None:
    """Train a 3D-ESPCN on DATA, files and folders of scans of one modality.

    Scans of small and nearly cubic voxels are best: they are made coarse, and the model learns to
    undo it.
    """
    output = options["output"]
    _check_output(output)
    recipe = _tell(ESPCN_RECIPES, options)
    if options["factor"] is not None:
        recipe = replace(recipe, factor=int(options["factor"]))

    from medgen.training.workers import join_workers

    workers = join_workers()

    from medgen.families.espcn.fit import ESPCNTask
    from medgen.training.gather import gather_scans

    scans = gather_scans(
        options["data"],
        options["validation"],
        rule=None,
        image_size=None,
        guard_mm=GUARD_MM,
        seed=options["seed"],
        volume=options["volume"],
        modality=options["modality"],
        intercept=options["intercept"],
    )
    bundle = _fit(ESPCNTask(scans, recipe, options["seed"]), options, workers)
    _finish(bundle, scans, "train-espcn", options, workers)
