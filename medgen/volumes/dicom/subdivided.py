"""The slices of a scan of finer voxels as datasets of a derived DICOM series."""

from __future__ import annotations

import numpy as np
from pydicom import Dataset
from pydicom.valuerep import DSfloat

from medgen.volumes.dicom.codec import Codecs
from medgen.volumes.dicom.derived import STACKING_AXIS, Derivation, DerivedSlices
from medgen.volumes.dicom.find import Series
from medgen.volumes.dicom.frames import numbers
from medgen.volumes.dicom.headers import common_header
from medgen.volumes.geometry import LPS_TO_RAS
from medgen.volumes.volume import Volume


class SubdividedSlices(DerivedSlices):
    """See `DerivedSlices`; all are synthetic, and each lies within one acquired slice.

    Its header holds what that of the acquired slice does, but for overlays and comments; positions,
    pixel spacing and thickness are the finer grid's.

    Args:
        volume: on the grid `Geometry.subdivide` of the scan that was read from `source`.
        source: the series it was made of.
        factor: slices for each of the source's; 1 where pixels alone were made finer.
        derivation: what made the voxels.
        codecs: for reading the source.
    """

    how = "voxels made finer by"

    def __init__(
        self,
        volume: Volume,
        source: Series,
        factor: int,
        derivation: Derivation,
        codecs: Codecs,
    ):
        self.factor = factor
        self.what = (
            "Voxels made finer along all axes"
            if factor > 1
            else "Pixels made finer, slices as they were"
        )
        count = volume.shape[STACKING_AXIS]
        positions = (np.arange(count) + 0.5) / factor - 0.5
        super().__init__(volume, source, positions, np.ones(count, bool), derivation, codecs)

    def neighbours(self, k: int) -> tuple[int, ...]:
        """The acquired slice that slice `k` lies in."""
        return (k // self.factor,)

    def kept(self, headers: list[Dataset]) -> Dataset:
        """All that holds of another image of the same place."""
        (own,) = headers
        return common_header(own, own)

    def _place(
        self, header: Dataset, k: int, sources: tuple[int, ...], headers: list[Dataset]
    ) -> None:
        def written(value: float) -> DSfloat:
            return DSfloat(float(value), auto_format=True)

        across, down, distance = self.volume.spacing
        header.PixelSpacing = [written(down), written(across)]
        header.SpacingBetweenSlices = written(distance)
        thickness = numbers(header, "SliceThickness")
        if thickness:
            header.SliceThickness = written(thickness[0] / self.factor)
        (own,), (frame,) = headers, (self.source.frames[source] for source in sources)
        corner = LPS_TO_RAS @ self.volume.geometry.affine @ (0, 0, k, 1)
        header.ImagePositionPatient = [written(x) for x in corner[:3]]
        normal = np.cross(*frame.orientation)
        there = numbers(own, "SliceLocation") or [float(frame.position @ normal)]
        header.SliceLocation = written(there[0] + (corner[:3] - frame.position) @ normal)
