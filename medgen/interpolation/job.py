"""One scan on disk to a finer scan on disk, with everything a user can choose about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from medgen.errors import GeometryError, WriteError
from medgen.interpolation import interpolator_named, model_folder
from medgen.interpolation.engine import Interpolator, Progress, insert_slices
from medgen.interpolation.plan import SlicePlan, plan_slices
from medgen.interpolation.provenance import (
    identity,
    provenance,
    require_provenance_writable,
    write_provenance,
    writes_series,
)
from medgen.volumes import Geometry, Volume, read_volume, write_volume
from medgen.volumes.dicom import find_series
from medgen.volumes.dicom_series import (
    STACKING_AXIS,
    Derivation,
    require_series_writable,
    write_series,
)
from medgen.volumes.files import require_writable, suffix_of

MASK_SUFFIXES = (".nii", ".nii.gz")


@dataclass(frozen=True)
class Job:
    """What `medgen interpolate` was asked to do with one scan.

    Args:
        scan: see `read_volume`.
        output: see `write_volume`; without a suffix, a folder for a DICOM series, see
            `write_series`.
        model: see `interpolator_named`, as for `seed` to `decode`.
        factor: see `interpolate_volume`, as for `spacing_mm` and `slice_axis`; with neither factor
            nor spacing the slices are doubled, and a DICOM series is made finer along its own
            stacking unless an axis is given.
        volume: of a 4-D file, see `read_volume`.
        series: of a folder of DICOM files, likewise.
        mask: NIfTI file for 1 in voxels of synthetic slices and 0 in others; None for none.
        overwrite: replace `output` and `mask` if they exist.
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
    mask: Path | None = None
    overwrite: bool = False

    def require_writable(self) -> None:
        """Refuse before the work what could not be written after it.

        Raises:
            WriteError: an output exists, has an unknown suffix, or there is no such folder.
        """
        if writes_series(self.output):
            require_series_writable(self.output, overwrite=self.overwrite)
        else:
            require_writable(self.output, overwrite=self.overwrite)
        require_provenance_writable(self.output)
        if self.mask is not None:
            require_writable(self.mask, overwrite=self.overwrite)
            if suffix_of(self.mask) not in MASK_SUFFIXES:
                raise WriteError(
                    f"Cannot write the mask {self.mask}: its name must end in "
                    f"{', '.join(MASK_SUFFIXES)}."
                )
            if self.mask.absolute() == self.output.absolute():
                raise WriteError(f"{self.mask} cannot hold both scan and mask; name another file.")

    @property
    def options(self) -> dict[str, object]:
        """Everything chosen but paths, by name."""
        paths = {"scan", "output", "model", "mask", "overwrite"}
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in paths}

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
    """Read the scan, insert slices, write mask, provenance and finer scan, in this order.

    Args:
        job: what to do.
        interpolator: what `job.load_interpolator()` gave before, so that a model is loaded once for
            many scans; loaded here if None.
        progress: see `interpolate_volume`.
        note: called with each sentence on what is odd about the scan, before the work.

    Raises:
        MedgenError: the model, the scan or the output is not as it has to be; nothing is written.
    """
    job.require_writable()
    interpolator = interpolator or job.load_interpolator()
    before = read_volume(job.scan, volume=job.volume, series=job.series)
    notes = tuple(before.metadata.get("notes", ()))
    for sentence in notes if note else ():
        note(sentence)
    as_series = writes_series(job.output)
    doubled = job.factor is None and job.spacing_mm is None
    plan = plan_slices(
        before.geometry,
        factor=2 if doubled else job.factor,
        spacing_mm=job.spacing_mm,
        slice_axis=STACKING_AXIS if as_series and job.slice_axis is None else job.slice_axis,
    )
    if as_series:
        _require_stack(job, before, plan)
    facts = provenance(
        scan=job.scan,
        files=before.metadata["files"],
        output=job.output,
        model=interpolator.name,
        model_folder=model_folder(job.model),
        options=job.options,
        plan=plan,
    )
    after = insert_slices(before, interpolator, plan, progress=progress)
    if job.mask is not None:
        write_volume(plan.mask(), job.mask, overwrite=job.overwrite)
    write_provenance(facts, job.output)
    if as_series:
        _write_series(job, after, plan, facts)
    else:
        write_volume(after, job.output, overwrite=job.overwrite)
    return Outcome(job.output, interpolator.name, before.geometry, after.geometry, notes)


def _require_stack(job: Job, before: Volume, plan: SlicePlan) -> None:
    """Refuse what cannot become a DICOM series."""
    if before.metadata["format"] != "DICOM":
        raise WriteError(
            f"{job.scan} is not DICOM, so no series can be made of it; choose an output that ends "
            "in .nii.gz."
        )
    if plan.axis != STACKING_AXIS:
        raise GeometryError(
            f"A DICOM series takes new slices between its own (axis {STACKING_AXIS}) only, not "
            f"along axis {plan.axis}; leave out --slice-axis, or choose an output that "
            "ends in .nii.gz."
        )


def _write_series(job: Job, after: Volume, plan: SlicePlan, facts: dict[str, object]) -> None:
    named = [f"{name} {value}" for name, value in job.options.items() if value is not None]
    derivation = Derivation(
        model=facts["model"]["name"],
        version=facts["medgen"],
        options=", ".join(named),
        identity=identity(facts),
    )
    write_series(
        after,
        find_series(job.scan, job.series),
        plan.positions,
        plan.synthetic,
        job.output,
        derivation,
        overwrite=job.overwrite,
    )
