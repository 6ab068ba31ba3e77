"""One scan on disk to a scan of finer voxels on disk: read, make finer, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from medgen.errors import GeometryError, IntensityError
from medgen.intensities.modality import LABELS, UNKNOWN
from medgen.interpolation.contract import Progress
from medgen.interpolation.needs import writing_bytes
from medgen.jobs.bids import SPLIT, resolution_label
from medgen.jobs.methods import methods
from medgen.jobs.provenance import Made, claimed, made, put_in_place, writes_series
from medgen.jobs.scan_job import Outcome, ScanJob
from medgen.jobs.series import derivation_of, source_series
from medgen.jobs.source import Source
from medgen.memory import require_memory
from medgen.storage import move, writing
from medgen.superresolution import Refined, SuperResolver, superresolve_volume, superresolver_named
from medgen.superresolution.classical import NEAREST
from medgen.superresolution.contract import UNCERTAINTY
from medgen.superresolution.methods import default_method, model_folder
from medgen.superresolution.refine import bytes_needed
from medgen.volumes import Volume
from medgen.volumes.dicom.derived import STACKING_AXIS
from medgen.volumes.dicom.find import Series
from medgen.volumes.dicom.write import write_subdivided_series
from medgen.volumes.files import encode_volume
from medgen.volumes.nifti_fields import in_finer_scan

# Where neither the user nor the model says how many.
FACTOR = 2


class SuperResolution(Made):
    """Provenance of a scan of finer voxels.

    Attributes:
        factor: voxels made of one along each axis, all of them synthetic.
        kept_axis: that of the slices where they stayed as thick as they were, None where not.
    """

    factor: int
    kept_axis: int | None


@dataclass(frozen=True)
class Task(ScanJob):
    """What `medgen superresolve` was asked to do with one scan.

    Args:
        factor: voxels made of one along each axis; None for the model's, or 2.
        in_plane: make pixels finer, and slices stay as they are.
        slice_axis: of these slices, None for the scan's own, see `Geometry.slice_axis`, or that of
            a DICOM series where one is written.
    """

    factor: int | None = None
    in_plane: bool = False
    slice_axis: int | None = None

    purpose: ClassVar = SPLIT
    uncertainties: ClassVar = UNCERTAINTY

    def with_model(self, source: Source) -> Task:
        """See `ScanJob.with_model`."""
        if self.model is not None:
            return self
        scan = source.volume
        factor = self.factor or FACTOR
        model = default_method(scan.modality, factor, scan.guess, in_plane=self.in_plane)
        return replace(self, model=model)

    @property
    def model_folder(self) -> Path | None:
        """See `ScanJob.model_folder`."""
        return model_folder(self.chosen_model)

    def load_method(self) -> SuperResolver:
        """See `ScanJob.load_method`."""
        return superresolver_named(self.chosen_model)

    def run(
        self,
        method: SuperResolver,
        *,
        source: Source,
        progress: Progress | None = None,
        note: Callable[[str], None] | None = None,
    ) -> Outcome:
        """See `superresolve`."""
        return superresolve(self, method, source=source, progress=progress, note=note)

    @property
    def resolution(self) -> str:
        """See `ScanJob.resolution`.

        Raises:
            GeometryError: it is left to the model, which is not at hand.
        """
        if self.model is not None and self.factor is None:
            raise GeometryError(
                "The images of a BIDS derivative have the factor in their names; give --factor "
                "beside --model."
            )
        return resolution_label(self.factor, None)

    def of_label_map(self) -> Task:
        """See `ScanJob.of_label_map`."""
        factor = self.factor or FACTOR
        return replace(self, model=NEAREST, modality=LABELS.name, factor=factor)

    def kept_axis(self, scan: Volume) -> int | None:
        """The axis that stays as it is, None for none.

        Raises:
            GeometryError: a DICOM series was asked for, and its slices lie along another one.
        """
        if not self.in_plane:
            return None
        if not writes_series(self.output):
            return scan.geometry.slice_axis if self.slice_axis is None else self.slice_axis
        if self.slice_axis not in (None, STACKING_AXIS):
            raise GeometryError(
                f"The slices of a DICOM series lie along axis {STACKING_AXIS}, not along axis "
                f"{self.slice_axis}; leave out --slice-axis, or choose an output that ends in "
                ".nii.gz."
            )
        return STACKING_AXIS


def superresolve(
    task: Task,
    resolver: SuperResolver | None = None,
    *,
    source: Source | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Outcome:
    """Read the scan, make its voxels finer, write maps, finer scan and its provenance.

    Whoever makes the same output meanwhile is waited for. All of it is written before the first
    appears under its name.

    Args:
        task: what to do.
        resolver: what `task.load_method()` gave before; loaded here if None.
        source: what `task.source()` gave before, so that a scan is read once.
        progress: see `superresolve_volume`.
        note: called before the work with each sentence on what is odd about the scan, and on what
            of its header the finer one does not take over.

    Raises:
        MedgenError: the model, the scan or the output is not as it has to be; nothing is written.
    """
    task.require_writable()
    say = note or (lambda sentence: None)
    places = (task.output, *task.maps.values())
    with claimed(places, [task.output], task.require_writable, say) as new:
        source = source or task.source()
        task = task.with_model(source)
        opened = _open(task, source, resolver or task.load_method())
        for sentence in opened.notes:
            say(sentence)
        refined = superresolve_volume(
            source.volume,
            opened.resolver,
            opened.factor,
            kept=opened.kept,
            uncertainty=task.uncertainty is not None,
            progress=progress,
        )
        source.require_unchanged()
        _write(task, opened, refined, new)
    before, after = source.volume.geometry, refined.volume.geometry
    return Outcome((task.output,), opened.resolver.name, before, after, notes=opened.notes)


@dataclass(frozen=True, eq=False)
class _Opened:
    """What a task is made of, once it is read.

    Args:
        resolver: what makes voxels finer.
        factor: how many of one along each axis.
        kept: the axis that stays as it is, None for none.
        series: headers of the scan, where a series is to be written.
        facts: the provenance.
        fields: of the provenance, from the scan's sidecars.
        notes: for the user.
    """

    resolver: SuperResolver
    factor: int
    kept: int | None
    series: Series | None
    facts: SuperResolution
    fields: Mapping[str, object]
    notes: tuple[str, ...]


def _open(task: Task, source: Source, resolver: SuperResolver) -> _Opened:
    factor = task.factor or resolver.only_factor or FACTOR
    sure = task.uncertainty is not None
    resolver.require(factor, in_plane=task.in_plane, uncertainty=sure)
    scan, kept = source.volume, task.kept_axis(source.volume)
    if scan.kind is UNKNOWN and task.model_folder is not None:
        raise IntensityError(scan.guess.question)
    series = None
    if writes_series(task.output):
        series = source_series(task.scan, scan, series=task.series, intercept=task.intercept)
    finer = scan.geometry.subdivide(factor, kept)
    needed = bytes_needed(
        scan,
        resolver,
        factor,
        kept=kept,
        uncertainty=sure,
        writing_bytes=writing_bytes(task.output),
    )
    require_memory(needed, f"Making {finer.summary} of {task.scan}")
    told = made(
        source=source,
        output=task.output,
        model=resolver.name,
        model_folder=task.model_folder,
        options=task.options,
        geometry=finer,
    )
    facts: SuperResolution = {**told, "factor": factor, "kept_axis": kept}
    axis = scan.geometry.slice_axis if kept is None else kept
    sidecar = task.sidecar
    fields = {} if sidecar is None else sidecar.fields(scan.geometry, finer, axis, task.purpose)
    _, left_out = in_finer_scan(scan.metadata, None)
    notes = (*scan.notes, *left_out)
    return _Opened(resolver, factor, kept, series, facts, fields, notes)


def _write(task: Task, opened: _Opened, refined: Refined, new: Mapping[Path, Path]) -> None:
    """Write everything, and then put it in its place."""
    volumes: dict[Path, Volume] = {
        path: refined.uncertainty[name] for name, path in task.maps.items()
    }
    for path, volume in volumes.items():
        with writing(path):
            encode_volume(volume, new[path])
    with writing(task.output):
        if opened.series is None:
            encode_volume(refined.volume, new[task.output])
        else:
            write_subdivided_series(
                refined.volume,
                opened.series,
                opened.factor if opened.kept is None else 1,
                new[task.output],
                derivation_of(opened.facts),
            )
    task.require_writable()
    for path in volumes:
        with writing(path):
            move(new[path], path, overwrite=task.overwrite)
    facts = {**opened.fields, **opened.facts, "methods": methods([opened.facts]).paragraph}
    put_in_place(new[task.output], task.output, facts, overwrite=task.overwrite)
