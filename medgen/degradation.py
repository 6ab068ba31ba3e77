"""What a coarser scanner would have made of a scan: the model that super-resolution inverts.

The low-resolution grid is `Geometry.merge` of the fine one: a coarse voxel fills the space of its
`factor`³ fine ones, so that no image is shifted against another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from medgen.errors import GeometryError

if TYPE_CHECKING:
    import numpy as np

    from medgen.volumes import Geometry, Volume

# How values of fine voxels make that of a coarse one (see `coarsened`), and how many coarse voxels
# around it count; of the tails of a sinc, which have no end, those above a fifteenth.
REACH = {"mean": 0, "gaussian": 1, "kspace": 5}
DEGRADATIONS = tuple(REACH)
# A Gaussian's full width at half maximum, in standard deviations.
FWHM = 2 * math.sqrt(2 * math.log(2))


def profile(by: str, factor: int) -> np.ndarray:
    """Weights, along one axis, of the fine voxels around the centre of a coarse one.

    `mean`: the `factor` voxels that it consists of, alike. `gaussian`: a point spread as wide at
    half its height as the coarse voxel, sampled at the coarse centres; it takes in one coarse voxel
    more on either side (3.5 standard deviations).

    Args:
        by: `mean` or `gaussian`.
        factor: fine voxels for each coarse one.

    Returns:
        `(factor + 2 m,)`, symmetric, summing to 1; `m` of them lie before and behind the voxel.
    """
    import numpy as np  # here, as commands that list `DEGRADATIONS` in their help need none

    if by == "mean":
        return np.full(factor, 1 / factor)
    distance = np.arange(3 * factor) - (3 * factor - 1) / 2
    weights = np.exp(-((distance * FWHM / factor) ** 2) / 2)
    return weights / weights.sum()


def coarsened(
    values: np.ndarray, factor: int, by: str = "mean", axes: Sequence[int] = (0, 1, 2)
) -> np.ndarray:
    """Values on the coarse grid, of the same dtype.

    By `mean` and `gaussian` see `profile`; beyond the ends the last voxel repeats. `kspace` keeps
    the middle of the spectrum, as a scanner does that measures less of it: a `factor`th along each
    axis. Voxels behind the last whole coarse one are left out.

    Args:
        values: floating point, on the fine grid.
        factor: fine voxels for each coarse one along each of `axes`.
        by: one of `DEGRADATIONS`.
        axes: those made coarser.
    """
    import numpy as np

    for axis in axes:
        fine = np.moveaxis(values, axis, 0)
        fine = fine[: len(fine) // factor * factor]
        coarse = _low_pass(fine, factor) if by == "kspace" else _weighed(fine, factor, by)
        values = np.moveaxis(coarse, 0, axis)
    return np.ascontiguousarray(values)


def _weighed(fine: np.ndarray, factor: int, by: str) -> np.ndarray:
    """Coarse voxels along the first axis, by `profile`."""
    import numpy as np

    weights = profile(by, factor).astype(fine.dtype)
    beyond = (len(weights) - factor) // 2
    last = len(fine) - factor + 1
    fine = np.pad(fine, [(beyond, beyond), *[(0, 0)] * (fine.ndim - 1)], mode="edge")
    taps = (fine[t : t + last : factor] for t in range(len(weights)))
    return np.asarray(sum(weight * tap for weight, tap in zip(weights, taps, strict=True)))


def _low_pass(fine: np.ndarray, factor: int) -> np.ndarray:
    """Coarse voxels along the first axis, of the lowest frequencies.

    Of a scan mirrored at its ends, whose spectrum the cosine transform is: the Fourier transform
    would join the last slice to the first, and ring where they meet. With `N` voxels its wave
    `k` is `cos(pi k (x + 1/2) / N)`, half a voxel off the corner of the grid, so that the same
    waves on `N / factor` voxels lie where `Geometry.merge` puts these.
    """
    from scipy.fft import dct, idct

    count = len(fine) // factor
    spectrum = dct(fine, axis=0, norm="forward")
    coarse: np.ndarray = idct(spectrum[:count], axis=0, norm="forward")
    return coarse


def whole_voxels(
    geometry: Geometry, factor: int, kept: int | None = None
) -> tuple[slice, slice, slice]:
    """The part of a fine grid that whole coarse voxels fill, from its first voxel on.

    Args:
        geometry: of the fine grid.
        factor: fine voxels for each coarse one.
        kept: an axis that stays as it is; None for none.

    Raises:
        GeometryError: another axis has fewer than two of them.
    """
    parts = geometry.parts_along(factor, kept)
    i, j, k = (n // count * count for n, count in zip(geometry.shape, parts, strict=True))
    if any(n < 2 * count for n, count in zip((i, j, k), parts, strict=True) if count > 1):
        raise GeometryError(
            f"Making voxels {factor} times as long needs {2 * factor} of them along each axis, got "
            f"{' x '.join(map(str, geometry.shape))}; choose a smaller factor."
        )
    return slice(i), slice(j), slice(k)


def degrade(volume: Volume, factor: int, by: str = "mean", kept: int | None = None) -> Volume:
    """The scan with voxels `factor` times as long along each axis.

    Args:
        volume: of one channel, all voxels finite, without padding.
        factor: int >= 2.
        by: one of `DEGRADATIONS`.
        kept: an axis that stays as it is; None for none.

    Returns:
        Volume in physical units, floating point, on the grid `Geometry.merge` of `whole_voxels`.

    Raises:
        GeometryError: see `whole_voxels`, or there are several channels.
    """
    volume.require_one_channel("Making voxels coarser")
    part = whole_voxels(volume.geometry, factor, kept)
    i, j, k = (span.stop for span in part)
    axes = [axis for axis in range(3) if axis != kept]
    return replace(
        volume,
        array=coarsened(volume.to_physical()[part], factor, by, axes),
        geometry=replace(volume.geometry, shape=(i, j, k)).merge(factor, kept),
        slope=1.0,
        intercept=0.0,
    )
