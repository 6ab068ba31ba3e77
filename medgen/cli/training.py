"""What all training commands share: their options, their recipe, the loop and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medgen.cli.device import device_option, tell_accelerator, tell_device
from medgen.cli.options import intercept_option, modality_option, volume_option
from medgen.cli.output import answer, json_option
from medgen.cli.places import check_folder
from medgen.cli.progress import terminal_bar
from medgen.errors import TrainingError
from medgen.recipes import One, Recipe, named_recipe

if TYPE_CHECKING:
    from medgen.bundles.bundle import Bundle
    from medgen.training.gather import TrainingScans
    from medgen.training.gather_images import TrainingImages
    from medgen.training.session import Fitting, Report
    from medgen.training.session import Progress as Told
    from medgen.training.workers import Workers

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


def chosen_recipe(recipes: Mapping[str, One], options: Mapping[str, Any]) -> One:
    """The named recipe with what was given on the command line in its place.

    Raises:
        RecipeError: see `named_recipe`.
        TrainingError: steps and minutes were given.
    """
    given = {key: options[key] for key in ("steps", "batch_size", "learning_rate")}
    if options["steps"] is not None and options["minutes"] is not None:
        raise TrainingError("Give --steps or --minutes, not both.")
    return replace(
        named_recipe(recipes, options["recipe"]),
        **{key: value for key, value in given.items() if value is not None},
    )


def require_no_model(output: Path) -> None:
    """Refuse before the work a place that a bundle could not be written to.

    Raises:
        TrainingError: there is one already.
        WriteError: see `check_folder`.
    """
    if (output / "recipe.json").exists():
        raise TrainingError(f"{output} already holds a trained model; choose another output.")
    check_folder(output)


def fit_shown(task: Fitting, options: dict[str, Any], workers: Workers | None = None) -> Bundle:
    """Train in the output folder, with a bar on a terminal."""
    from medgen.training.session import fit
    from medgen.training.workers import ALONE

    tell_device()
    tell_accelerator()
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
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    def report(row: dict[str, float]) -> None:
        values = "  ".join(f"{k} {v:.4g}" for k, v in row.items() if k != "step")
        click.echo(f"step {row['step']}  {values}")

    of = f"/{steps}" if steps is not None else ""
    bar = terminal_bar(
        TextColumn("{task.fields[loss]}"), BarColumn(), TextColumn("{task.fields[step]}" + of),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    if bar is None:
        yield report, lambda step, share, logs: None
        return
    with bar:
        task = bar.add_task("", total=1.0, loss="starting", step=0)

        def progress(step: int, share: float, logs: dict[str, float]) -> None:
            bar.update(task, completed=share, loss=f"loss {logs['loss']:.4f}", step=step)

        yield report, progress


def keep(
    bundle: Bundle,
    scans: TrainingScans | TrainingImages,
    command: str,
    options: dict[str, Any],
    workers: Workers | None = None,
) -> None:
    """Write the bundle and its card, which holds `command`, and say so; the chief alone does it."""
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
