"""Pixel by pixel likeness of two images: PSNR, SSIM, multi-scale SSIM, and errors in own units.

The structural indices compare means as ratios, so the values of an image should lie in 0 ...
`data_range`: add 1024 to Hounsfield units. The other metrics do not depend on where 0 lies.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

# Wang et al. 2003, table of section 3: exponents of the five scales, finest first.
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SSIM_SIDE = 11


def psnr(image_true: np.ndarray, image_test: np.ndarray, *, data_range: float) -> float:
    """Peak signal-to-noise ratio, `10 log10(data_range² / MSE)`, in dB; infinite for equal images.

    Args:
        image_true: `(rows, cols)` or any other shape, the reference.
        image_test: of the same shape and units.
        data_range: span of the possible values in the same units, 4095 for 12-bit CT in HU.

    Raises:
        ValueError: shapes differ or `data_range` is not positive.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> true = rng.normal(size=(64, 64))
        >>> test = true + 0.1
        >>> round(psnr(true, test, data_range=10.0), 3)
        40.0
    """
    true, test = as_pair(image_true, image_test, data_range)
    if np.array_equal(true, test):
        return float("inf")
    return float(peak_signal_noise_ratio(true, test, data_range=data_range))


def ssim(image_true: np.ndarray, image_test: np.ndarray, *, data_range: float) -> float:
    """Mean structural similarity index, 1 for equal images.

    The settings of Wang et al. 2004: Gaussian window of 11 x 11 pixels with sigma 1.5, K1 = 0.01,
    K2 = 0.03, population covariance; the mean leaves out the 5 pixels along the border, which see a
    mirrored image. (The default of scikit-image, a 7 x 7 box, gives other numbers.)

    Args:
        image_true: `(rows, cols)`, both at least 11, the reference.
        image_test: of the same shape and units.
        data_range: span of the possible values in the same units.

    Raises:
        ValueError: shapes differ, a side is below 11, or `data_range` is not positive.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> true = rng.normal(size=(64, 64))
        >>> ssim(true, true, data_range=10.0)
        1.0
        >>> round(ssim(true, 0.5 * true, data_range=10.0), 2)
        0.72

    References:
        Wang, Bovik, Sheikh & Simoncelli, Image quality assessment: from error visibility to
        structural similarity, IEEE Trans. Image Process. 13(4), 2004, equation 13.
    """
    true, test = as_pair(image_true, image_test, data_range)
    return float(
        structural_similarity(
            true,
            test,
            data_range=data_range,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def box_ssim(image_true: np.ndarray, image_test: np.ndarray, *, data_range: float) -> float:
    """Mean structural similarity over 7 x 7 boxes: scikit-image's default, kept for VQ-VAEs.

    Reconstructions of VQ-VAEs have been compared so from the start; `ssim` is what methods of
    interpolation are compared by.

    Args:
        image_true: `(rows, cols)`, both at least 7, the reference.
        image_test: of the same shape and units.
        data_range: span of the possible values in the same units.

    Raises:
        ValueError: shapes differ, a side is below 7, or `data_range` is not positive.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> true = rng.normal(size=(64, 64))
        >>> box_ssim(true, true, data_range=10.0)
        1.0
        >>> round(box_ssim(true, 0.5 * true, data_range=10.0), 2)
        0.73
    """
    true, test = as_pair(image_true, image_test, data_range)
    return float(structural_similarity(true, test, data_range=data_range))


def ms_ssim(image_true: np.ndarray, image_test: np.ndarray, *, data_range: float) -> float:
    """Multi-scale structural similarity, 1 for equal images.

    Contrast and structure are compared at five scales, each half as fine as the one before (2 x 2
    means), luminance at the coarsest. Sides below 176 pixels have room for fewer scales; the
    exponents of those that fit are then scaled to sum to 1. Negative terms count as 0.

    Args:
        image_true: `(rows, cols)`, both at least 11, the reference.
        image_test: of the same shape and units.
        data_range: span of the possible values in the same units.

    Raises:
        ValueError: shapes differ, a side is below 11, or `data_range` is not positive.

    Example:
        >>> import numpy as np
        >>> true = np.random.default_rng(0).normal(size=(192, 192))
        >>> ms_ssim(true, true, data_range=10.0)
        1.0

    References:
        Wang, Simoncelli & Bovik, Multi-scale structural similarity for image quality assessment,
        Asilomar Conference on Signals, Systems and Computers, 2003, equation 7.
    """
    true, test = as_pair(image_true, image_test, data_range)
    if min(true.shape) < SSIM_SIDE:
        raise ValueError(f"images must be at least 11 pixels a side, got {true.shape}")
    scales = min(len(MS_SSIM_WEIGHTS), int(np.log2(min(true.shape) / SSIM_SIDE)) + 1)
    weights = np.array(MS_SSIM_WEIGHTS[:scales]) / sum(MS_SSIM_WEIGHTS[:scales])
    product = 1.0
    for scale, weight in enumerate(weights):
        full, contrast = _ssim_terms(true, test, data_range)
        term = full if scale == scales - 1 else contrast
        product *= max(term, 0.0) ** weight
        true, test = _halved(true), _halved(test)
    return float(product)


def mae(
    image_true: np.ndarray, image_test: np.ndarray, *, data_range: float | None = None
) -> float:
    """Mean absolute error in the units of the images; `data_range` is accepted and not used.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> true = rng.normal(size=(64, 64))
        >>> test = true + 0.1
        >>> round(mae(true, test), 3)
        0.1
    """
    true, test = as_pair(image_true, image_test, data_range)
    return float(np.abs(test - true).mean())


def rmse(
    image_true: np.ndarray, image_test: np.ndarray, *, data_range: float | None = None
) -> float:
    """Root mean squared error in the units of the images; `data_range` is accepted and not used.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> true = rng.normal(size=(64, 64))
        >>> test = true + 0.1
        >>> round(rmse(true, test), 3)
        0.1
    """
    true, test = as_pair(image_true, image_test, data_range)
    return float(np.sqrt(np.square(test - true).mean()))


def as_pair(
    image_true: np.ndarray, image_test: np.ndarray, data_range: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Both images as float64, once their shapes are equal and `data_range` is positive or None.

    Raises:
        ValueError: shapes differ or `data_range` is not positive.
    """
    true, test = np.asarray(image_true, np.float64), np.asarray(image_test, np.float64)
    if true.shape != test.shape:
        raise ValueError(f"images must have one shape, got {true.shape} and {test.shape}")
    if data_range is not None and not data_range > 0:
        raise ValueError(f"data_range must be above 0, got {data_range}")
    return true, test


def _ssim_terms(true: np.ndarray, test: np.ndarray, data_range: float) -> tuple[float, float]:
    """Mean SSIM and mean of its contrast-structure factor `(2 cov + C2) / (var + var + C2)`."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_true, mean_test = _window_mean(true), _window_mean(test)
    variances = _window_mean(true**2 + test**2) - mean_true**2 - mean_test**2
    covariance = _window_mean(true * test) - mean_true * mean_test
    contrast = (2 * covariance + c2) / (variances + c2)
    luminance = (2 * mean_true * mean_test + c1) / (mean_true**2 + mean_test**2 + c1)
    return float((luminance * contrast).mean()), float(contrast.mean())


def _window_mean(image: np.ndarray) -> np.ndarray:
    """Gaussian mean over 11 x 11 pixels where the window lies inside: `(rows - 10, cols - 10)`."""
    border = SSIM_SIDE // 2
    return gaussian_filter(image, 1.5, radius=border)[border:-border, border:-border]


def _halved(image: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 blocks; an odd last row or column is left out."""
    rows, cols = image.shape[0] // 2, image.shape[1] // 2
    return image[: 2 * rows, : 2 * cols].reshape(rows, 2, cols, 2).mean(axis=(1, 3))
