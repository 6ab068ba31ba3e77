"""A scan as a value: stored voxels, their scaling to physical units, and their place in mm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from medgen.errors import GeometryError
from medgen.intensities.modality import MODALITIES, Modality
from medgen.volumes.geometry import Geometry


@dataclass(frozen=True, eq=False)
class Volume:
    """One three-dimensional scan.

    The array holds the numbers as the file stores them, so that an acquired slice can leave medgen
    exactly as it came; `physical` gives HU (CT) or the scanner's units (MR).

    Args:
        array: `(i, j, k)`, any real dtype in native byte order; made read-only.
        geometry: the grid, of the same shape.
        slope: physical units per stored unit, not 0.
        intercept: physical value of a stored 0.
        modality: a name in `intensities.modality.MODALITIES`.
        metadata: what a reader knew beyond that; keys are documented in `medgen.volumes`.

    Raises:
        GeometryError: the array and the geometry have different shapes.
    """

    array: np.ndarray = field(repr=False)
    geometry: Geometry
    slope: float = 1.0
    intercept: float = 0.0
    modality: str = "unknown"
    metadata: Mapping[str, object] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        array = np.asarray(self.array)
        if array.shape != self.geometry.shape:
            raise GeometryError(
                f"The array's shape {array.shape} must be the geometry's {self.geometry.shape}."
            )
        if self.modality not in MODALITIES:
            raise ValueError(f"modality must be one of {tuple(MODALITIES)}, got {self.modality!r}")
        if not self.slope or not np.isfinite([self.slope, self.intercept]).all():
            raise ValueError(
                f"slope must not be 0 and both must be finite, got {self.slope}, {self.intercept}"
            )
        array = array.view()
        array.setflags(write=False)
        object.__setattr__(self, "array", array)
        object.__setattr__(self, "slope", float(self.slope))
        object.__setattr__(self, "intercept", float(self.intercept))
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))

    @property
    def kind(self) -> Modality:
        """What there is to know of its modality."""
        return MODALITIES[self.modality]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each axis."""
        return self.geometry.shape

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Spacing in mm along each axis."""
        return self.geometry.spacing

    @property
    def is_scaled(self) -> bool:
        """Whether stored and physical values differ."""
        return (self.slope, self.intercept) != (1.0, 0.0)

    def physical(self) -> np.ndarray:
        """Voxel values in physical units, float32 `(i, j, k)`."""
        values = np.empty_like(self.array, np.float32)
        for k in range(self.shape[2]):  # through float64, but not all of it at once
            values[..., k] = self.physical_of(self.array[..., k])
        return values

    def physical_of(self, stored: np.ndarray) -> np.ndarray:
        """Physical units, float32, of values of any shape that are stored as this volume's are."""
        if not self.is_scaled:
            return stored.astype(np.float32)
        return (stored * np.float64(self.slope) + self.intercept).astype(np.float32)

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Bring physical `values` of any shape to this volume's stored dtype.

        Integers are rounded to the nearest and limited to the range of the dtype.
        """
        values = np.asarray(values, np.float64)
        if self.is_scaled:
            values = (values - self.intercept) / self.slope
        if np.issubdtype(self.array.dtype, np.integer):
            limits = np.iinfo(self.array.dtype)
            values = np.clip(np.rint(values), limits.min, limits.max)
        return values.astype(self.array.dtype)

    def with_array(self, array: np.ndarray, geometry: Geometry) -> Volume:
        """The same scan with other stored voxels on another grid."""
        return replace(self, array=array, geometry=geometry)
