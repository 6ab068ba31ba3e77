"""A scan as a value: stored voxels, their scaling to physical units, and their place in mm."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np

from medgen.errors import GeometryError
from medgen.intensities.guess import UNTOLD, Guess
from medgen.intensities.modality import MODALITIES, Modality
from medgen.volumes.geometry import Geometry
from medgen.volumes.metadata import Metadata


@dataclass(frozen=True, eq=False)
class Volume:
    """One three-dimensional scan, of one value a voxel or of several.

    The array holds the numbers as the file stores them, so that an acquired slice can leave medgen
    exactly as it came; `to_physical` gives HU (CT) or the scanner's units (MR).

    Args:
        array: `(i, j, k)`, or `(i, j, k, c)` with `channels`; any real dtype in native byte order;
            made read-only.
        geometry: the grid, of shape `(i, j, k)`.
        slope: physical units per stored unit, not 0.
        intercept: physical value of a stored 0.
        modality: a name in `intensities.modality.MODALITIES`.
        metadata: what a reader knew beyond that.
        channels: what the values of a voxel are, such as `red`, `green`, `blue` or `water`, `fat`;
            empty where there is but one. Scale and modality are the same for all.

    Raises:
        GeometryError: the array has another shape than geometry and channels.

    Example:
        >>> import numpy as np
        >>> geometry = Geometry.from_spacing((4, 3, 2), (1.0, 1.0, 5.0))
        >>> scan = Volume(np.zeros((4, 3, 2), np.int16), geometry, intercept=-1024.0, modality="ct")
        >>> float(scan.to_physical().min()), scan.shape, scan.spacing
        (-1024.0, (4, 3, 2), (1.0, 1.0, 5.0))
    """

    array: np.ndarray = field(repr=False)
    geometry: Geometry
    slope: float = 1.0
    intercept: float = 0.0
    modality: str = "unknown"
    metadata: Metadata = field(default_factory=Metadata, repr=False)
    channels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        array = np.asarray(self.array)
        expected = (*self.geometry.shape, *([len(self.channels)] if self.channels else []))
        if array.shape != expected:
            raise GeometryError(
                f"The array's shape {array.shape} must be the geometry's {self.geometry.shape}"
                f"{f' and {len(self.channels)} channels' if self.channels else ''}."
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
    def guess(self) -> Guess:
        """Why it is of that modality."""
        return self.metadata.get("modality_guess", UNTOLD)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user on what is odd about the scan."""
        doubt = () if self.guess is UNTOLD or not self.guess.note else (self.guess.note,)
        return (*self.metadata.get("notes", ()), *doubt)

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

    @cached_property
    def physical_dtype(self) -> np.dtype:
        """float32 where it brings back every stored voxel, else float64.

        float32 has 24 binary digits: too few for integers beyond 2^24, for an intercept thousands
        of times the range of the values, and for most numbers in float64.
        """
        return np.dtype(np.float32 if self._survives(np.dtype(np.float32)) else np.float64)

    @cached_property
    def is_exact(self) -> bool:
        """Whether float64 brings back every stored voxel: integers beyond 2^53 it does not."""
        return self.array.dtype.kind == "f" or self._survives(np.dtype(np.float64))

    def _survives(self, dtype: np.dtype) -> bool:
        """Whether every stored voxel comes back from physical units in `dtype`."""
        own = self.array.dtype
        # Of 64-bit integers numpy says that float64 holds them.
        if not self.is_scaled and own.name not in ("int64", "uint64") and np.can_cast(own, dtype):
            return True
        slices: Iterable[np.ndarray] = np.moveaxis(self.array, 2, 0)
        if own.kind in "iu" and own.itemsize <= 2:
            slices = [np.arange(int(self.array.min()), int(self.array.max()) + 1)]
        return all(
            np.array_equal(self.to_stored(self._physical(image, dtype)), image, equal_nan=True)
            for image in slices
        )

    def to_physical(self, stored: np.ndarray | None = None) -> np.ndarray:
        """Values in physical units, `physical_dtype`.

        Args:
            stored: of any shape, stored as this volume's are; by default all its voxels.
        """
        if stored is not None:
            return self._physical(stored, self.physical_dtype)
        values = np.empty_like(self.array, self.physical_dtype)
        for k in range(self.shape[2]):  # through float64, but not all of it at once
            values[:, :, k] = self.to_physical(self.array[:, :, k])
        return values

    def _physical(self, stored: np.ndarray, dtype: np.dtype) -> np.ndarray:
        with np.errstate(over="ignore"):
            if not self.is_scaled:
                return stored.astype(dtype)
            return (stored * np.float64(self.slope) + self.intercept).astype(dtype)

    def to_stored(self, values: np.ndarray) -> np.ndarray:
        """Bring physical `values` of any shape to this volume's stored dtype.

        Integers are rounded to the nearest; all are limited to the finite range of the dtype.
        """
        values, dtype = np.asarray(values, np.float64), self.array.dtype
        if self.is_scaled:
            values = (values - self.intercept) / self.slope
        if dtype.kind == "f":
            return np.clip(values, np.finfo(dtype).min, np.finfo(dtype).max).astype(dtype)
        if dtype.kind == "b":
            return values.astype(dtype)
        limits, values = np.iinfo(dtype), np.rint(values)
        # The largest 64-bit integers lie between two floats: up to the lower one they convert.
        highest = np.nextafter(float(limits.max) + 1, 0)
        whole = np.clip(values, limits.min, highest).astype(dtype)
        return np.where(values > highest, dtype.type(limits.max), whole)

    def split_channels(self) -> tuple[Volume, ...]:
        """The scan as one volume for each channel; itself where there is but one."""
        if not self.channels:
            return (self,)
        return tuple(
            replace(self, array=self.array[..., c], channels=()) for c in range(len(self.channels))
        )

    def require_one_channel(self, what: str) -> None:
        """Raise `GeometryError` if there are several channels, which `what` does not take."""
        if self.channels:
            raise GeometryError(
                f"{what} takes one value a voxel and the scan has {len(self.channels)} "
                f"({', '.join(self.channels)}); give its channels one by one (split_channels)."
            )

    def with_array(self, array: np.ndarray, geometry: Geometry) -> Volume:
        """The same scan with other stored voxels on another grid."""
        return replace(self, array=array, geometry=geometry)


def joined_channels(volumes: Sequence[Volume], channels: tuple[str, ...]) -> Volume:
    """The reverse of `split_channels`, from volumes on one grid that are stored alike.

    Example:
        >>> import numpy as np
        >>> geometry = Geometry.from_spacing((4, 3, 2), (1.0, 1.0, 5.0))
        >>> water, fat = (Volume(np.full((4, 3, 2), value), geometry) for value in (1.0, 2.0))
        >>> both = joined_channels([water, fat], ("water", "fat"))
        >>> both.array.shape, both.channels, both.array[0, 0, 0].tolist()
        ((4, 3, 2, 2), ('water', 'fat'), [1.0, 2.0])
    """
    array = np.stack([volume.array for volume in volumes], axis=-1)
    return replace(volumes[0], array=array, channels=channels)
