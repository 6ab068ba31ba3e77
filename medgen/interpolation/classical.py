"""The methods every scan viewer has: nearest, linear, cubic B-spline and windowed sinc."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from medgen.interpolation.contract import Deterministic, Interpolator, Progress
from medgen.volumes.volume import Volume

SINC_RADIUS = 5
PIXELS = {"float32": sitk.sitkFloat32, "float64": sitk.sitkFloat64}


@dataclass(frozen=True)
class ItkInterpolator(Deterministic):
    """One of ITK's interpolators, evaluated at the positions of the wanted slices.

    The image handed to ITK has voxel indices for coordinates: only the slice axis is interpolated,
    so resampling there equals resampling between the oblique grids in mm, without their rounding.
    Where its support reaches beyond the first or last slice, the B-spline continues mirrored about
    that slice's centre; half-way between two slices, nearest takes the later one.

    Args:
        name: how users call it.
        code: SimpleITK's constant.
        spline_order: degree of a B-spline whose coefficients `code` takes, 0 where it takes voxels.
    """

    name: str
    code: int
    spline_order: int = 0

    @property
    def bytes_per_voxel(self) -> int:
        """Memory for each float32 of the stack: ITK's copy, or float64, that copy, coefficients."""
        return 24 if self.spline_order else 4

    def slices(
        self, stack: Volume, positions: np.ndarray, progress: Progress
    ) -> Iterator[np.ndarray]:
        """Yield the slice at each of `positions`; see `Deterministic`."""
        rows, cols = stack.shape[1:]
        if self.spline_order:
            # ITK would read past the end of rows or columns of 2 voxels; whatever lies beyond the
            # image leaves the spline as it is at the image's own voxels. In float32 the recursive
            # filter loses up to a tenth of a HU.
            beyond = [(0, 0), (0, max(0, 3 - rows)), (0, max(0, 3 - cols))]
            voxels = np.pad(stack.array, beyond, mode="edge").astype(np.float64)
            image = sitk.BSplineDecomposition(sitk.GetImageFromArray(voxels), self.spline_order)
        else:
            image = sitk.GetImageFromArray(stack.array)
        for done, position in enumerate(positions, start=1):
            plane = sitk.Resample(
                image,
                size=(cols, rows, 1),  # type: ignore[arg-type]  # SimpleITK says int
                interpolator=self.code,
                outputOrigin=(0.0, 0.0, float(position)),
                outputPixelType=PIXELS[stack.array.dtype.name],
            )
            progress(done, len(positions))
            yield sitk.GetArrayFromImage(plane)[0]


@dataclass(frozen=True)
class WindowedSinc(Deterministic):
    """Sinc under a cosine window of radius 5: the nearest 10 slices, weighted along the axis.

    Taps `k` at distance `d = k - position` weigh `sinc(d) cos(pi d / 10)`, as in ITK's windowed
    sinc [1] with the window that PixelMiner [2] was compared with; at whole rows and columns the
    three-dimensional product reduces to these. Beyond the ends the first or last slice repeats.
    Other than in ITK, the weights are divided by their sum, which strays from 1 by up to 0.001 (1
    HU in air): a constant scan stays constant.

    References:
        [1] Meijering et al., Quantitative comparison of sinc-approximating kernels for medical
        image interpolation, MICCAI 1999.
        [2] The PixelMiner code, github.com/wrrogers/PixelMiner.
    """

    name: str = "sinc"
    bytes_per_voxel: int = 0

    def slices(
        self, stack: Volume, positions: np.ndarray, progress: Progress
    ) -> Iterator[np.ndarray]:
        """Yield the slice at each of `positions`; see `Deterministic`."""
        last = stack.shape[0] - 1
        for done, position in enumerate(positions, start=1):
            taps = np.arange(1 - SINC_RADIUS, 1 + SINC_RADIUS) + int(position)
            distance = taps - position
            weights = np.sinc(distance) * np.cos(np.pi * distance / (2 * SINC_RADIUS))
            weights /= weights.sum()
            image = np.zeros(stack.shape[1:])
            for weight, tap in zip(weights, np.clip(taps, 0, last), strict=True):
                image += weight * stack.array[tap]
            progress(done, len(positions))
            yield image.astype(stack.array.dtype)


CLASSICAL: dict[str, Interpolator] = {
    method.name: method
    for method in (
        ItkInterpolator("nearest", sitk.sitkNearestNeighbor),
        ItkInterpolator("linear", sitk.sitkLinear),
        ItkInterpolator("bspline", sitk.sitkBSplineResamplerOrder3, spline_order=3),
        WindowedSinc(),
    )
}
