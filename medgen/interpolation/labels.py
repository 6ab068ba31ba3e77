"""Label maps: the slices between two others by the shapes of labels, never by their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from medgen.errors import IntensityError
from medgen.interpolation.contract import Deterministic, Progress
from medgen.volumes.volume import Volume

REACH = (
    4  # voxels from a label, as a mean of both neighbours, to which it may come where neither is
)
TIE = 1e-4  # of a voxel: distances that differ by less are equal
TOUCHING = np.ones((3, 3), bool)  # voxels of one piece meet at sides or corners

Box = tuple[slice, slice]


@dataclass(frozen=True)
class ShapeBased(Deterministic):
    """Shape-based interpolation of label maps after Raya and Udupa [1], for any number of labels.

    In each of the two neighbours every label, the background like any other, has a signed distance
    in mm to its border, positive inside [2]. A slice between them takes, voxel by voxel, the label
    whose distance, interpolated linearly, is the largest; one that neither neighbour has there must
    be near. So labels neither overlap nor leave holes between them, only labels of the two
    neighbours come up, and a voxel to which both neighbours give one label keeps it. Of labels as
    good as each other, the nearer neighbour's wins, half-way the later one's, as in
    nearest-neighbour interpolation.

    A piece of a label that meets nothing of that label in the other neighbour has no distance
    there; it is taken for minus its own half width. The piece tapers off evenly and is gone
    half-way to the other neighbour, which is how far nearest-neighbour interpolation keeps it
    whole. Likewise one that begins. A thin structure that moves by more than its width ends as one
    piece and begins as another: where the two are no further apart than the width of either, that
    one does not taper but stays whole until half-way.

    References:
        [1] Raya and Udupa, Shape-based interpolation of multidimensional objects, IEEE
        Transactions on Medical Imaging 9(1), 1990.
        [2] Maurer, Qi and Raghavan, A linear time algorithm for computing exact Euclidean distance
        transforms of binary images in arbitrary dimensions, IEEE Transactions on Pattern Analysis
        and Machine Intelligence 25(2), 2003.
    """

    name: str = "shape"
    bytes_per_voxel: int = 0
    bytes_per_pixel: int = 60  # of the slices in one gap

    def slices(
        self, stack: Volume, positions: np.ndarray, progress: Progress
    ) -> Iterator[np.ndarray]:
        """Yield the slice at each of `positions`; see `Deterministic`.

        Raises:
            IntensityError: the scan is no label map.
        """
        if not stack.kind.is_categorical:
            raise IntensityError(
                f"{self.name} is for label maps and the scan is {stack.kind.title}; name another "
                "model, or say --modality labels if it is one."
            )
        gaps, done = positions.astype(int), 0
        for gap in np.unique(gaps):
            fractions = positions[gaps == gap] - gap
            for image in between(stack.array[gap : gap + 2], fractions, stack.spacing[1:]):
                done += 1
                progress(done, len(positions))
                yield image


def between(pair: np.ndarray, fractions: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    """Slices of labels between two others; see `ShapeBased`.

    Args:
        pair: `(2, rows, cols)`, any real dtype.
        fractions: `(m,)` of the way from the first to the second, `0 < f < 1`.
        spacing_mm: of rows and of columns.

    Returns:
        `(m, rows, cols)` of the same dtype.
    """
    images = np.repeat(pair[:1], len(fractions), axis=0)
    if np.any(pair[0] != pair[1]):
        labels = np.unique(pair)
        gap = _Gap(np.searchsorted(labels, pair).astype(np.int32), spacing_mm)
        for image, winners in zip(images, gap.winners(fractions), strict=True):
            image[...] = labels[winners]
    return images


class _Gap:
    """Two neighbouring slices, with all that does not depend on a place between them.

    Args:
        numbers: `(2, rows, cols)` int, labels numbered from 0 without a gap.
        spacing_mm: of rows and of columns.
    """

    def __init__(self, numbers: np.ndarray, spacing_mm: tuple[float, float]):
        self.numbers, self.spacing_mm = numbers, spacing_mm
        self.changed = numbers[0] != numbers[1]
        # Of each label, the rows and columns that hold it in either slice.
        self.boxes = [box[1:] for box in ndimage.find_objects(numbers + 1)]
        self.half_width = self._half_width_of_ends()

    def winners(self, fractions: np.ndarray) -> np.ndarray:
        """Number of the label of every voxel, int `(m, rows, cols)`.

        Args:
            fractions: `(m,)` of the way from the first slice to the second.
        """
        winners = np.where(fractions[:, None, None] < 0.5, *self.numbers)
        best = np.full(winners.shape, -np.inf, np.float32)
        voxel = min(self.spacing_mm)
        for label, hull in enumerate(self.boxes):
            box = _grown(hull, REACH, self.changed.shape)
            if not self.changed[box].any():
                continue
            here = self.numbers[:, *box] == label
            first, second = (self._distance(here, side, box) for side in (0, 1))
            for m, fraction in enumerate(fractions.astype(np.float32)):
                value = (1 - fraction) * first + fraction * second
                nearer = self.numbers[int(fraction >= 0.5)][box] == label
                lead = (value - best[m][box]) / voxel
                wins = (lead > TIE) | ((lead >= -TIE) & nearer)
                wins &= self.changed[box] & (here.any(axis=0) | (value > -REACH * voxel))
                winners[m][box][wins] = label
                best[m][box][wins] = value[wins]
        return winners

    def _distance(self, here: np.ndarray, side: int, box: Box) -> np.ndarray:
        """Signed distance in mm to a label in one slice, bounded where pieces of the other end.

        Args:
            here: bool `(2, rows, cols)`, where the label is in both slices, within `box`.
            side: 0 or 1, the slice.
            box: see there.
        """
        distance = _signed_distance(here[side], self.spacing_mm)
        half_width = self.half_width[1 - side][box]
        own = here[1 - side] & np.isfinite(half_width)
        return np.where(own, np.maximum(distance, -half_width), np.minimum(distance, half_width))

    def _half_width_of_ends(self) -> np.ndarray:
        """For voxels of pieces that end in the gap, how far from the edge the innermost voxel is.

        In the other slice, no voxel of the piece counts as further away from its label than that,
        nor as deeper within another. Where a piece goes on as another, each voxel has its own
        distance to the edge instead, so that all of them last until half-way.

        Returns:
            `(2, rows, cols)` float32 mm; infinite elsewhere.
        """
        half_width = np.full(self.numbers.shape, np.inf, np.float32)
        for label, hull in enumerate(self.boxes):
            if not self.changed[hull].any():
                continue
            box = _grown(hull, 1, self.changed.shape)
            inside = self.numbers[:, *box] == label
            pieces = [ndimage.label(here, TOUCHING)[0] for here in inside]
            ends = [
                here & ~np.isin(pieces[side], pieces[side][inside[1 - side]])
                for side, here in enumerate(inside)
            ]
            for side in (0, 1):
                if ends[side].any():
                    widths = self._half_widths(inside[side], pieces[side], ends[1 - side])
                    half_width[side][box][ends[side]] = widths[ends[side]]
        both = np.isfinite(half_width).all(axis=0)
        half_width[:, both] = half_width[:, both].min(axis=0)
        return half_width

    def _half_widths(self, inside: np.ndarray, pieces: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """What `_half_width_of_ends` takes of one label in one slice, if its pieces end.

        Args:
            inside: bool `(rows, cols)`, the label.
            pieces: int `(rows, cols)`, its pieces numbered from 1.
            ends: bool `(rows, cols)`, pieces of the label that end in the other slice.
        """
        numbers = np.arange(pieces.max() + 1)
        to_edge = _distance_to_edge(inside, self.spacing_mm)
        half_width = ndimage.maximum(to_edge, pieces, numbers)
        if not ends.any():
            return half_width[pieces]
        away = ndimage.minimum(-_signed_distance(ends, self.spacing_mm), pieces, numbers)
        goes_on = away <= 2 * half_width
        return np.where(goes_on[pieces], to_edge, half_width[pieces])


def _distance_to_edge(inside: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    """Distance in mm from voxels of `inside` to its edge, half-way between its last and the next.

    Args:
        inside: bool `(rows, cols)`.
        spacing_mm: of rows and of columns.

    Returns:
        `(rows, cols)` float32.
    """
    to_last = _signed_distance(inside, spacing_mm)
    to_next = -_signed_distance(~inside, spacing_mm)
    return (to_last + to_next) / 2


def _signed_distance(inside: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    """Distance in mm to the nearest border voxel of `inside`, negative outside; huge without any.

    Args:
        inside: bool `(rows, cols)`; border voxels are those with a neighbour outside.
        spacing_mm: of rows and of columns.

    Returns:
        `(rows, cols)` float32.
    """
    image = sitk.GetImageFromArray(inside.view(np.uint8))
    image.SetSpacing(spacing_mm[::-1])
    maurer = sitk.SignedMaurerDistanceMapImageFilter()
    maurer.InsideIsPositiveOn()
    maurer.SquaredDistanceOff()
    maurer.UseImageSpacingOn()
    maurer.SetNumberOfWorkUnits(1)  # most boxes are small: threads start slower than they work
    return sitk.GetArrayFromImage(maurer.Execute(image))


def _grown(box: Box, margin: int, shape: tuple[int, int]) -> Box:
    rows, columns = (
        slice(max(0, side.start - margin), min(length, side.stop + margin))
        for side, length in zip(box, shape, strict=True)
    )
    return rows, columns
