"""One scan on disk to a finer scan on disk, with everything a user can choose about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from medgen.interpolation import interpolator_named
from medgen.interpolation.engine import Interpolator, Progress, interpolate_volume
from medgen.volumes import Geometry, read_volume, write_volume


@dataclass(frozen=True)
class Job:
    """What `medgen interpolate` was asked to do with one scan.

    Args:
        scan: see `read_volume`.
        output: see `write_volume`.
        model: see `interpolator_named`, as for `seed` to `decode`.
        factor: see `interpolate_volume`, as for `spacing_mm` and `slice_axis`; with neither factor
            nor spacing the slices are doubled.
        volume: of a 4-D file, see `read_volume`.
        series: of a folder of DICOM files, likewise.
        overwrite: replace `output` if it exists.
    """

    scan: Path
    output: Path
    model: str
    factor: int | None = None
    spacing_mm: float | None = None
    slice_axis: int | None = None
    seed: int = 0
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    decode: str | None = None
    volume: int | None = None
    series: str | None = None
    overwrite: bool = False

    def load_interpolator(self) -> Interpolator:
        """The interpolator of this job, and of any other that differs in scan and output alone."""
        return interpolator_named(
            self.model,
            seed=self.seed,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            decode=self.decode,
        )


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Args:
        output: where the finer scan is.
        interpolator: name of what filled in its slices.
        before: grid of the scan.
        after: grid of the finer scan.
        notes: sentences on what was odd about the scan.
    """

    output: Path
    interpolator: str
    before: Geometry
    after: Geometry
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """One line for the user."""
        return (
            f"{self.output}: {self.after.summary} by {self.interpolator}, "
            f"from {self.before.summary}"
        )


def run_job(
    job: Job,
    interpolator: Interpolator | None = None,
    *,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Outcome:
    """Read the scan, insert slices, write the finer scan.

    Args:
        job: what to do.
        interpolator: what `job.load_interpolator()` gave before, so that a model is loaded once for
            many scans; loaded here if None.
        progress: see `interpolate_volume`.
        note: called with each sentence on what is odd about the scan, before the work.

    Raises:
        MedgenError: the model, the scan or the output is not as it has to be; nothing is written.
    """
    interpolator = interpolator or job.load_interpolator()
    before = read_volume(job.scan, volume=job.volume, series=job.series)
    notes = tuple(before.metadata.get("notes", ()))
    for sentence in notes if note else ():
        note(sentence)
    doubled = job.factor is None and job.spacing_mm is None
    after = interpolate_volume(
        before,
        interpolator,
        factor=2 if doubled else job.factor,
        spacing_mm=job.spacing_mm,
        slice_axis=job.slice_axis,
        progress=progress,
    )
    write_volume(after, job.output, overwrite=job.overwrite)
    return Outcome(job.output, interpolator.name, before.geometry, after.geometry, notes)
