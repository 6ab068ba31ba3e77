"""Everything a user can choose about a scan of more slices on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar, TypedDict

from medgen.bundles.released import default_model
from medgen.errors import GeometryError, TrainingError, WriteError
from medgen.intensities.modality import LABELS
from medgen.interpolation import SELF, interpolator_named, model_folder
from medgen.interpolation.contract import UNCERTAINTY, Interpolator, Progress
from medgen.interpolation.labels import ShapeBased
from medgen.interpolation.options import LEFT_TO_THE_MODEL, SamplingOptions
from medgen.jobs.bids import BETWEEN, resolution_label
from medgen.jobs.outputs import (
    require_each_once,
    require_map_writable,
    require_output_writable,
    with_ending,
)
from medgen.jobs.provenance import provenance_path, require_provenance_writable
from medgen.jobs.scan_job import Outcome, ScanJob
from medgen.jobs.segmentation import Segmentation
from medgen.jobs.source import Source
from medgen.volumes.files import require_writable

LEARNING = ("adapt_minutes", "adapt_steps", "slice_thickness_mm")


class DrawnAs(TypedDict):
    """How often each slice is drawn, and whether its uncertainty is measured."""

    samples: int
    uncertainty: bool


@dataclass(frozen=True)
class Job(ScanJob):
    """What `medgen interpolate` was asked to do with one scan.

    Args:
        factor: see `interpolate_volume`, as for `spacing_mm` and `slice_axis`; with neither factor
            nor spacing the slices are doubled, and a DICOM series is made finer along its own
            stacking unless an axis is given.
        spacing_mm: likewise.
        slice_axis: likewise.
        fill_gaps: instead of all that, only put in slices that a DICOM series lacks.
        seed: see `interpolator_named`, as for `sampling`.
        sampling: likewise.
        samples: fillings to draw; with several, the k-th goes to `output` with `_k` before its
            suffix, and is what the job gives alone with a seed k - 1 higher. Maps of the
            uncertainty are of the first.
        mask: NIfTI file for 1 in voxels of synthetic slices and 0 in others; None for none.
        labels: label map on the scan's grid, to be made finer with it, by shape; None for none.
        labels_out: where that goes.
        check: whether to look first how well the model replaces acquired slices that are left out
            (see `check_scan`); None where that takes little beside the work.
        adapt_minutes: have the model learn from the scan for so long first (see
            `adaptation.adapting`); None, as `adapt_steps`, for not at all, or for 5 minutes where
            the model is `self`.
        adapt_steps: likewise, in gradient steps.
        slice_thickness_mm: for that, what the scan's slices are thick; None for what it tells.
        resume: go on from the slices that a killed run of the same job left.

    Example:
        >>> scan, output = Path("ct.nii.gz"), Path("finer.nii.gz")
        >>> job = Job(scan=scan, output=output, model="linear", samples=2)
        >>> [path.name for path in job.outputs]
        ['finer_1.nii.gz', 'finer_2.nii.gz']
    """

    factor: int | None = None
    spacing_mm: float | None = None
    slice_axis: int | None = None
    fill_gaps: bool = False
    seed: int = 0
    sampling: SamplingOptions = LEFT_TO_THE_MODEL
    samples: int = 1
    mask: Path | None = None
    labels: Path | None = None
    labels_out: Path | None = None
    check: bool | None = None
    adapt_minutes: float | None = None
    adapt_steps: int | None = None
    slice_thickness_mm: float | None = None
    resume: bool = False

    purpose: ClassVar = BETWEEN
    uncertainties: ClassVar = UNCERTAINTY
    not_options: ClassVar = (
        *ScanJob.not_options, "samples", "mask", "labels", "labels_out", "check", "resume",
    )  # fmt: skip

    def require_consistent(self) -> None:
        """Refuse options that contradict each other.

        Raises:
            GeometryError: `fill_gaps` stands beside what it leaves no room for.
            WriteError: `labels` and `labels_out` are not both there.
            TrainingError: both minutes and steps to learn, or a thickness for nothing.
        """
        if self.fill_gaps and (self.factor, self.spacing_mm, self.slice_axis) != (None,) * 3:
            raise GeometryError(
                "Filling gaps keeps the spacing that the series has; leave out --factor, --spacing "
                "and --slice-axis, or do one after the other."
            )
        if self.fill_gaps and self.labels is not None:
            raise GeometryError(
                "Filling gaps puts no slices into a label map; leave out --labels and --labels-out."
            )
        if self.adapt_minutes is not None and self.adapt_steps is not None:
            raise TrainingError("Give --adapt or --adapt-steps, not both.")
        if self.slice_thickness_mm is not None and not self.learns:
            raise TrainingError(
                "--slice-thickness is for a model that learns from the scan; add --adapt, or leave "
                "it out."
            )
        if self.learns and self.fill_gaps:
            raise GeometryError(
                "Nothing is learnt from a series with gaps; leave out --fill-gaps, or --adapt."
            )
        if (self.labels is None) != (self.labels_out is None):
            raise WriteError(
                "--labels and --labels-out name a label map and where its finer one goes; give "
                "both or neither."
            )

    def require_writable(self) -> None:
        """Refuse before the work what could not be written after it.

        Raises:
            WriteError: an output exists, has an unknown suffix, or there is no such folder.
        """
        for path in self.told_of:
            if path in self.outputs:
                require_output_writable(path, overwrite=self.overwrite)
            else:
                require_writable(path, overwrite=self.overwrite)
                require_provenance_writable(path)
        for path in self.beside:
            require_map_writable(path, overwrite=self.overwrite)
        require_each_once((*self.written, *map(provenance_path, self.told_of)))

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Where the finer scans go, one for each sample."""
        if self.samples == 1:
            return (self.output,)
        return tuple(with_ending(self.output, str(k + 1)) for k in range(self.samples))

    @property
    def drawn_as(self) -> DrawnAs:
        """What is asked of an interpolator."""
        return {"samples": self.samples, "uncertainty": self.uncertainty is not None}

    @property
    def beside(self) -> tuple[Path, ...]:
        """Where maps and mask go."""
        return (*self.maps.values(), *([] if self.mask is None else [self.mask]))

    @property
    def segmentation(self) -> Segmentation | None:
        """The label map that is to be made finer, too."""
        if self.labels is None or self.labels_out is None:
            return None
        return Segmentation(self.labels, self.labels_out)

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
        """See `ScanJob.options`."""
        chosen = super().options
        names = list(chosen)
        if not self.learns:
            names = [name for name in names if name not in LEARNING]
        told: dict[str, object] = {}
        for name in names:
            told |= asdict(self.sampling) if name == "sampling" else {name: chosen[name]}
        return told

    def is_told(self, options: Mapping[str, object], k: int) -> bool:
        """See `ScanJob.is_told`."""
        own = self.options | {"seed": self.seed + k}
        if self.sampling.temperature is None:  # the default is one of version and model
            own["temperature"] = options.get("temperature")
        return options == own

    def with_model(self, source: Source) -> Job:
        """See `ScanJob.with_model`."""
        if self.model is not None:
            return self
        scan = source.volume
        by_shape = scan.kind.is_categorical
        if by_shape and self.learns:
            raise TrainingError(
                f"{self.scan} is a label map, from which no model learns; leave out --adapt, and "
                "it is filled in by shape, or say with --modality what else it is."
            )
        default = ShapeBased if by_shape else default_model(scan.modality, scan.guess)
        return replace(self, model=default.name)

    @property
    def model_folder(self) -> Path | None:
        """See `ScanJob.model_folder`."""
        return model_folder(self.chosen_model)

    @property
    def resolution(self) -> str:
        """See `ScanJob.resolution`."""
        return resolution_label(self.factor, self.spacing_mm)

    def of_label_map(self) -> Job:
        """See `ScanJob.of_label_map`."""
        return replace(
            self,
            model=ShapeBased.name,
            modality=LABELS.name,
            samples=1,
            sampling=LEFT_TO_THE_MODEL,
            adapt_minutes=None,
            adapt_steps=None,
            slice_thickness_mm=None,
        )

    def in_folder(self) -> Job:
        """See `ScanJob.in_folder`."""
        return replace(self, resume=True)

    def each_sample(self) -> Iterable[tuple[int | None, Job]]:
        """See `ScanJob.each_sample`."""
        for k in range(self.samples):
            number = k + 1 if self.samples > 1 else None
            yield number, replace(self, seed=self.seed + k, samples=1)

    def source(self) -> Source:
        """The scan, not read yet."""
        return Source(
            self.scan,
            volume=self.volume,
            series=self.series,
            gaps=self.fill_gaps,
            modality=self.modality,
            intercept=self.intercept,
        )

    @property
    def learns(self) -> bool:
        """Whether a model learns from the scan first."""
        given = (self.adapt_minutes, self.adapt_steps) != (None, None)
        return given or self.model == SELF

    def load_method(
        self, progress: Callable[[str, int, int], None] = lambda name, done, total: None
    ) -> Interpolator:
        """See `ScanJob.load_method`.

        Args:
            progress: of what it learns, see `Learning`.
        """
        if self.learns:
            from medgen.adaptation.adapting import Learning, Lessons
            from medgen.adaptation.naming import learning_interpolator

            learning = Learning(
                self.adapt_steps,
                self.adapt_minutes,
                self.seed,
                self.slice_thickness_mm,
                progress=progress,
            )
            return learning_interpolator(self.chosen_model, self.sampling, Lessons(learning))
        return interpolator_named(self.chosen_model, seed=self.seed, **self.sampling.given)

    def run(
        self,
        method: Interpolator,
        *,
        source: Source,
        progress: Progress | None = None,
        note: Callable[[str], None] | None = None,
    ) -> Outcome:
        """See `run_job`."""
        from medgen.jobs.run import run_job

        return run_job(self, method, source=source, progress=progress, note=note)
