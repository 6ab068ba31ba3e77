"""Where commands that work on images write to, checked before the work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medgen.cli.places import check_folder
from medgen.errors import WriteError
from medgen.storage import is_free, occupied


def check_outputs(output: Path, table: str, overwrite: bool) -> None:
    """Refuse to replace anything but outputs of an earlier run, and those unless told.

    Args:
        output: folder to write.
        table: name of a file that all such outputs hold.
        overwrite: whether it may be replaced.

    Raises:
        WriteError: something else is there, or the folder could not be made.
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


def names_in(output: Path, paths: Sequence[Path]) -> list[str]:
    """What the outputs of each image begin with.

    Raises:
        WriteError: two of them would be written to the same files, or one lies in `output`.
    """
    names = [path.stem for path in paths]
    for path, name in zip(paths, names, strict=True):
        other = paths[names.index(name)]
        if other != path:
            raise WriteError(
                f"{other} and {path} would have the same outputs; write them to two folders."
            )
        if output.resolve() in path.resolve().parents:
            raise WriteError(f"{output} holds {path}, which is read; choose another output.")
    return names
