"""What commands that read or write a scan have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from medgen.volumes import Volume


def scan_options(command: Callable) -> Callable:
    """`--volume`, `--series` and `--overwrite`."""
    options = [
        click.option(
            "--volume", type=click.IntRange(0), metavar="N",
            help="Which volume of a 4-D file, from 0.",
        ),
        click.option(
            "--series", metavar="UID", help="Which series of a folder of DICOM files."
        ),
        click.option("--overwrite", is_flag=True, help="Replace OUT if it exists."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse before the work what `write_volume` would refuse after it.

    Raises:
        WriteError: the suffix is unknown, the file exists, or there is no such folder.
    """
    from medgen.volumes.files import require_writable

    require_writable(path, overwrite=overwrite)


def grid_text(volume: Volume) -> str:
    """Voxels and spacing of a volume, such as `64 x 64 x 21 voxels of 4 x 4 x 10 mm`."""
    voxels = " x ".join(str(n) for n in volume.shape)
    return f"{voxels} voxels of {' x '.join(f'{mm:.4g}' for mm in volume.spacing)} mm"
