"""Changes to training examples that another scanner, kernel or protocol would have made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, zoom

# Share of examples that each change leaves as they are.
UNTOUCHED = 0.5
# Half the thickness of a slice as it is, in slices.
THIN = 0.5
# Correlation of added noise, and reach of the change of kernel: sigmas of Gaussians in pixels.
NOISE_SIGMAS = (0.0, 1.2)
KERNEL_SIGMAS = (0.6, 1.2)


@dataclass(frozen=True)
class Augmentation:
    """How much `contexts.context_batch` changes its examples; 0 leaves a change out.

    Args:
        edge: share of examples that lose outer slices of one side, as near an end of the scan.
        other_axes: share of examples sliced along another axis of the scan.
        thickness: largest simulated slice thickness, in distances of the acquired slices.
        zoom: largest change of the pixel size, as a share of it.
        noise: see `add_noise`.
        kernel: see `change_kernel`.
    """

    edge: float = 0.0
    other_axes: float = 0.0
    thickness: float = 0.0
    zoom: float = 0.0
    noise: float = 0.0
    kernel: float = 0.0


def random_half_thickness(gap: int, largest: float, rng: np.random.Generator) -> float:
    """Half the thickness to give the slices of an example, in thin slices.

    Half of the examples, and all if `largest` is 0, stay as thin as they are, at 0.5.

    Args:
        gap: distance of the acquired slices, in thin slices.
        largest: thickness that is drawn up to, in units of `gap`.
        rng: source of randomness.
    """
    if largest == 0 or rng.random() < UNTOUCHED:
        return THIN
    return max(THIN, rng.uniform(0, largest) * gap / 2)


def slice_profile(half: float) -> np.ndarray:
    """Weights of neighbouring thin slices in a thick one: a box, `[1]` of a half thickness of 0.5.

    Returns:
        `(2 * m + 1,)`, summing to 1, for the slices `-m … m` around the one they make thick.
    """
    reach = profile_reach(half)
    distance = np.abs(np.arange(-reach, reach + 1))
    weights = np.clip(half + 0.5 - distance, 0, 1)  # the ends may lie within a slice
    return weights / weights.sum()


def profile_reach(half: float) -> int:
    """How many thin slices a thick one reaches beyond its middle one."""
    return int(np.ceil(half - 0.5))


def random_zoom(largest: float, rng: np.random.Generator) -> float:
    """By how much to magnify an example, between `1 - largest` and `1 / (1 - largest)`."""
    if largest == 0 or rng.random() < UNTOUCHED:
        return 1.0
    limit = zoom_limit(largest)
    return float(np.exp(rng.uniform(-limit, limit)))


def zoom_limit(largest: float) -> float:
    """Logarithm of the largest magnification."""
    return float(-np.log1p(-largest))


@cache
def resizing(side: int, wanted: int) -> np.ndarray:
    """Matrix `(wanted, side)` float32 that brings `side` pixels in a row to `wanted`.

    By cubic splines; where pixels grow, each first averages over more.
    """
    pixels = np.eye(side)
    if side == wanted:
        return pixels.astype(np.float32)
    factor = wanted / side
    if factor < 1:
        pixels = gaussian_filter1d(pixels, np.sqrt(factor**-2 - 1) / 2, axis=0)
    resized = zoom(pixels, (factor, 1), order=3, mode="nearest", grid_mode=True)
    return resized.astype(np.float32)


def resized(images: np.ndarray, side: int) -> np.ndarray:
    """Square images `(n, s, s)` brought to `side` pixels, see `resizing`."""
    if images.shape[1] == side:
        return images
    matrix = resizing(images.shape[1], side)
    return matrix @ images @ matrix.T


def random_noise(
    largest: float, shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[float, float, np.ndarray]:
    """One strength and in-plane correlation of noise for all slices of an example, and white noise.

    Half of the examples, and all if `largest` is 0, get a strength of 0.

    Args:
        largest: standard deviation that the strength is drawn up to, in units of the images.
        shape: of the images.
        rng: source of randomness.

    Returns:
        See `add_noise`.
    """
    if largest == 0 or rng.random() < UNTOUCHED:
        return 0.0, 0.0, np.zeros(shape)
    sigma = rng.uniform(*NOISE_SIGMAS)
    white = rng.standard_normal(shape)
    return rng.uniform(0, largest), sigma, white


def add_noise(images: np.ndarray, strength: float, sigma: float, white: np.ndarray) -> np.ndarray:
    """Add noise with in-plane correlation to slices.

    Args:
        images: `(n, rows, cols)`.
        strength: standard deviation, in units of the images.
        sigma: of the Gaussian that makes neighbouring pixels alike.
        white: noise without correlation, of the images' shape.
    """
    if strength == 0:
        return images
    noise = gaussian_filter(white, (0, sigma, sigma), mode="wrap")
    return images + strength / noise.std() * noise


def random_kernel(largest: float, rng: np.random.Generator) -> tuple[float, float]:
    """How far to sharpen or smooth an example, and over how many pixels; see `change_kernel`.

    Half of the examples, and all if `largest` is 0, stay as they are, at an amount of 0.
    """
    if largest == 0 or rng.random() < UNTOUCHED:
        return 0.0, KERNEL_SIGMAS[0]
    sigma = rng.uniform(*KERNEL_SIGMAS)
    return rng.uniform(-largest, largest), sigma


def change_kernel(images: np.ndarray, amount: float, sigma: float) -> np.ndarray:
    """Sharpen or smooth all slices of an example alike, as another reconstruction kernel would.

    `x + a (x - G x)` with a Gaussian G.

    Args:
        images: `(n, rows, cols)`.
        amount: `a`, below 0 to smooth; at least -1.
        sigma: of G, in pixels.
    """
    if amount == 0:
        return images
    return images + amount * (images - gaussian_filter(images, (0, sigma, sigma)))
