"""Finished slices of a run, kept beside its output until it is there: a killed run can go on.

`OUT` has its slices in `.OUT.partial/`, one file each, with `identity.json` for what they are
slices of. A file appears there as a whole or not at all.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medgen.errors import ReadError
from medgen.interpolation.contract import Around, Filling, Progress
from medgen.storage import make_folder, move, staging, write_text
from medgen.volumes.volume import Volume

IDENTITY = "identity.json"
IMAGES = "images"  # beside the maps of the uncertainty in a file
ROOM = "; make room or choose another output, then go on with --resume"


@dataclass(frozen=True)
class Partial:
    """Where a run keeps what it has.

    Args:
        folder: made when the first slice is kept.
        identity: text that two runs share if and only if their slices are the same.
    """

    folder: Path
    identity: str

    @classmethod
    def beside(cls, output: Path, identity: str) -> Partial:
        """The place of the run that makes `output`."""
        return cls(output.with_name(f".{output.name}.partial"), identity)

    def is_left(self) -> bool:
        """Whether slices of an earlier run of the same identity are there."""
        try:
            return (self.folder / IDENTITY).read_text(encoding="utf-8") == self.identity
        except (OSError, UnicodeDecodeError):
            return False

    def remove(self) -> None:
        """Remove all slices."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def has(self, number: int) -> bool:
        """Whether slice `number` is kept."""
        return self._file(number).is_file()

    def keep(self, number: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep a slice.

        Raises:
            WriteError: the disk is full, or the folder cannot be written to.
        """
        file = self._file(number)
        if not self.folder.is_dir():
            make_folder(self.folder)
            write_text(self.identity, self.folder / IDENTITY, overwrite=True)
        with staging(file, advice=ROOM) as folder:
            np.savez(folder / file.name, **dict[str, Any](arrays))
            move(folder / file.name, file, overwrite=True)

    def load(self, number: int) -> dict[str, np.ndarray]:
        """A slice that was kept.

        Raises:
            ReadError: its file is damaged.
        """
        file = self._file(number)
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ReadError(
                f"{file} is damaged; remove {self.folder} and start without --resume."
            ) from error

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06}.npz"


@dataclass(frozen=True, eq=False)
class KeepingInterpolator(Around):
    """Keeps every slice that an interpolator makes, and asks it for those alone that are not kept.

    Slices come out the same as if none had been kept, since one depends on nothing but seed and
    position.

    Args:
        interpolator: what makes the slices.
        partial: where they are kept.
    """

    partial: Partial

    def fill(
        self,
        stack: Volume,
        positions: np.ndarray,
        progress: Progress,
        *,
        samples: int = 1,
        uncertainty: bool = False,
    ) -> Iterator[Filling]:
        """Yield what belongs at each of `positions`; see `Interpolator.fill`."""
        total = len(positions)
        missing = [number for number in range(total) if not self.partial.has(number)]
        new, kept = set(missing), total - len(missing)
        made = self.interpolator.fill(
            stack,
            positions[missing],
            lambda done, _: progress(kept + done, total),
            samples=samples,
            uncertainty=uncertainty,
        )
        for number in range(total):
            if number in new:
                filling = next(made)
                self.partial.keep(number, {IMAGES: filling.images, **(filling.uncertainty or {})})
            else:
                arrays = self.partial.load(number)
                filling = Filling(arrays.pop(IMAGES), arrays or None)
            yield filling
        progress(total, total)
