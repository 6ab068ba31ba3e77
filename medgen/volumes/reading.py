"""What the readers of several formats share."""

from __future__ import annotations

import re
from pathlib import Path

from medgen.errors import ReadError, SeveralVolumesError, quoted


def choose_volume(path: Path, count: int, volume: int | None) -> int:
    """Index among the `count` volumes of a file: the one asked for, or the only one there is.

    Raises:
        SeveralVolumesError: there are several and `volume` is None.
        ReadError: there is no such volume.
    """
    if volume is None and count > 1:
        raise SeveralVolumesError(
            f"{path} holds {count} volumes; choose one with --volume N, N from 0 to {count - 1}."
        )
    if volume is not None and not 0 <= volume < count:
        raise ReadError(
            f"{path} has no volume {volume}; choose one with --volume N, N from 0 to {count - 1}."
        )
    return volume or 0


def first_line(error: BaseException) -> str:
    """First line of an error's message, without its final stop, for quoting in a sentence."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return quoted(lines[0].rstrip("."))


def last_line(error: BaseException) -> str:
    """Last line of an error's message, where ITK states the cause, without its memory address."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return quoted(re.sub(r"^ITK ERROR: \w+\(0x[0-9a-f]+\): ", "", lines[-1]).rstrip("."))
