"""What is asked of one scan, whatever is to be made of it, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from medgen.interpolation.contract import Progress
from medgen.jobs.bids import Purpose, Sidecar
from medgen.jobs.outputs import (
    require_each_once,
    require_map_writable,
    require_output_writable,
    uncertainty_files,
)
from medgen.jobs.provenance import provenance_path
from medgen.jobs.source import Source
from medgen.volumes import Geometry

if TYPE_CHECKING:
    from medgen.jobs.segmentation import Segmentation

One = TypeVar("One", bound="ScanJob")


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Args:
        outputs: where the finer scans are.
        method: name of what made their slices or voxels.
        before: grid of the scan.
        after: grid of the finer scan.
        labels: where the finer label map is, if there was one to make.
        notes: sentences on what was odd about the scan, and what of it is not in the finer one.
    """

    outputs: tuple[Path, ...]
    method: str
    before: Geometry
    after: Geometry
    labels: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """One line for the user."""
        outputs = ", ".join(map(str, self.outputs))
        line = f"{outputs}: {self.after.summary} by {self.method}, from {self.before.summary}"
        return line if self.labels is None else f"{line}; labels by shape in {self.labels}"


@dataclass(frozen=True)
class ScanJob:
    """What a command that makes a finer scan was asked to do: the base of one class for each.

    Args:
        scan: see `read_volume`.
        output: see `write_volume`; without a suffix, a folder for a DICOM series.
        model: name of a method or model, or a model's folder; None until `with_model` has chosen.
        uncertainty: NIfTI file, or its name without suffix, before whose suffix come the names of
            `maps`, for maps of the uncertainty; None for none.
        volume: of a 4-D file, see `read_volume`.
        series: of a folder of DICOM files, likewise.
        modality: what the user says the scan is, likewise.
        intercept: instead of the file's, likewise.
        sidecar: what JSON files say of the scan, to go on into the provenance; None for nothing.
        overwrite: replace what is to be written if it exists.

    Attributes:
        purpose: what a data set of such finer scans is for.
        not_options: fields that are no `options`.
        uncertainties: names of the maps.
    """

    scan: Path
    output: Path
    model: str | None = None
    uncertainty: Path | None = None
    volume: int | None = None
    series: str | None = None
    modality: str | None = None
    intercept: float | None = None
    sidecar: Sidecar | None = None
    overwrite: bool = False

    purpose: ClassVar[Purpose]
    not_options: ClassVar[Collection[str]] = (
        "scan", "output", "model", "uncertainty", "sidecar", "overwrite",
    )  # fmt: skip
    uncertainties: ClassVar[Sequence[str]]

    # === What differs ===

    def with_model(self: One, source: Source) -> One:
        """The same job with the default method for the modality of its scan, if it names none.

        Raises:
            MedgenError: the scan cannot be read, or no model is for its modality.
        """
        raise NotImplementedError

    @property
    def model_folder(self) -> Path | None:
        """Files of the model, None for a method that has none.

        Raises:
            BundleError: nothing goes by that name.
        """
        raise NotImplementedError

    def load_method(self) -> Any:
        """The method of this job, and of any other that differs in scan and output alone."""
        raise NotImplementedError

    def run(
        self,
        method: Any,
        *,
        source: Source,
        progress: Progress | None = None,
        note: Callable[[str], None] | None = None,
    ) -> Outcome:
        """Do it.

        Args:
            method: what `load_method` gave.
            source: what `source` gave.
            progress: called with (work done, work in all).
            note: called with each sentence on what is odd about the scan.

        Raises:
            MedgenError: the model, the scan or the output is not as it has to be; nothing is
                written.
        """
        raise NotImplementedError

    @property
    def resolution(self) -> str:
        """Value of the entity `res` in names of BIDS."""
        raise NotImplementedError

    def of_label_map(self: One) -> One:
        """The same job by the method that is for label maps."""
        raise NotImplementedError

    # === What need not be ===

    def in_folder(self: One) -> One:
        """The same job as one of many."""
        return self

    def each_sample(self: One) -> Iterable[tuple[int | None, One]]:
        """Jobs that make one finer scan each, with its number where there are several."""
        return [(None, self)]

    def is_told(self, options: Mapping[str, object], k: int) -> bool:
        """Whether a provenance tells of the options of this job's `k`-th output."""
        return options == self.options

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Where the finer scans go."""
        return (self.output,)

    @property
    def beside(self) -> tuple[Path, ...]:
        """Where maps go."""
        return tuple(self.maps.values())

    @property
    def segmentation(self) -> Segmentation | None:
        """The label map that is to be made finer, too."""
        return None

    # === What all have ===

    @property
    def maps(self) -> dict[str, Path]:
        """Where maps of the uncertainty go, by name."""
        if self.uncertainty is None:
            return {}
        return uncertainty_files(self.uncertainty, self.uncertainties)

    @property
    def options(self) -> dict[str, object]:
        """Everything chosen that a finer scan depends on but scan and model, by name."""
        names = (f.name for f in fields(self) if f.name not in self.not_options)
        return {name: getattr(self, name) for name in names}

    @property
    def chosen_model(self) -> str:
        """`model`, of a job that has one."""
        assert self.model is not None
        return self.model

    def require_writable(self) -> None:
        """Refuse before the work what could not be written after it.

        Raises:
            WriteError: an output exists, has an unknown suffix, or there is no such folder.
        """
        for path in self.outputs:
            require_output_writable(path, overwrite=self.overwrite)
        for path in self.beside:
            require_map_writable(path, overwrite=self.overwrite)
        require_each_once((*self.outputs, *map(provenance_path, self.outputs), *self.beside))

    def source(self) -> Source:
        """The scan, not read yet."""
        return Source(
            self.scan,
            volume=self.volume,
            series=self.series,
            modality=self.modality,
            intercept=self.intercept,
        )
