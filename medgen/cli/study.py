"""`medgen study`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medgen.cli.device import device_option, tell_device
from medgen.cli.options import (
    Method,
    gap_option,
    intercept_option,
    machine_reader_option,
    modality_option,
    removed_option,
    scans_argument,
    seed_option,
    slice_axis_option,
    volume_option,
)
from medgen.cli.output import answer, json_option
from medgen.cli.progress import shown_progress
from medgen.errors import ReadError, printable

if TYPE_CHECKING:
    from medgen.evaluation.budgets import Budget
    from medgen.evaluation.experiment import Progress
    from medgen.study.pictures import Source
    from medgen.study.prepare import Trial
    from medgen.study.study import Study

# Of the study published with PixelMiner.
READERS, COMPARISONS = 16, 140
LONGEST_CONSENT = 20_000  # bytes


@click.command(short_help="Prepare a reader study of interpolated slices.")
@scans_argument
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="STUDY",
    type=click.Path(path_type=Path),
    help="Folder to make.",
)
@click.option(
    "--method",
    "method_names",
    multiple=True,
    required=True,
    type=Method(),
    metavar="METHOD",
    help="As in medgen evaluate (repeatable). The study is about the first one.",
)
@click.option(
    "--design",
    default="closer",
    show_default=True,
    type=click.Choice(["closer", "real"]),
    help="closer: the first method against each other one, which is closer to the true slice "
    "between them? real: the true slice against each method, which is real?",
)
@click.option(
    "--readers", default=READERS, show_default=True, type=click.IntRange(1), help="How many."
)
@click.option(
    "--questions",
    type=click.IntRange(1),
    metavar="N",
    help=f"For each reader. [default: what gives {COMPARISONS} comparisons in all]",
)
@click.option(
    "--repeats",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="Of a reader's questions, how many are asked once more, to tell whether they agree with "
    "themselves.",
)
@click.option(
    "--cases",
    type=click.IntRange(1),
    metavar="N",
    help="Different pairs of pictures in all. [default: so many that 4 readers see each]",
)
@click.option("--practice/--no-practice", default=True, help="Three questions first that tell.")
@click.option(
    "--consent",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Text that readers agree to first.",
)
@removed_option
@gap_option
@machine_reader_option
@slice_axis_option
@seed_option
@volume_option
@modality_option
@intercept_option
@click.option("--overwrite", is_flag=True, help="Replace a study that has no answers.")
@device_option
@json_option
def study(
    scans, output, method_names, design, readers, questions, repeats, cases, practice, consent,
    factor, gap_mm, machine_reader, slice_axis, seed, volume, modality, intercept, overwrite,
) -> None:  # fmt: skip
    """Remove slices from each SCAN, re-create them, and draw what every reader is asked.

    STUDY gets the pictures, the key to them and a code for each reader; `medgen read STUDY` asks.
    """
    from medgen.evaluation.scans import Settings
    from medgen.interpolation import model_folder
    from medgen.interpolation.options import parsed
    from medgen.interpolation.recreate import recreators
    from medgen.study.prepare import Trial, prepare_study, require_free

    require_free(output, overwrite=overwrite)
    if machine_reader is not None:
        from medgen.machine_reader import require_scans

        require_scans(len(scans))
    trial = Trial(
        design=design,
        readers=readers,
        questions=questions or -(-COMPARISONS // readers),
        repeats=repeats,
        practice=practice,
        cases=cases,
        consent="" if consent is None else consent_in(consent),
        seed=seed,
    )
    settings = Settings(
        factor=factor,
        gap_mm=gap_mm,
        slice_axis=slice_axis,
        volume=volume,
        modality=modality,
        intercept=intercept,
        seed=seed,
    )
    methods = recreators(method_names, seed)
    if any(model_folder(parsed(name)[0]) for name in method_names):
        tell_device()
    told: dict[str, Any] = {}
    with shown_progress() as progress:
        made = prepare_study(
            scans,
            methods,
            settings,
            trial,
            output,
            overwrite=overwrite,
            progress=progress,
            look=lambda sources: told.update(_told(sources, machine_reader, seed, progress)),
        )
    _say(output, trial, made, told)


def _say(output: Path, trial: Trial, made: Study, told: Mapping[str, Any]) -> None:
    """What was made, and what a machine reader thinks of it."""
    from medgen.study.study import CODES, PRACTICE

    for text in made.warnings:
        click.echo(printable(f"Warning: {text}"), err=True)
    asked = {q.pair for questions in made.readers for q in questions if q.kind != PRACTICE}
    click.echo(
        f"{output}: {trial.readers} readers, {trial.questions + trial.repeats} questions each, "
        f"{len(asked)} different pairs; codes in {output / CODES}."
    )
    for method, row in told.items():
        click.echo(
            f"A machine reader names the real slice in {row['told']:.0%} of {row['pairs']} pairs "
            f"with {method} (95 % interval {row['low']:.0%} to {row['high']:.0%}; chance 50%)."
        )
    answer(
        {
            "output": output,
            "machine_reader": told or None,
            "readers": trial.readers,
            "questions": trial.questions + trial.repeats,
            "pairs": len(asked),
            "codes": output / CODES,
        }
    )


def _told(
    sources: Sequence[Source], budget: Budget | None, seed: int, progress: Progress
) -> dict[str, Any]:
    """What a machine reader makes of a study's slices, by method; nothing without a budget."""
    if budget is None:
        return {}
    from medgen.evaluation.reading import tell
    from medgen.evaluation.summary import FEWEST_SCANS
    from medgen.machine_reader import read

    shown = [source.shown(budget) for source in sources]
    readings = read(
        shown,
        budget,
        seed=seed,
        progress=progress,
    )
    methods: dict[str, Any] = tell(readings, budget, FEWEST_SCANS)["methods"]
    return methods


def consent_in(path: Path) -> str:
    """The text of a file.

    Raises:
        ReadError: it cannot be read, is no text or too long.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(LONGEST_CONSENT + 1)
        if len(content) <= LONGEST_CONSENT:
            return content.decode("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ReadError(f"{path} is no text in UTF-8 ({reason}); give another.") from error
    raise ReadError(f"{path} has over {LONGEST_CONSENT} bytes; give a shorter text.")
