"""Whether synthetic slices are as noisy as the acquired ones beside them, and show no seams.

Interpolation averages noise away and a generative model may add too much; both change texture. The
measures here need no truth, only the acquired neighbours.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude, uniform_filter
from skimage.filters import threshold_otsu

from medgen.evaluation.similarity import as_pair

# High-pass filter: the image less its Gaussian mean of this sigma, which passes half the power at
# half of Nyquist (0.25 cycles per pixel) and nearly all of it above.
HIGH_PASS_SIGMA = 1.0
# Local standard deviations are taken in squares of this many pixels.
WINDOW = 5
# Homogeneous tissue: this share of the foreground, where the neighbours change least.
HOMOGENEOUS_SHARE = 0.25


def high_frequency_power_ratio(neighbours: np.ndarray, image_test: np.ndarray) -> float:
    """High-frequency power in homogeneous tissue over the mean of the acquired neighbours'.

    The power is the mean square of the image less its Gaussian mean (sigma 1 pixel), over
    `homogeneous_tissue(neighbours)`: of the whole slice it would be the power of its edges. 1 when
    the slice is as noisy as its neighbours, 0.5 for the plain mean of two of independent noise.

    Args:
        neighbours: `(n, rows, cols)`, the acquired slices beside it.
        image_test: `(rows, cols)`, same units.

    Returns:
        The ratio; NaN when there is no homogeneous tissue or no noise in it.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=(3, 64, 64))
        >>> round(high_frequency_power_ratio(noise[:2], 2 * noise[2]), 1)
        4.0
    """
    return _ratio_to_neighbours(high_frequency_power, neighbours, image_test)


def local_deviation_ratio(neighbours: np.ndarray, image_test: np.ndarray) -> float:
    """Noise level in homogeneous tissue over the mean of the acquired neighbours'.

    The noise level is the median of the standard deviations in squares of 5 x 5 pixels over
    `homogeneous_tissue(neighbours)`, the same pixels for all. Noise of low frequency counts here,
    unlike in `high_frequency_power_ratio`.

    Args:
        neighbours: `(n, rows, cols)`, the acquired slices beside it.
        image_test: `(rows, cols)`, same units.

    Returns:
        The ratio, 1 for the same noise; NaN when there is no homogeneous tissue or no noise in it.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=(3, 64, 64))
        >>> round(local_deviation_ratio(noise[:2], 2 * noise[2]), 1)
        2.0
    """
    return _ratio_to_neighbours(noise_level, neighbours, image_test)


def homogeneous_tissue(neighbours: np.ndarray) -> np.ndarray:
    """Pixels of tissue away from the edges of every acquired neighbour.

    Foreground is what lies above Otsu's threshold of their mean and varies in every neighbour (not
    padding); of it, the quarter with the smallest Gaussian gradient (sigma 2 pixels), the largest
    of the neighbours', is kept.

    Args:
        neighbours: `(n, rows, cols)`.

    Returns:
        Bool `(rows, cols)`, all False when the mean is constant.

    Example:
        >>> body = np.random.default_rng(0).normal(size=(2, 64, 64))
        >>> body[..., 16:] += 100
        >>> tissue = homogeneous_tissue(body)
        >>> bool(tissue[:, :16].any()), bool(tissue[:, 16:20].any()), bool(tissue[:, 20:].any())
        (False, False, True)
    """
    neighbours = np.asarray(neighbours, np.float64)
    mean = neighbours.mean(axis=0)
    if mean.min() == mean.max():
        return np.zeros(mean.shape, bool)
    varies = np.all([local_deviation(image) > 0 for image in neighbours], axis=0)
    foreground = (mean > threshold_otsu(mean)) & varies
    if not foreground.any():
        return foreground
    gradient = np.max([gaussian_gradient_magnitude(image, 2.0) for image in neighbours], axis=0)
    return foreground & (gradient <= np.quantile(gradient[foreground], HOMOGENEOUS_SHARE))


def local_deviation(image: np.ndarray) -> np.ndarray:
    """Standard deviation in the square of 5 x 5 pixels around each pixel: `(rows, cols)`.

    Example:
        >>> float(local_deviation(np.ones((8, 8))).max())
        0.0
    """
    image = np.asarray(image, np.float64)
    image = image - image.mean()  # keeps the difference of squares exact
    variance = uniform_filter(image**2, WINDOW) - uniform_filter(image, WINDOW) ** 2
    # What is left of a constant square after rounding counts as 0.
    return np.sqrt(np.where(variance > 1e-12 * np.square(image).max(), variance, 0))


def noise_level(image: np.ndarray, tissue: np.ndarray) -> float:
    """Median local standard deviation over the pixels of `tissue`, in units of the image.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=(64, 64))
        >>> round(noise_level(noise, np.ones((64, 64), bool)), 1)
        1.0
    """
    return float(np.median(local_deviation(image)[tissue]))


def high_frequency_power(image: np.ndarray, tissue: np.ndarray) -> float:
    """Mean square of the high-passed image over the pixels of `tissue`, in squared units.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=(64, 64))
        >>> all_of_it = np.ones((64, 64), bool)
        >>> power = high_frequency_power(noise, all_of_it)
        >>> round(high_frequency_power(2 * noise, all_of_it) / power, 6)
        4.0
    """
    image = np.asarray(image, np.float64)
    return float(np.square(image - gaussian_filter(image, HIGH_PASS_SIGMA))[tissue].mean())


def radial_power_spectrum(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spectral density averaged over rings of equal frequency, up to Nyquist.

    The mean is taken off and a Hann window applied (its power divided out), so white noise of
    variance v has density v at every frequency, and borders do not leak into the rings.

    Args:
        image: `(rows, cols)`.

    Returns:
        Frequencies of the rings in cycles per pixel and their density in squared units, both
        `(min(rows, cols) // 2,)`; the mean itself (frequency 0) is left out.

    Example:
        >>> frequency, power = radial_power_spectrum(np.random.default_rng(0).normal(size=(64, 64)))
        >>> bool(frequency[0] > 0), bool(frequency[-1] <= 0.5)  # cycles a pixel
        (True, True)
        >>> round(float(power.mean()), 1)  # of white noise of variance 1
        1.0
    """
    radius, power = _spectrum(image)
    rings = min(image.shape) // 2
    ring = np.rint(radius * 2 * rings).astype(int)
    inside = (ring >= 1) & (ring <= rings)
    total = np.bincount(ring[inside], power[inside], minlength=rings + 1)
    count = np.bincount(ring[inside], minlength=rings + 1)
    return np.arange(1, rings + 1) / (2 * rings), total[1:] / count[1:]


def power_spectrum_distance(
    image_true: np.ndarray, image_test: np.ndarray, *, data_range: float | None = None
) -> float:
    """Root mean square difference of two radially averaged power spectra, in dB.

    Args:
        image_true: `(rows, cols)`, the reference.
        image_test: of the same shape and units.
        data_range: accepted like in every metric and not used.

    Returns:
        The distance, 0 at best; NaN when either image is constant.

    Raises:
        ValueError: shapes differ.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=(64, 64))
        >>> round(power_spectrum_distance(noise, 10 * noise), 3)
        20.0
    """
    true, test = as_pair(image_true, image_test, data_range)
    if true.min() == true.max() or test.min() == test.max():
        return float("nan")
    (_, spectrum_true), (_, spectrum_test) = map(radial_power_spectrum, (true, test))
    decibels = 10 * np.log10(spectrum_test / spectrum_true)
    return float(np.sqrt(np.square(decibels).mean()))


def seam_score(image: np.ndarray, *, window: tuple[int, int]) -> float:
    """Mean absolute step across the borders of windows over that between all other neighbours.

    1 for an image whose windows fit together, above 1 where they show. Anatomy has steps too, so
    compare with the score of the acquired neighbours at the same borders.

    Args:
        image: `(rows, cols)`.
        window: rows and columns of the windows the image was made of, the first at the top left.

    Returns:
        The score; NaN when no border lies inside the image or the rest of it is constant.

    Example:
        >>> ramp = np.tile(np.arange(64.0), (64, 1))
        >>> round(seam_score(ramp + ramp.T, window=(16, 16)), 6)
        1.0
    """
    image = np.asarray(image, np.float64)
    at_borders, within = [], []
    for axis, side in enumerate(window):
        steps = np.abs(np.diff(image, axis=axis))
        border = np.arange(1, image.shape[axis]) % side == 0
        at_borders.append(np.compress(border, steps, axis).ravel())
        within.append(np.compress(~border, steps, axis).ravel())
    across, elsewhere = np.concatenate(at_borders), np.concatenate(within)
    if not across.size or not elsewhere.any():
        return float("nan")
    return float(across.mean() / elsewhere.mean())


def _ratio_to_neighbours(
    level: Callable[[np.ndarray, np.ndarray], float],
    neighbours: np.ndarray,
    image_test: np.ndarray,
) -> float:
    """`level` of a slice in homogeneous tissue over its neighbours' mean; NaN without any."""
    tissue = homogeneous_tissue(neighbours)
    if not tissue.any():
        return float("nan")
    reference = np.mean([level(image, tissue) for image in neighbours])
    return float(level(image_test, tissue) / reference) if reference else float("nan")


def _spectrum(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Radial frequency (cycles per pixel) and spectral density of the windowed image."""
    image = np.asarray(image, np.float64)
    rows, cols = image.shape
    window = np.hanning(rows)[:, None] * np.hanning(cols)
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2 / np.square(window).sum()
    return np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(cols)), power
