"""Training batches of grey levels: a target slice among acquired ones at random distances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter

from medgen.errors import TrainingError
from medgen.preprocessing.batches import ATTEMPTS, FLAT, choose_slab, fit_to, random_window
from medgen.preprocessing.slices import Slab

# Share of examples that each augmentation leaves as they are.
UNTOUCHED = 0.5
# Correlation of added noise, and reach of the change of kernel: sigmas of Gaussians in pixels.
NOISE_SIGMAS = (0.0, 1.2)
KERNEL_SIGMAS = (0.6, 1.2)


def acquired_around(
    before: int, step: int, context: int, start: int, stop: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which slices are read for a target between slices `before` and `before + step`.

    Args:
        before: the nearest acquired slice before the target.
        step: distance of acquired slices.
        context: slices a side.
        start: first slice there is.
        stop: one past the last.

    Returns:
        Indices `(2 * context,)` in their order, limited to those there are, and bool
        `(2 * context,)`, whether there is such a slice.
    """
    indices = before + step * (np.arange(2 * context) - context + 1)
    present = (indices >= start) & (indices < stop)
    return np.clip(indices, start, stop - 1), present


def context_batch(
    slabs: Sequence[Slab],
    *,
    levels: int,
    crop: int,
    size: int,
    context: int,
    max_gap_mm: float,
    min_gap_mm: float = 0.0,
    edge: float = 0.0,
    noise: float = 0.0,
    kernel: float = 0.0,
    seed: int,
    step: int,
) -> dict[str, np.ndarray]:
    """Random crops of a target slice and the slices that would have been acquired around it.

    Of a slab, slices a random distance apart (the gap) count as acquired; the target is one between
    two of them. Examples are flipped in-plane and turned upside down at random.

    Args:
        slabs: where to draw from; those of fewer than three slices are passed over.
        levels: number of grey levels over the unit range.
        crop: side in pixels; smaller slices are extended by repeating their edges.
        size: examples a batch.
        context: acquired slices a side.
        max_gap_mm: largest gap, where the spacing allows.
        min_gap_mm: smallest gap, likewise.
        edge: share of examples that lose outer slices of one side, as near an end of the scan.
        noise: see `add_noise`.
        kernel: see `change_kernel`.
        seed: of the run.
        step: of the run.

    Returns:
        Inputs of `nets.pixelminer.PixelMiner`: `target` `(size, crop, crop)` and `context`
        `(size, crop, crop, 2 * context)` int32 levels, `present` `(size, 2 * context)`, `position`
        and `gap_mm` `(size,)` float32.

    Raises:
        TrainingError: no slab has three slices.
    """
    slabs = [slab for slab in slabs if len(slab) >= 3]
    if not slabs:
        raise TrainingError(
            "No scan, of those to train or of those to validate on, has three slices in a row; "
            "give scans with more slices."
        )
    rng = np.random.default_rng([seed, 0xC027, step])
    batch = {
        "target": np.empty((size, crop, crop), np.int32),
        "context": np.empty((size, crop, crop, 2 * context), np.int32),
        "present": np.empty((size, 2 * context), np.float32),
        "position": np.empty(size, np.float32),
        "gap_mm": np.empty(size, np.float32),
    }
    for i in range(size):
        for _ in range(ATTEMPTS):
            slab = choose_slab(rng, slabs)
            gap = _random_gap(rng, slab, min_gap_mm, max_gap_mm)
            before = int(rng.integers(slab.start, slab.stop - gap))
            offset = int(rng.integers(1, gap))
            unit = slab.stack.unit
            window = random_window(rng, unit.shape[1:], crop)
            if unit[before + offset][window].std() > FLAT:
                break
        indices, present = acquired_around(before, gap, context, slab.start, slab.stop)
        if context > 1 and rng.random() < edge:
            hidden = int(rng.integers(1, context))
            present[slice(None, hidden) if rng.integers(2) else slice(-hidden, None)] = False
        images = [fit_to(unit[k][window], crop) for k in (*indices, before + offset)]
        images = change_kernel(add_noise(np.stack(images), noise, rng), kernel, rng)
        images = images[:, :: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
        acquired, target = images[:-1], images[-1]
        if rng.integers(2):  # the scan upside down
            acquired, present, offset = acquired[::-1], present[::-1], gap - offset
        batch["target"][i] = to_levels(target, levels)
        batch["context"][i] = to_levels(np.moveaxis(acquired, 0, -1), levels)
        batch["present"][i] = present
        batch["position"][i] = offset / gap
        batch["gap_mm"][i] = gap * slab.stack.spacing_mm[0]
    return batch


def to_levels(unit: np.ndarray, levels: int) -> np.ndarray:
    """Nearest level of each value of the unit range, int32; exact where the values are levels."""
    nearest = np.rint((np.asarray(unit, np.float32) + 0.5) * (levels - 1))
    return np.clip(nearest, 0, levels - 1).astype(np.int32)


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


def _random_gap(rng: np.random.Generator, slab: Slab, min_gap_mm: float, max_gap_mm: float) -> int:
    """A distance in slices, at least 2, within the limits where spacing and length allow."""
    spacing = slab.stack.spacing_mm[0]
    largest = min(len(slab) - 1, max(2, int(max_gap_mm / spacing)))
    smallest = min(largest, max(2, int(np.ceil(min_gap_mm / spacing))))
    return int(rng.integers(smallest, largest + 1))
