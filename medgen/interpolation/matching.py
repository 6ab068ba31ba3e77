"""Drawn slices with the texture of the acquired ones beside them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter

# Bands of frequency lie between Gaussian means of these sigmas, in pixels; below the last there is
# structure, which stays.
BAND_SIGMAS = (1.0, 2.0, 4.0)
# Of these means, the one that tells what tissue a pixel belongs to.
TISSUE = 1
# Tissues told apart: at most so many, and of so many pixels at least.
TISSUES = 24
PIXELS = 1000
# A pixel is within the range of the neighbours' pixels in a square of this side around it.
REACH = 9
# What is smoother than this, in pixels, comes from the reference.
REFERENCE_SIGMA = 8.0
# The bands of a sum of matched bands are nearly, but not quite, the matched ones.
ROUNDS = 2


def match_texture(
    image: np.ndarray, neighbours: np.ndarray, reference: np.ndarray | None = None
) -> np.ndarray:
    """Give a slice the texture of the acquired slices beside it, tissue by tissue.

    A model's noise is that of the scanners it learnt from, give or take what it learnt badly. The
    acquired neighbours show what noise and fine structure there are in this scan. So the slice is
    parted into bands of frequency, and of each band the values in pixels of like mean intensity (a
    tissue) are mapped, in their order, to the distribution that the band has in the neighbours
    where they have that mean intensity: histogram matching in a pyramid [1], conditional on the
    tissue. Where things are is left to the slice, how strongly they stand out is the neighbours'.
    Values outside the range that both neighbours have nearby are brought to its ends.

    Args:
        image: `(rows, cols)`, the slice.
        neighbours: `(n, rows, cols)`, acquired slices, in the same units.
        reference: `(rows, cols)`, what the slice would be but for chance. Its means over some
            pixels stand in for the slice's, which wander when pixels are drawn one by one. None to
            keep the slice's own.

    Returns:
        `(rows, cols)` float64. Constant where the neighbours are, in any square of 9 x 9 pixels.

    References:
        [1] Heeger and Bergen, Pyramid-based texture analysis/synthesis, SIGGRAPH 1995.
    """
    image, neighbours = (np.asarray(values, np.float64) for values in (image, neighbours))
    low = np.min([minimum_filter(one, REACH) for one in neighbours], axis=0)
    high = np.max([maximum_filter(one, REACH) for one in neighbours], axis=0)
    varies = low < high
    if not varies.any():
        return low
    bands, means = zip(*map(_bands, neighbours), strict=True)
    tissue_means = np.stack(means)[:, varies].ravel()
    count = int(np.clip(tissue_means.size // PIXELS, 1, TISSUES))
    limits = np.unique(np.quantile(tissue_means, np.linspace(0, 1, count + 1)[1:-1]))
    limits = limits[limits < tissue_means.max()]
    tissues = np.searchsorted(limits, tissue_means)
    wanted = [
        _Distributions(values[:, varies].ravel(), tissues, len(limits) + 1)
        for values in np.stack(bands, axis=1)
    ]
    for _ in range(ROUNDS):
        image = _centred(np.clip(image, low, high), reference)
        bands, mean = _bands(image)
        tissues = np.searchsorted(limits, mean[varies])
        for band, distributions in zip(bands[:, varies], wanted, strict=True):
            image[varies] += distributions.mapped(band, tissues) - band
    return np.clip(_centred(image, reference), low, high)


class _Distributions:
    """Values in groups, each sorted.

    Args:
        values: `(n,)`.
        groups: int `(n,)`, of every value.
        count: number of groups.
    """

    def __init__(self, values: np.ndarray, groups: np.ndarray, count: int):
        self.values = values[np.lexsort((values, groups))]
        self.sizes = np.bincount(groups, minlength=count)
        self.starts = np.cumsum(self.sizes) - self.sizes

    def mapped(self, values: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Other values, of whom each becomes the quantile that it is in its group."""
        order = np.lexsort((values, groups))
        group = groups[order]
        sizes = np.bincount(groups, minlength=len(self.sizes))
        rank = np.arange(len(values)) - (np.cumsum(sizes) - sizes)[group]
        place = (rank + 0.5) / sizes[group] * self.sizes[group] - 0.5
        place = np.clip(place, 0, self.sizes[group] - 1)
        below = place.astype(int)
        above = np.minimum(below + 1, self.sizes[group] - 1)
        start, share = self.starts[group], place - below
        mapped = np.empty_like(values)
        mapped[order] = (1 - share) * self.values[start + below] + share * self.values[
            start + above
        ]
        return mapped


def _bands(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bands `(bands, rows, cols)`, the finest first, and the mean that tells the tissue."""
    means = [gaussian_filter(image, sigma) for sigma in BAND_SIGMAS]
    bands = [finer - coarser for finer, coarser in pairwise([image, *means])]
    return np.stack(bands), means[TISSUE]


def _centred(image: np.ndarray, reference: np.ndarray | None) -> np.ndarray:
    """`image` with the means of `reference`."""
    if reference is None:
        return image
    return image - gaussian_filter(image - reference, REFERENCE_SIGMA)
