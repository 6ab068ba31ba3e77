"""The segmentation of a scan: a label map on the same grid, made finer with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import medgen
from medgen.errors import GeometryError
from medgen.intensities.modality import LABELS
from medgen.interpolation.insert import insert
from medgen.interpolation.labels import ShapeBased
from medgen.interpolation.needs import bytes_needed, writing_bytes
from medgen.interpolation.plan import SlicePlan
from medgen.jobs.provenance import Provenance, provenance, read_provenance
from medgen.jobs.source import Source
from medgen.memory import require_memory
from medgen.volumes import Geometry, Volume

ALIKE = 0.05  # of a voxel: grids whose corners lie nearer to each other are one
CHOICES = ("factor", "spacing_mm", "slice_axis")


@dataclass(frozen=True)
class Segmentation:
    """A label map on disk, and where its finer one goes.

    Args:
        path: see `read_volume`.
        output: see `write_volume`.
    """

    path: Path
    output: Path

    @cached_property
    def source(self) -> Source:
        """The label map as it is read."""
        return Source(self.path, modality=LABELS.name)

    def refined(
        self, scan: Path, grid: Geometry, plan: SlicePlan, options: Mapping[str, object]
    ) -> tuple[Volume, Provenance]:
        """The label map with the slices of a plan, by shape, and its provenance.

        Args:
            scan: path of the scan that it belongs to.
            grid: of the scan.
            plan: of the finer scan.
            options: of the job.

        Raises:
            ReadError: the label map cannot be read as one volume.
            GeometryError: it has another grid than the scan.
            IntensityError: it holds fractions.
            ResourceError: there is too little memory.
        """
        labels = self.source.volume
        difference = _difference(labels.geometry, grid)
        if difference is not None:
            own, of_scan = difference
            raise GeometryError(
                f"{self.path} must have the grid of {scan}, got {own} instead of {of_scan}; give "
                "the label map of this scan, or resample it to the scan first."
            )
        method = ShapeBased()
        needed = bytes_needed(labels, plan, method, writing_bytes=writing_bytes(self.output))
        require_memory(needed, f"Making {plan.geometry.summary} of {self.path}")
        facts = provenance(
            source=self.source,
            output=self.output,
            model=method.name,
            model_folder=None,
            options={name: options[name] for name in CHOICES},
            plan=plan,
        )
        return insert(labels, method, plan).volumes[0], facts

    def is_done(self) -> bool:
        """Whether the output is there and of these bytes, by its provenance and the version's.

        The options are those of the scan, whose provenance tells them, too.

        Raises:
            MedgenError: the output is there, but the label map cannot be read.
        """
        told = read_provenance(self.output) if self.output.exists() else None
        if told is None or told["medgen"] != medgen.__version__:
            return False
        return told.get("input", {}).get("sha256") == self.source.facts["sha256"]


def _difference(own: Geometry, other: Geometry) -> tuple[str, str] | None:
    """What one grid has and the other has instead, in words; None if they are one."""

    def both(tell: Callable[[Geometry], str]) -> tuple[str, str]:
        return tell(own), tell(other)

    if own.shape != other.shape:
        return both(lambda grid: " x ".join(map(str, grid.shape)) + " voxels")
    distance = own.distance_mm(other.affine)
    if distance <= ALIKE * min(other.spacing):
        return None
    if own.orientation != other.orientation:
        return both(lambda grid: f"axes that run {grid.orientation}")
    sizes = both(lambda grid: " x ".join(f"{mm:.4g}" for mm in grid.spacing) + " mm")
    if sizes[0] != sizes[1]:
        return f"voxels of {sizes[0]}", f"voxels of {sizes[1]}"
    return f"voxels up to {distance:.3g} mm away", "the same places"
