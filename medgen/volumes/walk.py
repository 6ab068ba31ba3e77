"""What lies below a folder, links followed, nothing left out without a word."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

Identity = tuple[int, int]  # of a folder, whatever its name


def walk(folder: Path, leave_out: Iterable[Path] = ()) -> Iterator[Path]:
    """Every file below a folder, sorted by name in each.

    Hidden files and folders are left out. Links are followed, to folders too, but for those that
    lead back to a folder the path goes through. Whatever cannot be looked into comes as well, for
    its reader to say why: a link to nothing, and a folder that is empty or may not be read.

    Args:
        folder: to begin with.
        leave_out: folders not to go into, by whatever name.
    """
    left_out = (_identity(path) for path in leave_out if path.is_dir())
    yield from _walk(folder, frozenset(left_out))


def _walk(folder: Path, above: frozenset[Identity]) -> Iterator[Path]:
    try:
        here = _identity(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield folder
        return
    if here in above:
        return
    if not entries:
        yield folder
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if os.path.isdir(path):
            yield from _walk(path, above | {here})
        else:
            yield path


def _identity(folder: Path) -> Identity:
    state = os.stat(folder)
    return state.st_dev, state.st_ino
