"""What commands that read a scan or a model, or write one, have in common."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medgen.errors import WriteError
from medgen.intensities.modality import NAMED

if TYPE_CHECKING:
    from medgen.bundles.bundle import Bundle

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


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse before the work what `write_volume` would refuse after it.

    Raises:
        WriteError: the suffix is unknown, the file exists, or there is no such folder.
    """
    from medgen.volumes.files import require_writable

    require_writable(path, overwrite=overwrite)


def check_folder(path: Path) -> None:
    """Refuse before the work a folder that could not be made, or not be written to, after it.

    Raises:
        WriteError: what stands at `path`, or at the nearest parent there is, cannot be written in.
    """
    existing = next(p for p in (path, *path.absolute().parents) if os.path.exists(p))
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise WriteError(f"{path} cannot be a folder to write to; choose another output.")


def trained_model(name: str) -> tuple[Path, Bundle]:
    """Folder and bundle of the trained model that a user means by `name`.

    Every command takes the name of one that comes with medgen, or a folder.

    Raises:
        BundleError: there is none, or it is damaged.
    """
    from medgen.bundles.released import folder_named

    folder = folder_named(name)

    from medgen.bundles.bundle import load_bundle

    return folder, load_bundle(folder)
