"""Commands that make files and a table of images: their options, what they check and write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from medgen.cli.device import device_option
from medgen.cli.options import um_per_pixel_option
from medgen.cli.output import json_option
from medgen.cli.places import check_folder
from medgen.cli.progress import shown_progress
from medgen.errors import WriteError
from medgen.storage import csv_text, is_free, make_folder, move, occupied, staging, write_text

Row = dict[str, object]


def image_options(command: Callable) -> Callable:
    """IMAGES, `--output`, and what all such commands have."""
    options: list[Callable[[Callable], Callable]] = [
        click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path)),
        click.option(
            "-o",
            "--output",
            required=True,
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Folder to write to.",
        ),
        um_per_pixel_option,
        device_option,
        click.option("--overwrite", is_flag=True, help="Replace DIR if it exists."),
        json_option,
    ]
    for option in reversed(options):
        command = option(command)
    return command


def images_to_read(images: Sequence[Path], output: Path, table: str, overwrite: bool) -> list[Path]:
    """Image files among `images` and in its folders, once nothing speaks against the output.

    Nothing is replaced but outputs of an earlier run, and those only if told.

    Args:
        images: files and folders.
        output: folder to write.
        table: name of the table that all such outputs hold.
        overwrite: whether it may be replaced.

    Raises:
        ReadError: there is no image.
        WriteError: something else is there, the folder could not be made, two images would be
            written to the same files, or one lies in `output`.
    """
    if not is_free(output):
        if not overwrite:
            raise occupied(output)
        if not (output / table).is_file():
            raise WriteError(
                f"{output} holds no {table}, so --overwrite does not replace it; choose another "
                "output."
            )
    check_folder(output)

    from medgen.images.image import find_images

    first: dict[str, Path] = {}
    for path in (paths := find_images(images)):
        if (other := first.setdefault(path.stem, path)) != path:
            raise WriteError(
                f"{other} and {path} would have the same outputs; write them to two folders."
            )
        if output.resolve() in path.resolve().parents:
            raise WriteError(f"{output} holds {path}, which is read; choose another output.")
    return paths


def write_outputs(
    paths: Sequence[Path],
    make: Callable[[Path, Path], list[Row]],
    output: Path,
    table: str,
    overwrite: bool,
) -> list[Row]:
    """Make the files of every image and the table, all of it or nothing.

    Args:
        paths: images.
        make: writes what becomes of an image into a folder, under names that begin with the stem of
            the image's, and returns rows of the table, all of the same columns.
        output: folder to write.
        table: name of the table.
        overwrite: whether the output may be replaced.

    Returns:
        The rows of all images.
    """
    rows: list[Row] = []
    make_folder(output.parent)
    with shown_progress() as progress, staging(output) as place:
        folder = place / "images"
        folder.mkdir()
        for done, path in enumerate(paths, 1):
            rows += make(path, folder)
            progress("images", done, len(paths))
        lines: list[list[object]] = [list(rows[0]), *(list(row.values()) for row in rows)]
        write_text(csv_text(lines, digits=6), folder / table)
        move(folder, output, overwrite=overwrite)
    return rows
