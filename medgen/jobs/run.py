"""One scan on disk to a finer scan on disk: read, plan, fill in, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from medgen.errors import GeometryError, IntensityError
from medgen.intensities.modality import UNKNOWN
from medgen.interpolation.contract import AUTO, Interpolator, Progress, Temperature
from medgen.interpolation.gaps import AcrossGaps, plan_gaps
from medgen.interpolation.insert import Samples, insert
from medgen.interpolation.needs import bytes_needed, writing_bytes
from medgen.interpolation.plan import SlicePlan, plan_slices
from medgen.jobs.check import WORTH_A_CHECK, Check, check_scan
from medgen.jobs.job import Job
from medgen.jobs.keeping import KeepingInterpolator, Partial
from medgen.jobs.methods import methods
from medgen.jobs.provenance import (
    Provenance,
    claimed,
    identity,
    provenance,
    put_in_place,
    writes_series,
)
from medgen.jobs.scan_job import Outcome
from medgen.jobs.series import derivation_of, source_series
from medgen.jobs.source import Source
from medgen.memory import require_memory
from medgen.storage import move, writing
from medgen.volumes import Geometry, Volume
from medgen.volumes.dicom.derived import STACKING_AXIS
from medgen.volumes.dicom.find import Series
from medgen.volumes.dicom.write import write_series
from medgen.volumes.files import encode_volume
from medgen.volumes.nifti_fields import in_finer_scan

BEYOND_FLOATS = (
    "Some values lie beyond 2^53, where floating point has no room for every integer: synthetic "
    "slices are right to 53 binary digits, acquired ones stay as they are."
)


def run_job(
    job: Job,
    interpolator: Interpolator | None = None,
    *,
    source: Source | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Outcome:
    """Read the scan, insert slices, write maps, finer scans and their provenance.

    Whoever makes the same output meanwhile is waited for. All of it is written before the first
    appears under its name.

    Args:
        job: what to do, and by which model.
        interpolator: what `job.load_method()` gave before, so that a model is loaded once for
            many scans; loaded here if None.
        source: what `job.source()` gave before, so that a scan is read once.
        progress: see `interpolate_volume`.
        note: called with each sentence on what is odd about the scan, and on what of its header the
            finer one does not take over, before the work.

    Raises:
        MedgenError: the model, the scan or the output is not as it has to be; nothing is written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from medgen.phantoms.phantom import phantom_volume
        >>> from medgen.volumes import write_volume
        >>> with TemporaryDirectory() as folder:
        ...     scan, finer = Path(folder) / "ct.nii", Path(folder) / "finer.nii"
        ...     write_volume(phantom_volume("ct", (16, 12, 5), (20.0, 18.0, 30.0), seed=1), scan)
        ...     outcome = run_job(Job(scan=scan, output=finer, model="linear"))
        >>> outcome.method, outcome.before.shape, outcome.after.shape
        ('linear', (16, 12, 5), (16, 12, 9))
    """
    job.require_consistent()
    job.require_writable()
    say = note or (lambda sentence: None)
    with claimed(job.written, job.told_of, job.require_writable, say) as new:
        opened = _open(job, source or job.source(), interpolator or job.load_method())
        for sentence in opened.notes:
            say(sentence)
        series = _source_series(job, opened) if writes_series(job.output) else None
        told = _facts(job, opened)
        _require_memory(job, opened)
        check = _check(job, opened)
        if check is not None and check.note is not None:
            say(check.note)
        drawn, partial = _fill(job, opened, told, progress)
        learnt = opened.method.learnt
        if learnt is not None:
            say(learnt.sentence)
            for output in job.outputs:
                told[output]["adaptation"] = {"used": learnt.method, **learnt.facts}
        for part in opened.sources:
            part.require_unchanged()
        if check is not None:
            for output in job.outputs:
                told[output]["check"] = check.facts
        _write(job, opened, series, drawn, told, new)
        if partial is not None:
            partial.remove()
    return Outcome(
        outputs=job.outputs,
        method=opened.method.name if learnt is None else learnt.method,
        before=opened.scan.geometry,
        after=opened.plan.geometry,
        labels=job.labels_out,
        notes=(
            *opened.notes,
            *([check.note] if check and check.note else []),
            *([] if learnt is None else [learnt.sentence]),
        ),
    )


@dataclass(frozen=True, eq=False)
class _Opened:
    """What a job is made of, once it is read.

    Args:
        scan: as read; with the slices that it lacks, if those are to be filled in.
        method: what fills in slices, by the places of `scan`.
        temperature: as provenance tells it: that of the job, or what its default stands for.
        plan: of the finer scan.
        labels: the finer label map and its provenance, by its place, if there is one to make.
        fields: of the provenance of finer scans, from the scan's sidecars.
        sources: of the scan and, if there is one, of the label map.
        notes: see `Outcome`.
    """

    scan: Volume
    method: Interpolator
    temperature: Temperature | None
    plan: SlicePlan
    labels: Mapping[Path, tuple[Volume, Provenance]]
    fields: Mapping[str, object]
    sources: tuple[Source, ...]
    notes: tuple[str, ...]


def _open(job: Job, source: Source, method: Interpolator) -> _Opened:
    method.require(**job.drawn_as)
    scan = source.volume
    if scan.kind is UNKNOWN and job.model_folder is not None:
        raise IntensityError(scan.guess.question)
    if job.fill_gaps:
        scan, places, plan = plan_gaps(scan, STACKING_AXIS)
        method = AcrossGaps(method, places)
    else:
        plan = _finer(job, scan.geometry)
    _, left_out = in_finer_scan(scan.metadata, plan.axis)
    notes = [*scan.notes, *left_out]
    if not (scan.is_exact or scan.kind.is_categorical):
        notes.append(BEYOND_FLOATS)
    sources, labels = [source], {}
    segmentation = job.segmentation
    if segmentation is not None:
        finer, facts = segmentation.refined(job.scan, scan.geometry, plan, job.options)
        labels[segmentation.output] = finer, facts
        sources.append(segmentation.source)
        notes += [f"{job.labels}: {sentence}" for sentence in finer.metadata.get("notes", ())]
    fields = (
        {} if job.sidecar is None else job.sidecar.fields(scan.geometry, plan.geometry, plan.axis)
    )
    return _Opened(
        scan=scan,
        method=method,
        temperature=AUTO if method.temperature == AUTO else job.sampling.temperature,
        plan=plan,
        labels=labels,
        fields=fields,
        sources=tuple(sources),
        notes=tuple(notes),
    )


def _facts(job: Job, opened: _Opened) -> dict[Path, Provenance]:
    """Provenance of every finer scan and of the label map, by their places."""
    options = job.options | {"temperature": opened.temperature}
    first = provenance(
        source=opened.sources[0],
        output=job.outputs[0],
        model=opened.method.name,
        model_folder=job.model_folder,
        options=options,
        plan=opened.plan,
    )
    facts: dict[Path, Provenance] = {
        output: {**first, "output": output.name, "options": options | {"seed": job.seed + k}}
        for k, output in enumerate(job.outputs)
    }
    return facts | {place: told for place, (_, told) in opened.labels.items()}


def _require_memory(job: Job, opened: _Opened) -> None:
    needed = bytes_needed(
        opened.scan,
        opened.plan,
        opened.method,
        writing_bytes=writing_bytes(job.output),
        **job.drawn_as,
    )
    require_memory(needed, f"Making {opened.plan.geometry.summary} of {job.scan}")


def _check(job: Job, opened: _Opened) -> Check | None:
    """How a model does on the scan, where that was asked for or takes little beside the work."""
    learnt = job.model_folder is not None and not job.fill_gaps and not job.learns
    cheap = opened.plan.synthetic.sum() >= WORTH_A_CHECK and opened.method.prediction() is not None
    if not learnt or job.check is False or not (job.check or cheap):
        return None
    return check_scan(opened.scan, opened.method, opened.plan.axis)


def _fill(
    job: Job,
    opened: _Opened,
    told: Mapping[Path, Provenance],
    progress: Progress | None,
) -> tuple[Samples, Partial | None]:
    """The finer scans, and where their slices are kept until they are written."""
    scan, plan, method = opened.scan, opened.plan, opened.method
    partial = None
    if (
        job.model_folder is not None and not job.learns
    ):  # classical methods are done before a slice is kept, and what is learnt anew differs
        partial = Partial.beside(job.output, identity({**told[job.outputs[0]], **job.drawn_as}))
        if not (job.resume and partial.is_left()):
            partial.remove()
        method = KeepingInterpolator(method, partial)
    return insert(scan, method, plan, progress=progress, **job.drawn_as), partial


def _write(
    job: Job,
    opened: _Opened,
    series: Series | None,
    drawn: Samples,
    told: Mapping[Path, Provenance],
    new: Mapping[Path, Path],
) -> None:
    """Write everything, and then put it in its place."""
    volumes = {path: drawn.uncertainty[name] for name, path in job.maps.items()}
    if job.mask is not None:
        volumes[job.mask] = opened.plan.mask()
    volumes |= {place: finer for place, (finer, _) in opened.labels.items()}
    volumes |= zip(job.outputs, drawn.volumes, strict=True)
    for path, volume in volumes.items():
        with writing(path):
            if series is not None and path in job.outputs:
                _write_series(new[path], series, volume, opened.plan, told[path])
            else:
                encode_volume(volume, new[path])
    job.require_writable()
    for path in job.beside:
        with writing(path):
            move(new[path], path, overwrite=job.overwrite)
    for path in job.told_of:
        fields = opened.fields if path in job.outputs else {}
        facts = {**fields, **told[path], "methods": methods([told[path]]).paragraph}
        put_in_place(new[path], path, facts, overwrite=job.overwrite)


def _finer(job: Job, geometry: Geometry) -> SlicePlan:
    doubled = job.factor is None and job.spacing_mm is None
    stacked = writes_series(job.output) and job.slice_axis is None
    return plan_slices(
        geometry,
        factor=2 if doubled else job.factor,
        spacing_mm=job.spacing_mm,
        slice_axis=STACKING_AXIS if stacked else job.slice_axis,
    )


def _source_series(job: Job, opened: _Opened) -> Series:
    """The scan's headers, for a DICOM series to be made of; refuses what cannot become one."""
    series = source_series(
        job.scan, opened.scan, series=job.series, gaps=job.fill_gaps, intercept=job.intercept
    )
    if opened.plan.axis != STACKING_AXIS:
        raise GeometryError(
            f"A DICOM series takes new slices between its own (axis {STACKING_AXIS}) only, not "
            f"along axis {opened.plan.axis}; leave out --slice-axis, or choose an output that ends "
            "in .nii.gz."
        )
    return series


def _write_series(
    folder: Path, source: Series, after: Volume, plan: SlicePlan, facts: Provenance
) -> None:
    write_series(after, source, plan.positions, plan.synthetic, folder, derivation_of(facts))
