"""Where the voxels of a volume lie in the patient: shape and RAS affine, in mm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import nibabel as nib
import numpy as np

from medgen.errors import GeometryError

AXES = (0, 1, 2)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # DICOM and ITK count left and posterior


@dataclass(frozen=True, eq=False)
class Geometry:
    """Grid of a volume: `shape` in voxels and `affine` from voxel indices to RAS mm.

    The affine maps the *centre* of voxel `(i, j, k)` to millimetres right, anterior and superior,
    as in NIfTI. Two geometries are equal when their shapes are and all corners lie within 1e-3 mm,
    or 1 % of a voxel's shortest side where that is less.

    Args:
        shape: three positive ints `(i, j, k)`.
        affine: `(4, 4)`, last row `0 0 0 1`, columns of non-zero length in mm, not degenerate.

    Raises:
        GeometryError: the shape is not three positive ints, or the affine cannot be inverted.

    Example:
        >>> grid = Geometry.from_spacing((64, 64, 20), (0.8, 0.8, 5.0))
        >>> grid.slice_axis, grid.orientation
        (2, 'RAS')
        >>> grid.refine(2, 2).shape, [round(mm, 3) for mm in grid.refine(2, 2).spacing]
        ((64, 64, 39), [0.8, 0.8, 2.5])
    """

    shape: tuple[int, int, int]
    affine: np.ndarray = field(repr=False)

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise GeometryError(
                f"A volume has three axes of at least one voxel, got shape {shape}."
            )
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError("The affine must be 4x4 with finite numbers; mend the header.")
        if not np.allclose(affine[3], (0, 0, 0, 1)):
            raise GeometryError(f"The affine's last row must be 0 0 0 1, got {affine[3].tolist()}.")
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if lengths.min() <= 0 or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-3:
            raise GeometryError(
                "The affine has an axis of zero length or parallel axes, so voxels have no place "
                "in the patient; set spacing and orientation in the header first."
            )
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @classmethod
    def from_spacing(
        cls,
        shape: tuple[int, int, int],
        spacing: Sequence[float],
        origin: Sequence[float] = (0.0, 0.0, 0.0),
    ) -> Geometry:
        """Axis-aligned RAS geometry with `spacing` and `origin` (centre of voxel 0, 0, 0) in mm."""
        affine = np.diag([*spacing, 1.0])
        affine[:3, 3] = origin
        return cls(shape, affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along each axis, in mm."""
        i, j, k = (float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))
        return i, j, k

    @property
    def orientation(self) -> str:
        """Nearest anatomical direction in which each axis runs, such as `RAS` or `LPI`."""
        return "".join(nib.aff2axcodes(self.affine))

    @property
    def summary(self) -> str:
        """Voxels and spacing, such as `64 x 64 x 21 voxels of 4 x 4 x 10 mm`."""
        voxels = " x ".join(str(n) for n in self.shape)
        return f"{voxels} voxels of {' x '.join(f'{mm:.4g}' for mm in self.spacing)} mm"

    @property
    def obliquity_deg(self) -> float:
        """Largest angle between a voxel axis and the anatomical axis nearest to it, in degrees."""
        directions = np.abs(self.affine[:3, :3] / self.spacing)
        return float(np.degrees(np.arccos(np.clip(directions.max(axis=0).min(), -1, 1))))

    @property
    def is_sheared(self) -> bool:
        """Whether two axes meet at more than 0.06 degrees off a right angle (tilted gantry)."""
        directions = self.affine[:3, :3] / self.spacing
        return bool(np.abs(directions.T @ directions - np.eye(3)).max() > 1e-3)

    @property
    def slice_axis(self) -> int:
        """Axis along which slices are stacked: the coarsest, the last one among equals (1 %)."""
        spacing = np.asarray(self.spacing)
        return int(np.flatnonzero(spacing >= spacing.max() * 0.99)[-1])

    def centers(self, axis: int) -> np.ndarray:
        """RAS positions `(n, 3)` in mm of the first voxel of every slice along `axis`."""
        steps = np.arange(self.shape[axis])[:, None]
        return self.affine[:3, 3] + steps * self.affine[:3, axis]

    def resliced(self, axis: int, shape: int, spacing_mm: float) -> Geometry:
        """Same first slice and directions, with `shape` slices `spacing_mm` apart along `axis`."""
        affine = np.array(self.affine)
        affine[:3, axis] *= spacing_mm / self.spacing[axis]
        sizes = list(self.shape)
        sizes[axis] = shape
        i, j, k = sizes
        return Geometry((i, j, k), affine)

    def refine(self, axis: int, factor: int) -> Geometry:
        """Insert `factor - 1` positions between neighbouring slices.

        First and last centres stay where they are: `n' = (n - 1) * factor + 1`.

        Raises:
            GeometryError: `factor` is below 2, or the axis has fewer than 2 slices.
        """
        _require_factor(factor)
        self.require_slices(axis)
        return self.resliced(axis, (self.shape[axis] - 1) * factor + 1, self.spacing[axis] / factor)

    def respace(self, axis: int, spacing_mm: float) -> Geometry:
        """Slices `spacing_mm` apart from the first one on, none beyond the last acquired centre.

        Raises:
            GeometryError: `spacing_mm` is not positive and below the present spacing, or the axis
                has fewer than 2 slices.
        """
        self.require_slices(axis)
        old = self.spacing[axis]
        if not 0 < spacing_mm < old:
            raise GeometryError(
                f"The new spacing must be above 0 and below the present {old:.4g} mm along axis "
                f"{axis}, got {spacing_mm:g} mm."
            )
        steps = (self.shape[axis] - 1) * old / spacing_mm
        return self.resliced(axis, int(np.floor(steps + 1e-4)) + 1, spacing_mm)

    def subdivide(self, factor: int, kept: int | None = None) -> Geometry:
        """Split every voxel into `factor` along each axis, all equal, which fill the same space.

        Centres of the first voxels lie `(1/factor - 1)/2` old voxels before the old one along each
        axis, so the affine's origin moves; the corners of the whole grid stay where they are.

        Args:
            factor: int >= 2.
            kept: an axis that stays as it is; None for none.

        Raises:
            GeometryError: `factor` is below 2.
        """
        parts = self.parts_along(factor, kept)
        i, j, k = (n * count for n, count in zip(self.shape, parts, strict=True))
        return Geometry((i, j, k), self._rescaled(1 / np.array(parts)))

    def merge(self, factor: int, kept: int | None = None) -> Geometry:
        """Join every `factor` voxels along each axis to one: the inverse of `subdivide`.

        Raises:
            GeometryError: `factor` is below 2, or an axis is no multiple of it.
        """
        parts = self.parts_along(factor, kept)
        if any(n % count for n, count in zip(self.shape, parts, strict=True)):
            raise GeometryError(
                f"Joining {factor} voxels to one needs axes that are multiples of {factor}, got "
                f"shape {self.shape}; cut off what is beyond."
            )
        i, j, k = (n // count for n, count in zip(self.shape, parts, strict=True))
        return Geometry((i, j, k), self._rescaled(np.array(parts)))

    @staticmethod
    def parts_along(factor: int, kept: int | None = None) -> tuple[int, int, int]:
        """Into how many parts `subdivide` splits voxels along each axis; 1 along the one kept."""
        _require_factor(factor)
        i, j, k = (1 if axis == kept else factor for axis in AXES)
        return i, j, k

    def _rescaled(self, sizes: np.ndarray) -> np.ndarray:
        """The affine of voxels `sizes` times as long whose grid begins at the same corner."""
        affine = np.array(self.affine)
        affine[:3, 3] += affine[:3, :3] @ ((sizes - 1) / 2)
        affine[:3, :3] *= sizes
        return affine

    def require_slices(self, axis: int) -> None:
        """Raise `GeometryError` unless `axis` exists and has two slices to interpolate between."""
        if axis not in AXES:
            raise GeometryError(f"The slice axis must be 0, 1 or 2, got {axis}.")
        if self.shape[axis] < 2:
            raise GeometryError(
                f"Interpolation needs at least 2 slices, but axis {axis} of shape {self.shape} has "
                f"{self.shape[axis]}; choose another axis with --slice-axis."
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Geometry) and self.shape == other.shape and self.close_to(other)

    def close_to(
        self, other: Geometry, tolerance_mm: float = 1e-3, tolerance_voxels: float = 0.01
    ) -> bool:
        """Whether every corner of this grid is near to the same one of `other`.

        Args:
            other: of the same shape.
            tolerance_mm: how far apart they may be.
            tolerance_voxels: likewise, in units of a voxel's shortest side.
        """
        tolerated = min(tolerance_mm, tolerance_voxels * min(self.spacing))
        return self.distance_mm(other.affine) <= tolerated

    def distance_mm(self, affine: np.ndarray) -> float:
        """How far `affine` moves a corner of this grid at most, in mm."""
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij"))
        corners = np.vstack([corners.reshape(3, -1), np.ones(8)])
        return float(np.linalg.norm(((self.affine - affine) @ corners)[:3], axis=0).max())


def _require_factor(factor: int) -> None:
    if factor < 2:
        raise GeometryError(f"The factor must be at least 2, got {factor}.")
