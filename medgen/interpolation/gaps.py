"""Slices that a scan lacks where the spacing of its others says that there should be one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from medgen.interpolation.contract import Around, Filling, Progress
from medgen.interpolation.plan import SlicePlan
from medgen.volumes.geometry import Geometry
from medgen.volumes.volume import Volume


def plan_gaps(volume: Volume, axis: int) -> tuple[Volume, np.ndarray, SlicePlan]:
    """Plan for a scan that was read with `gaps`: its missing slices are synthetic, no others.

    Args:
        volume: with `metadata["missing_slices"]`.
        axis: the slice axis.

    Returns:
        acquired: the slices there are, for `insert`; the places its geometry tells are those
            of a scan without the missing ones.
        places: int, of every acquired slice on the grid of `volume`.
        plan: on that grid.
    """
    slices = np.arange(volume.shape[axis])
    places = np.delete(slices, list(volume.metadata["missing_slices"]))
    geometry = volume.geometry.resliced(axis, len(places), volume.spacing[axis])
    acquired = volume.with_array(np.take(volume.array, places, axis), geometry)
    positions = np.interp(slices, places, np.arange(len(places)))
    return acquired, places, SlicePlan(axis, volume.geometry, positions)


@dataclass(frozen=True, eq=False)
class AcrossGaps(Around):
    """Fills in among acquired slices that are not all equally far apart.

    A gap of `w` spacings is shown to the interpolator within as one between neighbours in a stack
    of every `w`-th slice, so that a model is told its true width. Where another slice of that stack
    is missing as well, the nearest acquired one stands in for it, as mere context.

    Args:
        interpolator: for slices that are equally far apart.
        places: int `(n,)` ascending, of every acquired slice on the regular grid.
    """

    places: np.ndarray

    @property
    def bytes_per_voxel(self) -> int:
        """Those of the interpolator within, the copy it is shown, and the scan with its gaps."""
        return self.interpolator.bytes_per_voxel + 8

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
        filled: dict[int, Filling] = {}
        done = 0
        for among, wanted, which in self.stacks(stack, positions):

            def told(n: int, _: int, before: int = done + len(filled)) -> None:
                progress(before + n, len(positions))

            fillings = self.interpolator.fill(
                among,
                wanted,
                told,
                samples=samples,
                uncertainty=uncertainty,
            )
            for index, filling in zip(which, fillings, strict=True):
                # Models may write the next slice where this one is.
                filled[index] = replace(filling, images=filling.images.copy())
                while done in filled:
                    yield filled.pop(done)
                    done += 1

    def stacks(
        self, stack: Volume, positions: np.ndarray
    ) -> Iterator[tuple[Volume, np.ndarray, np.ndarray]]:
        """Yield gaps of one width that lie whole widths apart, until all have come.

        Args:
            stack: the acquired slices, see `Interpolator.fill`.
            positions: of the missing slices, in units of acquired ones.

        Yields:
            stack: equally spaced slices with these gaps between neighbours.
            positions: of their missing slices, in its units.
            which: int, the indices of these among all `positions`.
        """
        before = positions.astype(int)
        targets = np.rint(np.interp(positions, np.arange(len(self.places)), self.places))
        widths = np.diff(self.places)[before]
        starts = self.places[before] % widths
        for width, start in sorted(set(zip(widths.tolist(), starts.tolist(), strict=True))):
            which = np.flatnonzero((widths == width) & (starts == start))
            members = np.arange(start, self.places[-1] + 1, width)
            nearest = np.abs(self.places[:, None] - members).argmin(axis=0)
            affine = np.array(stack.geometry.affine)
            affine[:3, 3] += start * affine[:3, 0]
            affine[:3, 0] *= width
            array = stack.array[nearest]
            among = Volume(
                array,
                Geometry(array.shape, affine),
                modality=stack.modality,
                metadata=stack.metadata,
            )
            yield among, (targets[which] - start) / width, which
