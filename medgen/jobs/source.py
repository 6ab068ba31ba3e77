"""The scan that a job is made of: read once, whoever asks, and watched until the job is written."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TypedDict, Unpack

from medgen.errors import ReadError
from medgen.storage import checksum
from medgen.volumes.files import read_volume
from medgen.volumes.volume import Volume
from medgen.volumes.walk import walk

State = Mapping[Path, tuple[int, int]]  # size and time of change of files


class Reading(TypedDict, total=False):
    """How a scan is read: the other arguments of `read_volume`."""

    volume: int | None
    series: str | None
    gaps: bool
    modality: str | None
    intercept: float | None


class Input(TypedDict):
    """What provenance tells of a scan: where it was and what its bytes were."""

    path: str
    files: int
    sha256: str


class Source:
    """A scan on disk, not read before it is asked for.

    Args:
        path: see `read_volume`.
        reading: see `Reading`.
    """

    def __init__(self, path: Path, **reading: Unpack[Reading]):
        self.path, self._reading = path, reading

    @cached_property
    def volume(self) -> Volume:
        """The scan.

        Raises:
            MedgenError: see `read_volume`.
        """
        self._before = state_of(self.path)
        return read_volume(self.path, **self._reading)

    @property
    def files(self) -> list[Path]:
        """Every file it was read from."""
        return list(self.volume.metadata["files"])

    @cached_property
    def facts(self) -> Input:
        """What provenance tells of it."""
        files = self.files
        return {"path": str(self.path), "files": len(files), "sha256": checksum(files)}

    def require_unchanged(self) -> None:
        """Raise `ReadError` if its files are no longer those that were read."""
        folders = {file.parent for file in self.files}
        # Other scans may lie in a scan's folder, below it.
        before, after = (
            {file: told for file, told in state.items() if file.parent in folders}
            for state in (self._before, state_of(self.path))
        )
        if before != after:
            raise ReadError(
                f"{self.path} changed while it was worked on, so nothing is written; run again "
                "when it is complete."
            )


def state_of(scan: Path) -> State:
    """Size and time of change of a scan's file, or of each in its folder and below."""
    files = walk(scan) if scan.is_dir() else [scan]
    states = {file: file.stat() for file in files if file.is_file()}
    return {file: (state.st_size, state.st_mtime_ns) for file, state in states.items()}
