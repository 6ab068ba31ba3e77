"""What a run leaves behind while it lasts: in a folder, to be resumed, or in memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from medgen.errors import TrainingError
from medgen.storage import csv_text, make_folder, move, staging, write_text

CHECKPOINT = "checkpoint.npz"
BEST = "best.npz"
METRICS = "metrics.csv"
RUN = "run.json"

Row = dict[str, float]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Where a run stands.

    Args:
        arrays: everything that training changes, in a fixed order.
        step: steps taken.
        seconds: time taken.
        rows: of its validations so far.
    """

    arrays: Sequence[np.ndarray]
    step: int
    seconds: float
    rows: Sequence[Row] = ()


class Store(Protocol):
    """Where a run keeps checkpoint, best weights and rows."""

    def open(
        self, identity: Mapping[str, object], *, resume: bool, write: bool
    ) -> Checkpoint | None:
        """Where the run stands; None for a new one.

        Args:
            identity: plain values that tell this run from others.
            resume: whether to go on.
            write: whether this process is the one that writes.

        Raises:
            TrainingError: another run is there, or one that is not to be resumed.
        """

    def keep(self, checkpoint: Checkpoint) -> None:
        """Keep where the run stands, instead of what was kept before."""

    def keep_best(self, arrays: Sequence[np.ndarray]) -> None:
        """Keep the weights that validated best so far."""

    def best(self) -> tuple[Sequence[np.ndarray], list[Row]]:
        """The weights that validated best, and all rows."""


@dataclass(eq=False)
class MemoryStore:
    """A store that ends with the process, for short runs."""

    rows: list[Row] = field(default_factory=list)
    weights: Sequence[np.ndarray] = ()

    def open(self, identity: Mapping[str, object], *, resume: bool, write: bool) -> None:
        """A new run, always."""

    def keep(self, checkpoint: Checkpoint) -> None:
        """See `Store.keep`."""
        self.rows = list(checkpoint.rows)

    def keep_best(self, arrays: Sequence[np.ndarray]) -> None:
        """See `Store.keep_best`."""
        self.weights = arrays

    def best(self) -> tuple[Sequence[np.ndarray], list[Row]]:
        """See `Store.best`."""
        return self.weights, self.rows


@dataclass(frozen=True)
class FolderStore:
    """A store in a folder, made if missing, of a run that can be resumed.

    Args:
        folder: of one run.
    """

    folder: Path

    def open(
        self, identity: Mapping[str, object], *, resume: bool, write: bool
    ) -> Checkpoint | None:
        """See `Store.open`."""
        if not (self.folder / CHECKPOINT).exists():
            if write:
                make_folder(self.folder)
                write_text(json.dumps(identity, indent=1), self.folder / RUN, overwrite=True)
            return None
        if not resume:
            raise TrainingError(
                f"{self.folder} holds an unfinished run; continue it with --resume, or choose "
                "another output."
            )
        if json.loads((self.folder / RUN).read_text()) != json.loads(json.dumps(identity)):
            raise TrainingError(
                f"The run in {self.folder} was started with another recipe, seed, number of "
                "workers or other data; repeat its options to resume it, or choose another output."
            )
        arrays, step, seconds = _read_npz(self.folder / CHECKPOINT)
        rows = [row for row in self._rows() if row["step"] <= step]
        return Checkpoint(arrays, step, seconds, rows)

    def keep(self, checkpoint: Checkpoint) -> None:
        """See `Store.keep`; the row of a validation is there before its checkpoint."""
        names = list(checkpoint.rows[-1])
        rows = [[row[name] for name in names] for row in checkpoint.rows]
        write_text(csv_text([names, *rows]), self.folder / METRICS, overwrite=True)
        _write_npz(self.folder / CHECKPOINT, checkpoint.arrays, checkpoint.step, checkpoint.seconds)

    def keep_best(self, arrays: Sequence[np.ndarray]) -> None:
        """See `Store.keep_best`."""
        _write_npz(self.folder / BEST, arrays)

    def best(self) -> tuple[Sequence[np.ndarray], list[Row]]:
        """See `Store.best`."""
        return _read_npz(self.folder / BEST)[0], self._rows()

    def _rows(self) -> list[Row]:
        with open(self.folder / METRICS, newline="") as file:
            rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
        return [row | {"step": int(row["step"])} for row in rows]


def discard_checkpoints(folder: Path) -> None:
    """Remove what only an unfinished run needs."""
    for name in (CHECKPOINT, BEST, RUN):
        (folder / name).unlink(missing_ok=True)


def _write_npz(
    path: Path, arrays: Sequence[np.ndarray], step: int = 0, seconds: float = 0.0
) -> None:
    with staging(path) as folder:
        np.savez(folder / path.name, *arrays, step=step, seconds=seconds)
        move(folder / path.name, path, overwrite=True)


def _read_npz(path: Path) -> tuple[list[np.ndarray], int, float]:
    with np.load(path, allow_pickle=False) as stored:
        count = len(stored.files) - 2  # all but step and seconds
        arrays = [stored[f"arr_{i}"] for i in range(count)]
        return arrays, int(stored["step"]), float(stored["seconds"])
