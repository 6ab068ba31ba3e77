"""Changes to training examples that another scanner, kernel or protocol would have made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

# Share of examples that each change leaves as they are.
UNTOUCHED = 0.5
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


def slice_profile(gap: int, largest: float, rng: np.random.Generator) -> np.ndarray:
    """Weights of neighbouring thin slices in a thick one: a box of a random width.

    Half of the examples, and all if `largest` is 0, stay as they are, with weights `[1]`.

    Args:
        gap: distance of the acquired slices, in thin slices.
        largest: thickness that is drawn up to, in units of `gap`.
        rng: source of randomness.

    Returns:
        `(2 * m + 1,)`, summing to 1, for the slices `-m … m` around the one they make thick.
    """
    if largest == 0 or rng.random() < UNTOUCHED:
        return np.ones(1)
    half = max(0.5, rng.uniform(0, largest) * gap / 2)
    reach = int(np.ceil(half - 0.5))
    distance = np.abs(np.arange(-reach, reach + 1))
    weights = np.clip(half + 0.5 - distance, 0, 1)  # the ends may lie within a slice
    return weights / weights.sum()


def random_zoom(largest: float, rng: np.random.Generator) -> float:
    """By how much to magnify an example, between `1 - largest` and `1 / (1 - largest)`."""
    if largest == 0 or rng.random() < UNTOUCHED:
        return 1.0
    limit = -np.log1p(-largest)
    return float(np.exp(rng.uniform(-limit, limit)))


def resized(images: np.ndarray, side: int) -> np.ndarray:
    """Square images `(n, s, s)` brought to `side` pixels by cubic splines."""
    factor = side / images.shape[1]
    if factor == 1:
        return images
    if factor < 1:  # a larger pixel averages over more
        sigma = np.sqrt(factor**-2 - 1) / 2
        images = gaussian_filter(images, (0, sigma, sigma))
    return zoom(images, (1, factor, factor), order=3, mode="nearest", grid_mode=True)


def add_noise(images: np.ndarray, largest: float, rng: np.random.Generator) -> np.ndarray:
    """Add noise of one random strength and in-plane correlation to all slices of an example.

    Each slice gets its own noise. Half of the examples, and all if `largest` is 0, stay as they
    are.

    Args:
        images: `(n, rows, cols)`.
        largest: standard deviation that the strength is drawn up to, in units of the images.
        rng: source of randomness.
    """
    if largest == 0 or rng.random() < UNTOUCHED:
        return images
    sigma = rng.uniform(*NOISE_SIGMAS)
    noise = gaussian_filter(rng.standard_normal(images.shape), (0, sigma, sigma), mode="wrap")
    return images + rng.uniform(0, largest) / noise.std() * noise


def change_kernel(images: np.ndarray, largest: float, rng: np.random.Generator) -> np.ndarray:
    """Sharpen or smooth all slices of an example alike, as another reconstruction kernel would.

    `x + a (x - G x)` with a Gaussian G of random width and `a` between `-largest` and `largest`.
    Half of the examples, and all if `largest` is 0, stay as they are.

    Args:
        images: `(n, rows, cols)`.
        largest: largest amount; up to 1.
        rng: source of randomness.
    """
    if largest == 0 or rng.random() < UNTOUCHED:
        return images
    sigma = rng.uniform(*KERNEL_SIGMAS)
    detail = images - gaussian_filter(images, (0, sigma, sigma))
    return images + rng.uniform(-largest, largest) * detail
