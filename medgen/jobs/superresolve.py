"""One scan on disk to a scan of finer voxels on disk: read, make finer, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from medgen.errors import GeometryError, IntensityError
from medgen.intensities.modality import UNKNOWN
from medgen.interpolation.contract import Progress
from medgen.interpolation.needs import writing_bytes
from medgen.jobs.methods import methods
from medgen.jobs.outputs import (
    require_each_once,
    require_map_writable,
    require_output_writable,
    uncertainty_files,
)
from medgen.jobs.provenance import (
    Made,
    claimed,
    made,
    provenance_path,
    put_in_place,
    writes_series,
)
from medgen.jobs.series import derivation_of, source_series
from medgen.jobs.source import Source
from medgen.memory import require_memory
from medgen.storage import move, writing
from medgen.superresolution import Refined, SuperResolver, superresolve_volume, superresolver_named
from medgen.superresolution.contract import UNCERTAINTY
from medgen.superresolution.methods import default_method, model_folder
from medgen.superresolution.refine import bytes_needed
from medgen.volumes import Geometry, Volume
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
class Task:
    """What `medgen superresolve` was asked to do with one scan.

    Args:
        scan: see `read_volume`.
        output: see `write_volume`; without a suffix, a folder for a DICOM series.
        model: see `superresolver_named`; None for that of the scan's modality.
        factor: voxels made of one along each axis; None for the model's, or 2.
        in_plane: make pixels finer, and slices stay as they are.
        slice_axis: of these slices, None for the scan's own, see `Geometry.slice_axis`, or that of
            a DICOM series where one is written.
        uncertainty: place of its maps, None for none.
        volume: see `read_volume`, as for `series`, `modality` and `intercept`.
        series: likewise.
        modality: likewise.
        intercept: likewise.
        overwrite: replace what is to be written if it exists.
    """

    scan: Path
    output: Path
    model: str | None = None
    factor: int | None = None
    in_plane: bool = False
    slice_axis: int | None = None
    uncertainty: Path | None = None
    volume: int | None = None
    series: str | None = None
    modality: str | None = None
    intercept: float | None = None
    overwrite: bool = False

    @property
    def maps(self) -> dict[str, Path]:
        """Where maps of the uncertainty go, by name."""
        return {} if self.uncertainty is None else uncertainty_files(self.uncertainty, UNCERTAINTY)

    def require_writable(self) -> None:
        """Refuse before the work what could not be written after it.

        Raises:
            WriteError: an output exists, has an unknown suffix, or there is no such folder.
        """
        require_output_writable(self.output, overwrite=self.overwrite)
        for path in self.maps.values():
            require_map_writable(path, overwrite=self.overwrite)
        require_each_once((self.output, provenance_path(self.output), *self.maps.values()))

    def source(self) -> Source:
        """The scan, not read yet."""
        return Source(
            self.scan,
            volume=self.volume,
            series=self.series,
            modality=self.modality,
            intercept=self.intercept,
        )

    def with_model(self, source: Source) -> Task:
        """The same task with the default method for its scan, if it names none.

        Raises:
            MedgenError: the scan cannot be read, or no model is for its modality.
        """
        if self.model is not None:
            return self
        scan = source.volume
        factor = self.factor or FACTOR
        model = default_method(scan.modality, factor, scan.guess, in_plane=self.in_plane)
        return replace(self, model=model)

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


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Args:
        output: where the finer scan is.
        resolver: name of what made its voxels.
        before: grid of the scan.
        after: grid of the finer scan.
        notes: sentences on what was odd about the scan, and what of it is not in the finer one.
    """

    output: Path
    resolver: str
    before: Geometry
    after: Geometry
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """One line for the user."""
        finer, coarse = self.after.summary, self.before.summary
        return f"{self.output}: {finer} by {self.resolver}, from {coarse}"


def superresolve(
    task: Task,
    *,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda sentence: None,
) -> Outcome:
    """Read the scan, make its voxels finer, write maps, finer scan and its provenance.

    Whoever makes the same output meanwhile is waited for. All of it is written before the first
    appears under its name.

    Args:
        task: what to do.
        progress: see `superresolve_volume`.
        note: called before the work with each sentence on what is odd about the scan, and on what
            of its header the finer one does not take over.

    Raises:
        MedgenError: the model, the scan or the output is not as it has to be; nothing is written.
    """
    task.require_writable()
    places = (task.output, *task.maps.values())
    with claimed(places, [task.output], task.require_writable, note) as new:
        source = task.source()
        task = task.with_model(source)
        opened = _open(task, source)
        for sentence in opened.notes:
            note(sentence)
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
    return Outcome(task.output, opened.resolver.name, before, after, opened.notes)


@dataclass(frozen=True, eq=False)
class _Opened:
    """What a task is made of, once it is read.

    Args:
        resolver: what makes voxels finer.
        factor: how many of one along each axis.
        kept: the axis that stays as it is, None for none.
        series: headers of the scan, where a series is to be written.
        facts: the provenance.
        notes: for the user.
    """

    resolver: SuperResolver
    factor: int
    kept: int | None
    series: Series | None
    facts: SuperResolution
    notes: tuple[str, ...]


def _open(task: Task, source: Source) -> _Opened:
    assert task.model is not None  # as `with_model` gave it
    resolver = superresolver_named(task.model)
    factor = task.factor or resolver.only_factor or FACTOR
    sure = task.uncertainty is not None
    resolver.require(factor, in_plane=task.in_plane, uncertainty=sure)
    scan, folder = source.volume, model_folder(task.model)
    kept = task.kept_axis(scan)
    if scan.kind is UNKNOWN and folder is not None:
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
    facts: SuperResolution = {
        **_facts(task, source, resolver.name, folder, factor, finer),
        "factor": factor,
        "kept_axis": kept,
    }
    _, left_out = in_finer_scan(scan.metadata, None)
    return _Opened(resolver, factor, kept, series, facts, (*scan.notes, *left_out))


def _facts(
    task: Task, source: Source, name: str, folder: Path | None, factor: int, finer: Geometry
) -> Made:
    options = ("in_plane", "slice_axis", "volume", "series", "modality", "intercept")
    return made(
        source=source,
        output=task.output,
        model=name,
        model_folder=folder,
        options={"factor": factor, **{option: getattr(task, option) for option in options}},
        geometry=finer,
    )


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
    facts = {**opened.facts, "methods": methods([opened.facts]).paragraph}
    put_in_place(new[task.output], task.output, facts, overwrite=task.overwrite)
