"""Drawn slices with the texture of the acquired ones beside them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.ndimage import (
    gaussian_filter,
    gaussian_gradient_magnitude,
    maximum_filter,
    minimum_filter,
)

# Bands of frequency lie between Gaussian means of these sigmas, in pixels; what is smoother than
# the last is structure, which stays.
BAND_SIGMAS = (0.8, 1.6, 3.2)
# Mean and gradient of this sigma tell what tissue a pixel belongs to.
TISSUE_SIGMA = 1.6
# Classes of mean intensity, at most, in each so many of the gradient, of so many pixels at least.
INTENSITIES = 12
GRADIENTS = 4
PIXELS = 1000
# A pixel is within the range of the neighbours' pixels in a square of this side around it.
REACH = 9
# What is smoother than this, in pixels, comes from the reference.
REFERENCE_SIGMA = 8.0
# Bands overlap, so that those of a sum of matched bands are only nearly the matched ones.
ROUNDS = 3


def match_texture(
    image: np.ndarray, neighbours: np.ndarray, reference: np.ndarray | None = None
) -> np.ndarray:
    """Give a slice the texture of the acquired slices beside it, tissue by tissue.

    A model's noise is that of the scanners it learnt from, give or take what it learnt badly. The
    acquired neighbours show what noise and fine structure there are in this scan. So the slice is
    parted into bands of frequency, and of each band the values in pixels of like mean intensity and
    gradient (a tissue) are mapped, in their order, to the distribution that the band has in such
    pixels of the neighbours: histogram matching in a pyramid [1], tissue by tissue. Where things
    are is left to the slice; how strongly they stand out is the neighbours'. Values outside the
    range that both neighbours have nearby are brought to its ends.

    Args:
        image: `(rows, cols)`, the slice.
        neighbours: `(n, rows, cols)`, acquired slices, in the same units.
        reference: `(rows, cols)`, what the slice would be but for chance. Its means over some
            pixels stand in for the slice's, which wander when pixels are drawn one by one. None to
            keep the slice's own.

    Returns:
        `(rows, cols)` float64. Constant where the neighbours are, in any square of 9 x 9 pixels.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> neighbours = rng.normal(size=(2, 64, 64))  # of noise 1
        >>> smooth = 0.1 * rng.normal(size=(64, 64))
        >>> bool(match_texture(smooth, neighbours).std() > 5 * smooth.std())
        True

    References:
        [1] Heeger and Bergen, Pyramid-based texture analysis/synthesis, SIGGRAPH 1995.
    """
    image, neighbours = (np.asarray(values, np.float64) for values in (image, neighbours))
    low = np.min([minimum_filter(one, REACH) for one in neighbours], axis=0)
    high = np.max([maximum_filter(one, REACH) for one in neighbours], axis=0)
    varies = low < high
    if not varies.any():
        return low
    shown = np.concatenate([_bands(one)[:, varies] for one in neighbours], axis=1)
    tissues = _Tissues(*shown[:2])
    pixels = tissues.pixels(*shown[:2])
    wanted = [[np.sort(band[of]) for of in pixels] for band in shown[2:]]
    for _ in range(ROUNDS):
        image = _centred(np.clip(image, low, high), reference)
        mean, gradient, *bands = _bands(image)[:, varies]
        pixels = tissues.pixels(mean, gradient)
        for band, distributions in zip(bands, wanted, strict=True):
            image[varies] += _mapped(band, pixels, distributions) - band
    return np.clip(_centred(image, reference), low, high)


class _Tissues:
    """Classes of pixels, alike in number, by their mean and within these by their gradient.

    Args:
        mean: `(n,)`, of the pixels that the classes are made for.
        gradient: likewise.
    """

    def __init__(self, mean: np.ndarray, gradient: np.ndarray):
        intensities = int(np.clip(mean.size // (PIXELS * GRADIENTS), 1, INTENSITIES))
        self.means = _between(mean, intensities)
        of = np.searchsorted(self.means, mean)
        # A class of means may be empty where many are equal.
        self.gradients = np.stack(
            [
                _between(gradient[of == k] if k in of else gradient, GRADIENTS)
                for k in range(intensities)
            ]
        )

    def pixels(self, mean: np.ndarray, gradient: np.ndarray) -> list[np.ndarray]:
        """Indices of the pixels of each class, one class after the other."""
        of = np.searchsorted(self.means, mean)
        of = of * GRADIENTS + (gradient[:, None] > self.gradients[of]).sum(axis=1)
        sizes = np.bincount(of, minlength=self.gradients.shape[0] * GRADIENTS)
        return np.split(np.argsort(of.astype(np.int16), kind="stable"), np.cumsum(sizes)[:-1])


def _mapped(
    values: np.ndarray, pixels: list[np.ndarray], distributions: list[np.ndarray]
) -> np.ndarray:
    """`values` with those of each class mapped, in their order, to its sorted distribution."""
    mapped = values.copy()
    for of, distribution in zip(pixels, distributions, strict=True):
        if of.size and distribution.size:
            places = (np.arange(of.size) + 0.5) * (distribution.size / of.size) - 0.5
            order = np.argsort(values[of], kind="stable")
            mapped[of[order]] = np.interp(places, np.arange(distribution.size), distribution)
    return mapped


def _between(values: np.ndarray, count: int) -> np.ndarray:
    """Limits between `count` classes of as many values each, `(count - 1,)`."""
    return np.quantile(values, np.arange(1, count) / count)


def _bands(image: np.ndarray) -> np.ndarray:
    """Mean, gradient and bands, the finest first, `(2 + bands, rows, cols)`."""
    means = [gaussian_filter(image, sigma) for sigma in BAND_SIGMAS]
    tissue = means[BAND_SIGMAS.index(TISSUE_SIGMA)]
    gradient = gaussian_gradient_magnitude(image, TISSUE_SIGMA)
    return np.stack(
        [tissue, gradient, *(fine - coarse for fine, coarse in pairwise([image, *means]))]
    )


def _centred(image: np.ndarray, reference: np.ndarray | None) -> np.ndarray:
    """`image` with the means of `reference`."""
    if reference is None:
        return image
    return image - gaussian_filter(image - reference, REFERENCE_SIGMA)
