"""A scan in, one of finer voxels out, by any `SuperResolver`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from medgen.errors import BundleError, GeometryError, IntensityError
from medgen.intensities.padding import MEASURED
from medgen.interpolation.contract import Progress
from medgen.interpolation.insert import stack_slices
from medgen.superresolution.classical import NEAREST
from medgen.superresolution.contract import UNCERTAINTY, SuperResolver
from medgen.tiling import finer
from medgen.volumes.geometry import Geometry
from medgen.volumes.metadata import Metadata
from medgen.volumes.nifti_fields import in_finer_scan, of_another_quantity
from medgen.volumes.volume import Volume

# Whatever the size of the scan: libraries and what writing takes.
ALWAYS = 2**29


@dataclass(frozen=True, eq=False)
class Refined:
    """A scan of finer voxels.

    Args:
        volume: see `superresolve_volume`.
        uncertainty: by name in `contract.UNCERTAINTY`, float32 on the same grid in physical units;
            empty if not asked for. Where background or padding stays the deviation is 0 and both
            ends of the interval the voxel's value.
    """

    volume: Volume
    uncertainty: Mapping[str, Volume] = field(default_factory=dict)


def superresolve_volume(
    volume: Volume,
    resolver: SuperResolver,
    factor: int,
    *,
    kept: int | None = None,
    uncertainty: bool = False,
    progress: Progress | None = None,
) -> Refined:
    """Make `factor`³ voxels of every one, or `factor`² of its slice, which fill its space.

    Values are rounded to the stored dtype and limited to its range. Where a voxel is padding (see
    `medgen.intensities.padding`), or of a background of one exact value, so are its parts; the
    resolver sees measured values, or air, in the place of padding.

    Args:
        volume: the scan; at least 2 voxels along each axis that is made finer, no NaN or infinite
            one. A label map can only have its voxels split (`nearest`).
        resolver: where the finer voxels come from.
        factor: int >= 2.
        kept: the slice axis, where slices stay as they are and pixels alone are made finer.
        uncertainty: whether to measure it.
        progress: called with (work done, work in all).

    Returns:
        Volume on the grid `Geometry.subdivide`; stored dtype and scaling kept.

    Raises:
        GeometryError: several channels, or an axis of one voxel that is to be made finer.
        IntensityError: NaN or infinite voxels, in the scan or in what is made of it.
        BundleError: see `SuperResolver.require`; or the scan is a label map, and the resolver makes
            new values.
    """
    _require_suited(volume, resolver, factor, kept, uncertainty)
    grid = volume.geometry.subdivide(factor, kept)
    metadata = _finer_metadata(volume.metadata, 1 if kept is not None else factor)
    if volume.kind.is_categorical:
        array = _repeated(volume.array, Geometry.parts_along(factor, kept))
        return Refined(replace(volume.with_array(array, grid), metadata=metadata))
    axis = volume.geometry.slice_axis if kept is None else kept
    parts = Geometry.parts_along(factor, None if kept is None else 0)
    stack, outside = stack_slices(volume, axis)
    array = np.empty(grid.shape, volume.array.dtype)
    names = UNCERTAINTY if uncertainty else ()
    maps = {name: np.empty(grid.shape, stack.array.dtype) for name in names}
    stored, made = (np.moveaxis(values, axis, 0) for values in (volume.array, array))
    told = progress or (lambda done, total: None)
    options = {"in_plane": kept is not None, "uncertainty": uncertainty}
    for part in resolver.refine(stack, factor, told, **options):
        if not np.isfinite(part.values).all():
            raise IntensityError(f"{resolver.name} gave NaN or infinite values; use another model.")
        place = finer(part.box, parts)
        held = _repeated(outside.kinds[part.box] != MEASURED, parts)
        split = _repeated(stored[part.box], parts)
        made[place] = np.where(held, split, volume.to_stored(part.values))
        for name, values in (part.uncertainty or {}).items():
            certain = 0.0 if name == "std" else volume.to_physical(split)
            np.moveaxis(maps[name], axis, 0)[place] = np.where(held, certain, values)
    of_map = replace(
        volume, slope=1.0, intercept=0.0, metadata=of_another_quantity(volume.metadata)
    )
    return Refined(
        replace(volume.with_array(array, grid), metadata=metadata),
        {name: of_map.with_array(values, grid) for name, values in maps.items()},
    )


def bytes_needed(
    volume: Volume,
    resolver: SuperResolver,
    factor: int,
    *,
    kept: int | None = None,
    uncertainty: bool = False,
    writing_bytes: int = 0,
) -> int:
    """Upper bound of the memory for a finer scan of a volume that is in memory already.

    Args:
        volume: the scan.
        resolver: what makes it finer.
        factor: see `superresolve_volume`, as for `kept`.
        kept: likewise.
        uncertainty: likewise.
        writing_bytes: for each finer voxel while it is written.
    """
    voxels = int(np.prod(volume.shape))
    value = volume.physical_dtype.itemsize
    of_finer = volume.array.itemsize + len(UNCERTAINTY) * value * uncertainty + writing_bytes
    coarse = value * (2 + resolver.copies) + 1
    parts = math.prod(Geometry.parts_along(factor, kept))
    axis = volume.geometry.slice_axis if kept is None else kept
    rows, cols = (n for other, n in enumerate(volume.shape) if other != axis)
    return voxels * (coarse + of_finer * parts) + resolver.bytes_needed(rows, cols) + ALWAYS


def _require_suited(
    volume: Volume, resolver: SuperResolver, factor: int, kept: int | None, uncertainty: bool
) -> None:
    volume.require_one_channel("Making voxels finer")
    resolver.require(factor, in_plane=kept is not None, uncertainty=uncertainty)
    if volume.kind.is_categorical and resolver.name != NEAREST:
        raise BundleError(
            f"{resolver.name} makes new values, but the scan is a label map: "
            f"{volume.guess.words}; use --model {NEAREST}, or say with --modality what else it is."
        )
    if min(n for axis, n in enumerate(volume.shape) if axis != kept) < 2:
        raise GeometryError(
            f"Making voxels finer needs at least 2 along each axis, got shape {volume.shape}; "
            "--in-plane leaves the axis of the slices as it is."
        )


def _finer_metadata(metadata: Metadata, factor: int) -> Metadata:
    kept, _ = in_finer_scan(metadata, None)
    if "slice_thickness_mm" in kept:
        kept["slice_thickness_mm"] /= factor
    return kept


def _repeated(values: np.ndarray, parts: Sequence[int]) -> np.ndarray:
    for axis, count in enumerate(parts):
        values = np.repeat(values, count, axis)
    return values
