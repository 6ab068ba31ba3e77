"""`medgen adapt`: a model for one scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from medgen.cli.device import device_option, tell_device
from medgen.cli.options import (
    reading_options,
    seed_option,
    slice_axis_option,
    slice_thickness_option,
)
from medgen.cli.output import answer, json_option
from medgen.cli.progress import shown_progress
from medgen.cli.training import require_no_model
from medgen.errors import TrainingError, printable


@click.command(short_help="Have a model learn from one scan, to fill in its slices.")
@click.argument("scan", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="BUNDLE",
    help="Folder to write the model to.",
)
@click.option(
    "--model",
    metavar="NAME|BUNDLE",
    help="Where to start: a released PixelMiner, the folder of another, or self for one that "
    "learns from SCAN alone. By default the released one for the scan's modality.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    help="How long to learn; 5 if there are no --steps either.",
)
@click.option("--steps", type=click.IntRange(1), help="Likewise, in gradient steps.")
@slice_thickness_option
@slice_axis_option
@seed_option
@device_option
@click.option("--resume", is_flag=True, help="Continue an interrupted run.")
@reading_options
@json_option
def adapt(**options: Any) -> None:
    """Write a model that has learnt from SCAN to BUNDLE, for `medgen interpolate --model BUNDLE`.

    A part of it stays out of what is learnt. Where the adapted model is not ahead there, BUNDLE is
    the model that was started from, as it is. SCAN shows a released model what lies in its gaps if
    it has 16 slices or more, 1.5 to 4 pixels apart; others are refused.
    """
    if options["minutes"] is not None and options["steps"] is not None:
        raise click.UsageError("Give --minutes or --steps, not both.")
    output = options["output"]
    require_no_model(output)

    from medgen.bundles.released import default_model
    from medgen.interpolation.insert import stack_slices
    from medgen.volumes import read_volume

    reading = ("volume", "series", "modality", "intercept")
    scan = read_volume(options["scan"], **{name: options[name] for name in reading})
    axis = scan.geometry.slice_axis if options["slice_axis"] is None else options["slice_axis"]
    scan.require_one_channel("A model")
    scan.geometry.require_slices(axis)
    name = options["model"] or default_model(scan.modality, scan.guess).name
    stack, _ = stack_slices(scan, axis)
    tell_device()

    from medgen.adaptation.adapting import Learning
    from medgen.adaptation.naming import learn
    from medgen.bundles.bundle import save_bundle
    from medgen.bundles.card import command_line, model_card
    from medgen.training.checkpoint import discard_checkpoints

    with shown_progress() as progress:
        learning = Learning(
            options["steps"],
            options["minutes"],
            options["seed"],
            options["slice_thickness"],
            folder=output,
            resume=options["resume"],
            progress=progress,
        )
        verdict = learn(name, stack, learning)
    discard_checkpoints(output)
    if verdict.bundle is None:
        raise TrainingError(f"{verdict.sentence} No model is written.")
    steps = verdict.facts["steps"]
    call = {"data": [options["scan"]], **options, "minutes": None, "steps": steps, "model": name}
    command = command_line(
        "adapt", {key: value for key, value in call.items() if key not in ("scan", "resume")}
    )
    row = {
        "scan": options["scan"].name,
        "slices": f"0-{len(stack.array) - 1}",
        "spacing_mm": [round(spacing, 4) for spacing in stack.spacing],
        "use": f"adapted to, without {verdict.held_out}",
    }
    card = f"{model_card(verdict.bundle, command, [row])}\n{verdict.sentence}\n"
    save_bundle(verdict.bundle, output, card)
    click.echo(printable(verdict.sentence))
    click.echo(f"Model written to {output}.")
    answer({"output": output, "model": verdict.method, **verdict.facts})
