"""Classical methods at the centres of finer voxels: nearest, linear, B-spline and Lanczos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from medgen.interpolation.classical import PIXELS
from medgen.interpolation.contract import Progress
from medgen.superresolution.contract import Part, SuperResolver
from medgen.volumes.volume import Volume

LANCZOS_RADIUS = 5
# Coarse slices made finer at a time.
SLICES = 4


@dataclass(frozen=True)
class ItkResolver(SuperResolver):
    """One of ITK's interpolators, evaluated at the centres of the parts of every voxel.

    The image handed to ITK has voxel indices for coordinates, so resampling there equals resampling
    between the oblique grids in mm: part `u` of voxel `i` lies at `i + (u + 1/2) / factor - 1/2`.
    Beyond the outermost centres, where half a voxel of the scan is left, the nearest value within
    goes on.

    Args:
        name: how users call it.
        code: SimpleITK's constant.
        spline_order: degree of a B-spline whose coefficients `code` takes, 0 where it takes voxels.
    """

    name: str
    code: int
    spline_order: int = 0
    copies: int = 6  # in float64 with coefficients

    def refine(
        self,
        stack: Volume,
        factor: int,
        progress: Progress,
        *,
        in_plane: bool = False,
        uncertainty: bool = False,
    ) -> Iterator[Part]:
        """See `SuperResolver.refine`."""
        self.require(factor, in_plane=in_plane, uncertainty=uncertainty)
        count, *rest = stack.shape
        deep = 1 if in_plane else factor
        beyond = SLICES if self.spline_order else 1
        # So that ITK has something on all sides of every wanted place; and its splines need rows
        # of three voxels or more.
        voxels = np.pad(stack.array, beyond, mode="edge")
        image = sitk.GetImageFromArray(voxels)
        if self.spline_order:
            image = sitk.BSplineDecomposition(
                sitk.GetImageFromArray(voxels.astype(np.float64)), self.spline_order
            )
        first, top = ((1 / parts - 1) / 2 + beyond for parts in (factor, deep))
        rows, cols = (n * factor for n in rest)
        for start in range(0, count, SLICES):
            stop = min(start + SLICES, count)
            made = sitk.Resample(
                image,
                size=(cols, rows, (stop - start) * deep),  # type: ignore[arg-type]  # says int
                interpolator=self.code,
                outputOrigin=(first, first, top + start),
                outputSpacing=(1 / factor, 1 / factor, 1 / deep),
                outputPixelType=PIXELS[stack.array.dtype.name],
            )
            progress(stop, count)
            box = (slice(start, stop), slice(0, rest[0]), slice(0, rest[1]))
            yield Part(box, sitk.GetArrayFromImage(made))


@dataclass(frozen=True)
class Lanczos(SuperResolver):
    """Sinc under a Lanczos window of radius 5, along each axis in turn.

    Taps `k` at distance `d = k - position` weigh `sinc(d) sinc(d / 5)`, as in ITK's windowed sinc,
    whose product of the three axes takes a thousand taps a voxel. Other than there the weights of
    an axis are divided by their sum: a constant scan stays constant.
    """

    name: str = "lanczos"

    def refine(
        self,
        stack: Volume,
        factor: int,
        progress: Progress,
        *,
        in_plane: bool = False,
        uncertainty: bool = False,
    ) -> Iterator[Part]:
        """See `SuperResolver.refine`."""
        self.require(factor, in_plane=in_plane, uncertainty=uncertainty)
        weights = lanczos_weights(factor).astype(stack.array.dtype)
        count, rows, cols = stack.shape
        beyond = 0 if in_plane else LANCZOS_RADIUS
        padded = np.pad(stack.array, [(beyond, beyond), (0, 0), (0, 0)], mode="edge")
        for start in range(0, count, SLICES):
            stop = min(start + SLICES, count)
            values = padded[start : stop + 2 * beyond]
            for axis in (1, 2) if in_plane else (0, 1, 2):
                ends = [(LANCZOS_RADIUS * (axis == other and axis > 0),) * 2 for other in range(3)]
                values = _finer_along(np.pad(values, ends, mode="edge"), axis, weights)
            progress(stop, count)
            yield Part((slice(start, stop), slice(0, rows), slice(0, cols)), values)


def lanczos_weights(factor: int) -> np.ndarray:
    """Weights `(factor, 11)` of voxels -5 ... 5 for each part of voxel 0."""
    positions = (np.arange(factor)[:, None] + 0.5) / factor - 0.5
    distance = np.arange(-LANCZOS_RADIUS, LANCZOS_RADIUS + 1) - positions
    near = np.abs(distance) < LANCZOS_RADIUS
    weights = np.sinc(distance) * np.sinc(distance / LANCZOS_RADIUS) * near
    return weights / weights.sum(axis=1, keepdims=True)


def _finer_along(padded: np.ndarray, axis: int, weights: np.ndarray) -> np.ndarray:
    """Every part of every voxel along one axis, which holds as many more as the weights need."""
    factor, taps = weights.shape
    voxels = np.moveaxis(padded, axis, 0)
    count = len(voxels) - taps + 1
    finer = np.empty((count, factor, *voxels.shape[1:]), padded.dtype)
    for part in range(factor):
        finer[:, part] = sum(weights[part, t] * voxels[t : t + count] for t in range(taps))
    return np.moveaxis(finer.reshape(count * factor, *voxels.shape[1:]), 0, axis)


NEAREST = "nearest"
CLASSICAL: dict[str, SuperResolver] = {
    method.name: method
    for method in (
        ItkResolver(NEAREST, sitk.sitkNearestNeighbor),
        ItkResolver("linear", sitk.sitkLinear),
        ItkResolver("bspline", sitk.sitkBSplineResamplerOrder3, spline_order=3),
        Lanczos(),
    )
}
