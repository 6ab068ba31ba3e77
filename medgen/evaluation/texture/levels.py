"""Grey levels, and the neighbours of a voxel: what every texture class starts from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from medgen.errors import EvaluationError


@dataclass(frozen=True)
class Bins:
    """`count` equal bins from `lower` to `upper`, in the units of the image.

    Level 1 starts at `lower`; `upper` itself belongs to the last level. Values outside get levels
    below 1 and above `count`, so that an image discretised with the bins of another loses nothing.
    """

    lower: float
    upper: float
    count: int

    def levels(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Grey levels inside `mask` and 0 outside, int32 of the shape of both."""
        values = np.asarray(image, np.float64)[mask]
        steps = np.floor(self.count * (values - self.lower) / (self.upper - self.lower)) + 1
        steps[values == self.upper] = self.count
        levels = np.zeros(mask.shape, np.int32)
        levels[mask] = steps
        return levels


def fit_bins(values: np.ndarray, *, bin_width: float = 25.0, bin_count: int | None = None) -> Bins:
    """Bins that hold `values`: of fixed number if `bin_count` is given, else of fixed width.

    Fixed width: edges are multiples of `bin_width`, as in PyRadiomics; level
    `floor(x / w) - floor(min / w) + 1`. (IBSI starts at the minimum instead, or at the lower bound
    of the resegmentation range, which should then be a multiple of `w` for equal results.)
    Fixed number: `floor(n (x - min) / (max - min)) + 1`, and `n` for the maximum (IBSI 2.7).

    Args:
        values: intensities of the region, of any shape, at least one.
        bin_width: above 0, in the units of the image.
        bin_count: at least 1.

    Raises:
        EvaluationError: a value is not finite.
        ValueError: `bin_width` or `bin_count` is out of range.
    """
    lowest, highest = float(np.min(values)), float(np.max(values))
    if not np.isfinite(lowest + highest):
        raise EvaluationError(
            "The region of interest holds values that are not finite, so it has no grey levels; "
            "leave them out of the mask or mend the image."
        )
    if bin_count is not None:
        if bin_count < 1:
            raise ValueError(f"bin_count must be at least 1, got {bin_count}")
        return Bins(lowest, highest if highest > lowest else lowest + 1, int(bin_count))
    if not (bin_width > 0 and np.isfinite(bin_width)):
        raise ValueError(f"bin_width must be above 0, got {bin_width}")
    first = float(np.floor(lowest / bin_width))
    count = int(np.floor(highest / bin_width) - first) + 1
    return Bins(first * bin_width, (first + count) * bin_width, count)


def half_directions(ndim: int) -> list[tuple[int, ...]]:
    """Offsets to one of each two opposite neighbours, diagonal ones too: 4 in 2-D, 13 in 3-D."""
    return [offset for offset in product((-1, 0, 1), repeat=ndim) if offset > (0,) * ndim]


def neighbour_slices(offset: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices `here`, `there`: `array[there]` are the neighbours at `offset` of `array[here]`."""
    starts = {-1: slice(1, None), 0: slice(None), 1: slice(None, -1)}
    return tuple(starts[step] for step in offset), tuple(starts[-step] for step in offset)
