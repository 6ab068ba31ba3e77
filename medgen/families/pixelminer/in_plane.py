"""Rows missing within each slice, instead of slices: the same models, turned by an axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from medgen.errors import BundleError
from medgen.interpolation.contract import AUTO, Around, Filling, Progress
from medgen.volumes.geometry import Geometry
from medgen.volumes.volume import Volume


@dataclass(frozen=True, eq=False)
class InPlaneInterpolator(Around):
    """Writes missing rows of every slice, each slice by itself, with a model trained to do so.

    Given an axis within the slices, a scan is a stack of planes that cut across all its slices. In
    such a plane each slice is a line of pixels, which the model writes given the same slice's lines
    before and after; lines of other slices do not count, so that a single slice is enough.

    Args:
        interpolator: of a bundle whose recipe is `in_plane`.

    Raises:
        BundleError: a temperature to be matched, for which lines show too little.
    """

    def __post_init__(self) -> None:
        if self.interpolator.temperature == AUTO:
            raise BundleError(
                f"{self.name} writes single rows, whose noise cannot be matched; give the "
                "temperature as a number."
            )

    def fill(
        self,
        stack: Volume,
        positions: np.ndarray,
        progress: Progress,
        *,
        samples: int = 1,
        uncertainty: bool = False,
    ) -> Iterator[Filling]:
        """Yield what belongs at each of `positions`; see `Interpolator.fill`."""
        fill = partial(self.interpolator.fill, samples=samples, uncertainty=uncertainty)
        if through_axis(stack) == 1:
            yield from fill(stack, positions, progress)
            return
        for filling in fill(_transposed(stack), positions, progress):
            maps = filling.uncertainty
            yield Filling(
                filling.images.swapaxes(1, 2),
                None if maps is None else {name: map_.T for name, map_ in maps.items()},
            )


def through_axis(stack: Volume) -> int:
    """Which axis of a plane, 1 or 2, runs through the slices: a single pixel, or the coarser one.

    The last one if both are alike.
    """
    for axis in (2, 1):
        if stack.shape[axis] == 1:
            return axis
    return 1 if stack.spacing[1] > stack.spacing[2] else 2


def _transposed(stack: Volume) -> Volume:
    array = np.ascontiguousarray(stack.array.swapaxes(1, 2))
    geometry = Geometry(array.shape, stack.geometry.affine[:, [0, 2, 1, 3]])
    return Volume(array, geometry, modality=stack.modality, metadata=stack.metadata)
