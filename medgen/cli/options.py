"""Options that several commands have, each with one name, one meaning and one help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from medgen.errors import MedgenError
from medgen.evaluation.budgets import BUDGETS, Budget
from medgen.intensities.modality import NAMED


class Axis(click.ParamType):
    """0, 1 or 2, or `auto` for None."""

    name = "axis"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """Parse what the user gave."""
        choice = click.Choice(["auto", "0", "1", "2"]).convert(value, param, ctx)
        return None if choice == "auto" else int(choice)


class ReaderBudget(click.ParamType):
    """A key of `BUDGETS`."""

    name = "budget"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> Budget:
        """The budget of that name."""
        return BUDGETS[click.Choice(list(BUDGETS)).convert(value, param, ctx)]


class Method(click.ParamType):
    """A method with its options; what is not right with these is known before the work."""

    name = "method"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is, if it can be read."""
        from medgen.interpolation.options import parsed

        try:
            parsed(value)
        except MedgenError as error:
            self.fail(str(error), param, ctx)
        return value


seed_option = click.option("--seed", default=0, show_default=True, type=click.IntRange(0))

slice_axis_option = click.option(
    "--slice-axis",
    default="auto",
    show_default=True,
    type=Axis(),
    metavar="[auto|0|1|2]",
    help="Axis of the slices; auto takes the coarsest.",
)

scans_argument = click.argument(
    "scans", nargs=-1, required=True, metavar="SCAN...", type=click.Path(path_type=Path)
)

removed_option = click.option(
    "--factor",
    default=2,
    show_default=True,
    type=click.IntRange(2),
    help="Keep 1 in this many slices.",
)

gap_option = click.option(
    "--gap",
    "gap_mm",
    type=click.FloatRange(0, min_open=True),
    metavar="MM",
    help="Thin the truth first, so that acquired slices lie about this far apart.",
)

scoring_jobs_option = click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Processes that score slices. [default: one for each core]",
)

volume_option = click.option(
    "--volume",
    type=click.IntRange(0),
    metavar="N",
    help="Which volume of a 4-D file, from 0.",
)


modality_option = click.option(
    "--modality",
    type=click.Choice(NAMED),
    help="What the scan is, where medgen is not sure or errs.",
)


intercept_option = click.option(
    "--intercept",
    type=float,
    metavar="X",
    help="Add this to the stored values, times their slope if the file has one, instead of the "
    "intercept in the file; -1024 for CT stored as HU + 1024.",
)

um_per_pixel_option = click.option(
    "--um-per-pixel",
    type=click.FloatRange(0, min_open=True),
    metavar="UM",
    help="Side of a pixel in µm, of images that do not tell.",
)


machine_reader_option = click.option(
    "--machine-reader",
    is_flag=False,
    flag_value="default",
    type=ReaderBudget(),
    metavar="[strong]",
    help="Let a small net learn on all scans but one to tell synthetic slices from real ones, and "
    "name the real one in pairs of the other; 0.5 is chance. Takes two scans or more. strong sees "
    "whole slices with their neighbours, and learns for hours, or minutes on a GPU.",
)


slice_thickness_option = click.option(
    "--slice-thickness",
    type=click.FloatRange(0, min_open=True),
    metavar="MM",
    help="Of the scan's slices, for --adapt; by default what its header or the scan itself tells, "
    "or else their distance.",
)


scheduler_option = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="With a folder of scans: do them on a Dask cluster, such as tcp://host:8786, whose "
    "workers see the same paths and have one thread each. Needs medgen[cluster].",
)


folder_jobs_option = click.option(
    "--jobs",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    metavar="N",
    help="With a folder of scans: how many to do at a time.",
)


def finer_options(command: Callable) -> Callable:
    """`--factor` and `--spacing`."""
    options = [
        click.option(
            "--factor",
            type=click.IntRange(2),
            metavar="N",
            help="Times as many slices; 2 if there is no --spacing either.",
        ),
        click.option(
            "--spacing",
            type=click.FloatRange(0, min_open=True),
            metavar="MM",
            help="New distance between slices, instead of --factor.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def adapt_options(command: Callable) -> Callable:
    """`--adapt` and `--adapt-steps`."""
    options = [
        click.option(
            "--adapt",
            "adapt_minutes",
            type=click.FloatRange(0, min_open=True),
            metavar="MINUTES",
            help="Have the model learn from the scan for so long first; it is used if that brings "
            "it 0.1 dB nearer to rows and columns of pixels that are left out.",
        ),
        click.option(
            "--adapt-steps",
            type=click.IntRange(1),
            metavar="N",
            help="Likewise, by steps: what repeats a run of --adapt.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def reading_options(command: Callable) -> Callable:
    """`--volume`, `--series`, `--modality` and `--intercept`."""
    options = [
        volume_option,
        click.option(
            "--series", metavar="UID", help="Which series of a folder of DICOM files."
        ),
        modality_option,
        intercept_option,
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def scan_options(command: Callable) -> Callable:
    """`reading_options` and `--overwrite`."""
    return reading_options(
        click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")(command)
    )
