"""One scan on disk to a finer scan on disk, with everything a user can choose about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path

import medgen
from medgen.bundles.released import default_model
from medgen.errors import BundleError, GeometryError, IntensityError, ReadError, WriteError
from medgen.intensities.modality import UNKNOWN
from medgen.interpolation import interpolator_named, model_folder
from medgen.interpolation.bids import Sidecar
from medgen.interpolation.engine import AUTO, Interpolator, Progress, insert_slices
from medgen.interpolation.gaps import AcrossGaps, plan_gaps
from medgen.interpolation.labels import ShapeBased
from medgen.interpolation.needs import bytes_needed, writing_bytes
from medgen.interpolation.partial import KeepingInterpolator, Partial
from medgen.interpolation.plan import SlicePlan, plan_slices
from medgen.interpolation.provenance import (
    identity,
    model_checksum,
    provenance,
    provenance_path,
    put_in_place,
    read_provenance,
    remove_provenance,
    require_provenance_writable,
    writes_series,
)
from medgen.interpolation.samples import UNCERTAINTY, Samples, insert_samples
from medgen.interpolation.segmentation import Segmentation
from medgen.memory import require_memory
from medgen.storage import checksum, claim, is_free, move, writing
from medgen.volumes import Geometry, Volume, read_volume
from medgen.volumes.dicom.derived import STACKING_AXIS, Derivation, require_derivable
from medgen.volumes.dicom.find import Series, find_series
from medgen.volumes.dicom.frames import pydicom_errors
from medgen.volumes.dicom.write import require_series_writable, write_series
from medgen.volumes.files import encode_volume, require_writable, suffix_of
from medgen.volumes.nifti_fields import in_finer_scan
from medgen.volumes.walk import walk

BEYOND_FLOATS = (
    "Some values lie beyond 2^53, where floating point has no room for every integer: synthetic "
    "slices are right to 53 binary digits, acquired ones stay as they are."
)
NIFTI = (".nii", ".nii.gz")
State = dict[Path, tuple[int, int]]  # size and time of change of files


@dataclass(frozen=True)
class Job:
    """What `medgen interpolate` was asked to do with one scan.

    Args:
        scan: see `read_volume`.
        output: see `write_volume`; without a suffix, a folder for a DICOM series, see
            `write_series`.
        model: see `interpolator_named`, as for `seed` to `sampler`; None until `with_model` has
            chosen one.
        factor: see `interpolate_volume`, as for `spacing_mm` and `slice_axis`; with neither factor
            nor spacing the slices are doubled, and a DICOM series is made finer along its own
            stacking unless an axis is given.
        fill_gaps: instead of all that, only put in slices that a DICOM series lacks.
        volume: of a 4-D file, see `read_volume`.
        series: of a folder of DICOM files, likewise.
        modality: what the user says the scan is, likewise.
        intercept: instead of the file's, likewise.
        samples: fillings to draw; with several, the k-th goes to `output` with `_k` before its
            suffix, and is what the job gives alone with a seed k - 1 higher.
        uncertainty: NIfTI file, or its name without suffix, before whose suffix come `_std`,
            `_entropy`, `_low` and `_high`, for maps of the first sample's uncertainty (see
            `samples.Samples`); None for none.
        mask: NIfTI file for 1 in voxels of synthetic slices and 0 in others; None for none.
        labels: label map on the scan's grid, to be made finer with it, by shape; None for none.
        labels_out: where that goes.
        sidecar: what JSON files say of the scan, to go on into the provenance; None for nothing.
        resume: go on from the slices that a killed run of the same job left.
        overwrite: replace what is to be written if it exists.
    """

    scan: Path
    output: Path
    model: str | None = None
    factor: int | None = None
    spacing_mm: float | None = None
    slice_axis: int | None = None
    fill_gaps: bool = False
    seed: int = 0
    temperature: float | str | None = None
    top_k: int | None = None
    top_p: float | None = None
    decode: str | None = None
    sampler: str | None = None
    volume: int | None = None
    series: str | None = None
    modality: str | None = None
    intercept: float | None = None
    samples: int = 1
    uncertainty: Path | None = None
    mask: Path | None = None
    labels: Path | None = None
    labels_out: Path | None = None
    sidecar: Sidecar | None = None
    resume: bool = False
    overwrite: bool = False

    def require_writable(self) -> None:
        """Refuse before the work what could not be written after it.

        Raises:
            WriteError: an output exists, has an unknown suffix, or there is no such folder.
        """
        if (self.labels is None) != (self.labels_out is None):
            raise WriteError(
                "--labels and --labels-out name a label map and where its finer one goes; give "
                "both or neither."
            )
        for path in self.told_of:
            if path in self.outputs and writes_series(self.output):
                require_series_writable(path, overwrite=self.overwrite)
            else:
                require_writable(path, overwrite=self.overwrite)
            require_provenance_writable(path)
        for path in self.beside:
            require_writable(path, overwrite=self.overwrite)
            if suffix_of(path) not in NIFTI:
                raise WriteError(f"Cannot write {path}: its name must end in {', '.join(NIFTI)}.")
        places = (*self.written, *map(provenance_path, self.told_of))
        paths = [path.parent.resolve() / path.name for path in places]
        for path in paths:
            if paths.count(path) > 1:
                raise WriteError(f"{path} cannot hold two things; name another file for one.")

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Where the finer scans go, one for each sample."""
        if self.samples == 1:
            return (self.output,)
        return tuple(_with_ending(self.output, str(k + 1)) for k in range(self.samples))

    @property
    def maps(self) -> dict[str, Path]:
        """Where maps of the uncertainty go, by name."""
        if self.uncertainty is None:
            return {}
        whole = bool(suffix_of(self.uncertainty))
        path = self.uncertainty if whole else Path(f"{self.uncertainty}.nii.gz")
        return {name: _with_ending(path, name) for name in UNCERTAINTY}

    @property
    def beside(self) -> tuple[Path, ...]:
        """Where maps and mask go."""
        return (*self.maps.values(), *([] if self.mask is None else [self.mask]))

    @property
    def segmentation(self) -> Segmentation | None:
        """The label map that is to be made finer, too."""
        return None if self.labels is None else Segmentation(self.labels, self.labels_out)

    @property
    def told_of(self) -> tuple[Path, ...]:
        """Where finer scans and label map go, each with a provenance beside it."""
        return (*([] if self.labels_out is None else [self.labels_out]), *self.outputs)

    @property
    def written(self) -> tuple[Path, ...]:
        """Every place but those of the provenances."""
        return (*self.told_of, *self.beside)

    @property
    def options(self) -> dict[str, object]:
        """Everything chosen that a finer scan depends on but scan and model, by name."""
        others = {
            "scan", "output", "model", "samples", "uncertainty", "mask", "labels", "labels_out",
            "sidecar", "resume", "overwrite",
        }  # fmt: skip
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in others}

    def with_model(self) -> Job:
        """The same job with the default method for the scan's modality, if it names none.

        Raises:
            MedgenError: the scan cannot be read, or no model is for its modality.
        """
        if self.model is not None:
            return self
        scan = self.read()
        by_shape = scan.kind.is_categorical
        default = ShapeBased if by_shape else default_model(scan.modality, scan.guess)
        return replace(self, model=default.name)

    def read(self) -> Volume:
        """The scan.

        Raises:
            MedgenError: see `read_volume`.
        """
        return read_volume(
            self.scan,
            volume=self.volume,
            series=self.series,
            gaps=self.fill_gaps,
            modality=self.modality,
            intercept=self.intercept,
        )

    def load_interpolator(self) -> Interpolator:
        """The interpolator of this job, and of any other that differs in scan and output alone."""
        return interpolator_named(
            self.model,
            seed=self.seed,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            decode=self.decode,
            sampler=self.sampler,
        )


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Args:
        outputs: where the finer scans are.
        interpolator: name of what filled in its slices.
        before: grid of the scan.
        after: grid of the finer scan.
        labels: where the finer label map is, if there was one to make.
        notes: sentences on what was odd about the scan, and what of it is not in the finer one.
    """

    outputs: tuple[Path, ...]
    interpolator: str
    before: Geometry
    after: Geometry
    labels: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """One line for the user."""
        outputs = ", ".join(map(str, self.outputs))
        line = f"{outputs}: {self.after.summary} by {self.interpolator}, from {self.before.summary}"
        return line if self.labels is None else f"{line}; labels by shape in {self.labels}"


def run_job(
    job: Job,
    interpolator: Interpolator | None = None,
    *,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Outcome:
    """Read the scan, insert slices, write maps, finer scans and their provenance.

    Whoever makes the same output meanwhile is waited for. All of it is written before the first
    appears under its name.

    Args:
        job: what to do, and by which model.
        interpolator: what `job.load_interpolator()` gave before, so that a model is loaded once for
            many scans; loaded here if None.
        progress: see `interpolate_volume`.
        note: called with each sentence on what is odd about the scan, and on what of its header the
            finer one does not take over, before the work.

    Raises:
        MedgenError: the model, the scan or the output is not as it has to be; nothing is written.
    """
    job.require_writable()
    with ExitStack() as stack:
        # In one order, so that two runs do not wait for each other.
        claims = {
            path: stack.enter_context(claim(path, tell=note or (lambda sentence: None)))
            for path in sorted(job.written)
        }
        job.require_writable()  # as what another run made may be there by now
        for output in job.told_of:
            if is_free(output):  # a killed run may have left the provenance alone
                remove_provenance(output)
        return _run(job, claims, interpolator, progress, note)


def _run(
    job: Job,
    claims: Mapping[Path, Path],
    interpolator: Interpolator | None,
    progress: Progress | None,
    note: Callable[[str], None] | None,
) -> Outcome:
    if job.fill_gaps and (job.factor, job.spacing_mm, job.slice_axis) != (None, None, None):
        raise GeometryError(
            "Filling gaps keeps the spacing that the series has; leave out --factor, --spacing and "
            "--slice-axis, or do one after the other."
        )
    interpolator = interpolator or job.load_interpolator()
    temperature = AUTO if getattr(interpolator, "temperature", None) == AUTO else job.temperature
    several = job.samples > 1 or job.uncertainty is not None
    if several and not hasattr(interpolator, "fill_several"):
        raise BundleError(
            f"{interpolator.name} draws nothing at random, so it has neither samples nor an "
            "uncertainty; leave them out or name a trained model."
        )
    states = {path: state_of(path) for path in (job.scan, job.labels) if path is not None}
    before = job.read()
    if before.kind is UNKNOWN and model_folder(job.model) is not None:
        raise IntensityError(before.guess.question)
    as_series = writes_series(job.output)
    if job.fill_gaps:
        before, places, plan = plan_gaps(before, STACKING_AXIS)
        interpolator = AcrossGaps(interpolator, places)
    else:
        plan = _finer(job, before.geometry)
    _, left_out = in_finer_scan(before.metadata, plan.axis)
    notes = [*before.notes, *left_out]
    if not (before.is_exact or before.kind.is_categorical):
        notes.append(BEYOND_FLOATS)
    volumes, told, sources = {}, {}, {job.scan: before.metadata["files"]}
    if job.segmentation is not None:
        if job.fill_gaps:
            raise GeometryError(
                "Filling gaps puts no slices into a label map; leave out --labels and --labels-out."
            )
        labels, told[job.labels_out] = job.segmentation.refined(
            job.scan, before.geometry, plan, job.options
        )
        volumes[job.labels_out], sources[job.labels] = labels, labels.metadata["files"]
        notes += [f"{job.labels}: {sentence}" for sentence in labels.metadata.get("notes", ())]
    for sentence in notes if note else ():
        note(sentence)
    source = _source_series(job, before, plan) if as_series else None
    needed = bytes_needed(
        before,
        plan,
        interpolator,
        samples=job.samples,
        uncertainty=job.uncertainty is not None,
        writing_bytes=writing_bytes(job.output),
    )
    require_memory(needed, f"Making {plan.geometry.summary} of {job.scan}")
    facts = [
        provenance(
            scan=job.scan,
            files=before.metadata["files"],
            output=output,
            model=interpolator.name,
            model_folder=model_folder(job.model),
            options=job.options | {"seed": job.seed + k, "temperature": temperature},
            plan=plan,
        )
        for k, output in enumerate(job.outputs)
    ]
    fields = {} if job.sidecar is None else job.sidecar.fields(before.geometry, plan)
    partial = None
    if model_folder(job.model) is not None:  # classical methods are done before a slice is kept
        drawn_as = {"samples": job.samples, "uncertainty": job.uncertainty is not None}
        partial = Partial.beside(job.output, identity(facts[0] | drawn_as))
        if not (job.resume and partial.is_left()):
            partial.remove()
        interpolator = KeepingInterpolator(interpolator, partial)
    if several:
        drawn = insert_samples(
            before,
            interpolator,
            plan,
            samples=job.samples,
            uncertainty=job.uncertainty is not None,
            progress=progress,
        )
    else:
        drawn = Samples((insert_slices(before, interpolator, plan, progress=progress),))
    for path, files in sources.items():
        if state_beside(state_of(path), files) != state_beside(states[path], files):
            raise ReadError(
                f"{path} changed while it was worked on, so nothing is written; run again when it "
                "is complete."
            )
    volumes |= {path: drawn.uncertainty[name] for name, path in job.maps.items()}
    if job.mask is not None:
        volumes[job.mask] = plan.mask()
    volumes |= zip(job.outputs, drawn.volumes, strict=True)
    told |= {output: fields | f for output, f in zip(job.outputs, facts, strict=True)}
    new = {path: place / f"unfinished{suffix_of(path)}" for path, place in claims.items()}
    for path, volume in volumes.items():
        with writing(path):
            if source is not None and path in job.outputs:
                _write_series(new[path], source, volume, plan, told[path])
            else:
                encode_volume(volume, new[path])
    job.require_writable()
    for path in job.beside:
        with writing(path):
            move(new[path], path, overwrite=job.overwrite)
    for path in job.told_of:
        put_in_place(new[path], path, told[path], overwrite=job.overwrite)
    if partial is not None:
        partial.remove()
    return Outcome(
        job.outputs, interpolator.name, before.geometry, plan.geometry, job.labels_out, tuple(notes)
    )


def state_of(scan: Path) -> State:
    """Size and time of change of a scan's file, or of each in its folder and below."""
    files = walk(scan) if scan.is_dir() else [scan]
    states = {file: file.stat() for file in files if file.is_file()}
    return {file: (state.st_size, state.st_mtime_ns) for file, state in states.items()}


def state_beside(state: State, files: Iterable[Path]) -> State:
    """Of the files in the folders of `files` alone: other scans may lie in a scan's folder."""
    folders = {file.parent for file in files}
    return {file: told for file, told in state.items() if file.parent in folders}


def is_done(job: Job) -> bool:
    """Whether the outputs of a job are there and, by their provenance, what it would make.

    That is, they come from the same version of medgen, model, options and bytes of the scan.

    Raises:
        MedgenError: there are outputs, but the scan or the model cannot be read.
    """
    told = [read_provenance(output) if output.exists() else None for output in job.outputs]
    if None in told or not all(path.exists() for path in job.beside):
        return False
    folder = model_folder(job.model)
    parts = None if folder is None else model_checksum(folder)
    for k, facts in enumerate(told):
        if not all(isinstance(facts.get(name), dict) for name in ("options", "model", "input")):
            return False
        options = job.options | {"seed": job.seed + k}
        if job.temperature is None:  # the default is one of version and model
            options["temperature"] = facts["options"].get("temperature")
        name, parts_told = (facts["model"].get(key) for key in ("name", "sha256"))
        if (facts["medgen"], facts["options"], parts_told) != (medgen.__version__, options, parts):
            return False
        if folder is None and name != job.model:
            return False
    scan = job.read()
    files = scan.metadata["files"]
    same = all(facts["input"].get("sha256") == checksum(files) for facts in told)
    return same and (job.segmentation is None or job.segmentation.is_done())


def _finer(job: Job, geometry: Geometry) -> SlicePlan:
    doubled = job.factor is None and job.spacing_mm is None
    stacked = writes_series(job.output) and job.slice_axis is None
    return plan_slices(
        geometry,
        factor=2 if doubled else job.factor,
        spacing_mm=job.spacing_mm,
        slice_axis=STACKING_AXIS if stacked else job.slice_axis,
    )


def _source_series(job: Job, before: Volume, plan: SlicePlan) -> Series:
    """The scan's headers, for a DICOM series to be made of; refuses what cannot become one."""
    if before.metadata["format"] != "DICOM":
        raise WriteError(
            f"{job.scan} is not DICOM, so no series can be made of it; choose an output that ends "
            "in .nii.gz."
        )
    if plan.axis != STACKING_AXIS:
        raise GeometryError(
            f"A DICOM series takes new slices between its own (axis {STACKING_AXIS}) only, not "
            f"along axis {plan.axis}; leave out --slice-axis, or choose an output that ends in "
            ".nii.gz."
        )
    if job.intercept is not None and before.array.dtype.kind == "f":
        raise WriteError(
            "The slices of this series differ in their rescale, so --intercept cannot stand in "
            "their headers; choose an output that ends in .nii.gz."
        )
    source = find_series(job.scan, job.series, gaps=job.fill_gaps)
    with pydicom_errors(job.scan, "has a malformed DICOM header"):
        require_derivable(job.scan, before, source)
    return source


def _write_series(
    folder: Path, source: Series, after: Volume, plan: SlicePlan, facts: dict[str, object]
) -> None:
    named = [
        f"{name} {value}"
        for name, value in facts["options"].items()
        if value is not None and value is not False
    ]
    derivation = Derivation(
        model=facts["model"]["name"],
        version=facts["medgen"],
        options=", ".join(named),
        identity=identity(facts),
    )
    write_series(after, source, plan.positions, plan.synthetic, folder, derivation)


def _with_ending(path: Path, ending: str) -> Path:
    """`scan_std.nii.gz` for `scan.nii.gz` and `std`."""
    suffix = "" if writes_series(path) else suffix_of(path)
    return path.with_name(f"{path.name[: len(path.name) - len(suffix)]}_{ending}{suffix}")
