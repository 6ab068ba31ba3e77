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


class Texture:
    """The texture of acquired slices, tissue by tissue, to be given to those between them.

    A model's noise is that of the scanners it learnt from, give or take what it learnt badly. The
    acquired neighbours show what noise and fine structure there are in this scan. So the slice is
    parted into bands of frequency, and of each band the values in pixels of like mean intensity and
    gradient (a tissue) are mapped, in their order, to the distribution that the band has in such
    pixels of the neighbours: histogram matching in a pyramid [1], tissue by tissue. Where things
    are is left to the slice; how strongly they stand out is the neighbours'. Values outside the
    range that both neighbours have nearby are brought to its ends.

    Args:
        neighbours: `(n, rows, cols)`, acquired slices.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> neighbours = rng.normal(size=(2, 64, 64))  # of noise 1
        >>> smooth = 0.1 * rng.normal(size=(64, 64))
        >>> bool(Texture(neighbours).given_to(smooth).std() > 5 * smooth.std())
        True

    References:
        [1] Heeger and Bergen, Pyramid-based texture analysis/synthesis, SIGGRAPH 1995.
    """

    def __init__(self, neighbours: np.ndarray):
        neighbours = np.asarray(neighbours)
        neighbours = neighbours.astype(np.result_type(neighbours, np.float32), copy=False)
        self._low = np.min([minimum_filter(one, REACH) for one in neighbours], axis=0)
        self._high = np.max([maximum_filter(one, REACH) for one in neighbours], axis=0)
        self._varies = np.flatnonzero(self._low < self._high)
        if self._varies.size:
            shown = [_bands(one, self._varies) for one in neighbours]
            mean, gradient, *bands = map(np.concatenate, zip(*shown, strict=True))
            self._tissues = _Tissues(mean, gradient)
            pixels, self._sizes = self._tissues.pixels(mean, gradient)
            self._distributions = [_each_sorted(band[pixels], self._sizes) for band in bands]

    def given_to(self, image: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
        """`image` with this texture.

        Args:
            image: `(rows, cols)`, a slice, in the same units.
            reference: `(rows, cols)`, what the slice would be but for chance. Its means over some
                pixels stand in for the slice's, which wander when pixels are drawn one by one. None
                to keep the slice's own.

        Returns:
            `(rows, cols)` in the neighbours' dtype if that is a floating one. Constant where the
            neighbours are, in any square of 9 x 9 pixels.
        """
        if not self._varies.size:
            return self._low.copy()
        image = np.asarray(image, self._low.dtype, order="C")
        if reference is not None:
            reference = np.asarray(reference, image.dtype)
        for _ in range(ROUNDS):
            image = _centred(np.clip(image, self._low, self._high), reference)
            mean, gradient, *bands = _bands(image, self._varies)
            pixels, sizes = self._tissues.pixels(mean, gradient)
            places = _Places(sizes, self._sizes)
            pixels = pixels[places.known]
            for band, distribution in zip(bands, self._distributions, strict=True):
                ranked = _ranked(band, pixels, places.sizes)
                image.reshape(-1)[self._varies[ranked]] += places.of(distribution) - band[ranked]
        return np.clip(_centred(image, reference), self._low, self._high)


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

    def pixels(self, mean: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the pixels, class by class, and how many each class has."""
        of = np.searchsorted(self.means, mean)
        of = of * GRADIENTS + sum(gradient > limits[of] for limits in self.gradients.T)
        sizes = np.bincount(of, minlength=self.gradients.shape[0] * GRADIENTS)
        return np.argsort(of.astype(np.int16), kind="stable"), sizes


class _Places:
    """Where the ranks of pixels of each class lie in another distribution of that class.

    Args:
        sizes: pixels of each class.
        others: likewise, of those that the distributions are made of.
    """

    def __init__(self, sizes: np.ndarray, others: np.ndarray):
        self.known = np.repeat(others > 0, sizes)
        self.sizes = np.where(others > 0, sizes, 0)
        first, firsts, last = (
            np.repeat(x, self.sizes)
            for x in (_starts(self.sizes), _starts(others), np.cumsum(others) - 1)
        )
        rank = np.arange(len(first)) - first
        share = np.repeat(others / np.maximum(self.sizes, 1), self.sizes)
        places = np.clip((rank + 0.5) * share - 0.5 + firsts, firsts, last)
        self._below = places.astype(np.intp)
        self._above = np.minimum(self._below + 1, last)
        self._weight = places - self._below

    def of(self, distribution: np.ndarray) -> np.ndarray:
        """Values of `distribution`, each class in order, at these places."""
        below = distribution[self._below]
        return below + self._weight * (distribution[self._above] - below)


def _ranked(values: np.ndarray, pixels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """`pixels`, class by class, in order of their values; of equal ones the first comes first.

    One sort of whole numbers, which are far faster to sort than places by their values: the value's
    bits in front, so that the numbers are in the order of the values, and the pixel behind.
    """
    bits = (values.astype(np.float32) + 0).view(np.int32)  # + 0: no negative zeros
    bits ^= (bits >> 31) & 0x7FFFFFFF  # of negative numbers, larger bits are further from 0
    return _each_sorted(bits[pixels].astype(np.int64) << 32 | pixels, sizes) & 0xFFFFFFFF


def _each_sorted(values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """`values` with so many after each other in order."""
    for part in np.split(values, _starts(sizes)[1:]):
        part.sort()
    return values


def _starts(sizes: np.ndarray) -> np.ndarray:
    """Where each class begins."""
    return np.cumsum(sizes) - sizes


def _between(values: np.ndarray, count: int) -> np.ndarray:
    """Limits between `count` classes of as many values each, `(count - 1,)`."""
    return np.quantile(values, np.arange(1, count) / count)


def _bands(image: np.ndarray, pixels: np.ndarray) -> list[np.ndarray]:
    """Mean, gradient and bands, the finest first, at `pixels` of the flat `image`."""
    means = [gaussian_filter(image, sigma) for sigma in BAND_SIGMAS]
    gradient = gaussian_gradient_magnitude(image, TISSUE_SIGMA)
    image, gradient, *means = (x.reshape(-1)[pixels] for x in (image, gradient, *means))
    bands = [fine - coarse for fine, coarse in pairwise([image, *means])]
    return [means[BAND_SIGMAS.index(TISSUE_SIGMA)], gradient, *bands]


def _centred(image: np.ndarray, reference: np.ndarray | None) -> np.ndarray:
    """`image` with the means of `reference`."""
    if reference is None:
        return image
    return image - gaussian_filter(image - reference, REFERENCE_SIGMA)
