"""Rows of slices that are finer by a factor, from coarse rows: what nets are shown of both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medgen.degradation import coarsened
from medgen.errors import TrainingError
from medgen.examples.augmentation import (
    Augmentation,
    add_noise,
    change_kernel,
    random_kernel,
    random_noise,
)
from medgen.examples.batches import ATTEMPTS, FLAT, choose_slab, fit_to
from medgen.examples.contexts import NO_AUGMENTATION, to_levels
from medgen.examples.stacks import Slab


def coarse_rows_around(
    coarse: np.ndarray, part: int, factor: int, context: int
) -> tuple[np.ndarray, float]:
    """The coarse rows around one part of every row, as if they were slices.

    Part `u` of row `i` lies at `i + (u + 1/2) / factor - 1/2` in units of coarse rows, as
    `Geometry.subdivide` has it. Beyond the ends the last row repeats.

    Args:
        coarse: `(n, rows, cols)`.
        part: 0 ... factor - 1.
        factor: parts of a row.
        context: rows before it, and as many behind.

    Returns:
        `(n, rows, cols, 2 * context)`, and how far behind the nearest before it the part lies, 0 or
        more and below 1.
    """
    place = (part + 0.5) / factor - 0.5
    before = -1 if place < 0 else 0
    rows = coarse.shape[1]
    padded = np.pad(coarse, [(0, 0), (context, context), (0, 0)], mode="edge")
    first = [before + 1 + k for k in range(2 * context)]
    return np.stack([padded[:, k : k + rows] for k in first], axis=-1), place - before


def finer_rows_batch(
    slabs: Sequence[Slab],
    *,
    factor: int,
    levels: int,
    crop: int,
    size: int,
    context: int,
    augmentation: Augmentation = NO_AUGMENTATION,
    seed: int,
    step: int,
) -> dict[str, np.ndarray]:
    """Random crops of one part of every row of a slice, and the coarse rows around it.

    A coarse row is the mean over `factor` of those of a scan. Half of the slices are made coarse
    along the rows as well, as when rows of a coarse slice are made finer; the other half are as
    fine along them as they were, as when its columns are made finer after that. Slices are turned
    by one of the eight symmetries of the square.

    Args:
        slabs: where to draw from.
        factor: parts of a row.
        levels: number of grey levels over the unit range.
        crop: side in pixels; smaller slices are extended by repeating their edges.
        size: examples a batch.
        context: coarse rows before, and as many behind.
        augmentation: changes to the slices, of which only `noise` and `kernel` are made.
        seed: of the run.
        step: of the run.

    Returns:
        Inputs of `nets.pixelminer_lean.PixelMinerLean`, as of `contexts.context_batch`.

    Raises:
        TrainingError: no slab has slices of two coarse pixels a side.
    """
    wide = [slab for slab in slabs if min(slab.stack.unit.shape[1:3]) >= 2 * factor]
    if not wide:
        raise TrainingError(
            f"No scan has slices of {2 * factor} x {2 * factor} pixels or more; give larger ones."
        )
    rng = np.random.default_rng([seed, 0x11E5, step])
    batch = {
        "target": np.empty((size, crop, crop), np.int32),
        "context": np.empty((size, crop, crop, 2 * context), np.int32),
        "present": np.ones((size, 2 * context), np.float32),
        "position": np.empty(size, np.float32),
        "gap_mm": np.empty(size, np.float32),
    }
    for i in range(size):
        along = factor if rng.integers(2) else 1
        for _ in range(ATTEMPTS):
            image, gap_mm = _fine_piece(rng, choose_slab(rng, wide), crop, factor, along)
            if image.std() > FLAT:
                break
        images = image[None]
        images = add_noise(images, *random_noise(augmentation.noise, images.shape, rng))
        images = change_kernel(images, *random_kernel(augmentation.kernel, rng))
        fine = coarsened(images, along, axes=(2,)) if along > 1 else images
        part = int(rng.integers(factor))
        around, batch["position"][i] = coarse_rows_around(
            coarsened(fine, factor, axes=(1,)), part, factor, context
        )
        batch["target"][i] = to_levels(fit_to(fine[0, part::factor], crop), levels)
        batch["context"][i] = to_levels(fit_to(around[0], crop), levels)
        batch["gap_mm"][i] = gap_mm
    return batch


def _fine_piece(
    rng: np.random.Generator, slab: Slab, crop: int, factor: int, along: int
) -> tuple[np.ndarray, float]:
    """What becomes `crop` coarse rows of `crop` pixels, and the distance of coarse rows in mm."""
    image = slab.stack.unit[rng.integers(slab.start, slab.stop)]
    _, *spacing = slab.stack.spacing_mm
    if rng.integers(2):
        image, spacing = image.T, spacing[::-1]
    image = image[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
    pieces = []
    for n, unit in zip(image.shape, (factor, along), strict=True):
        start = int(rng.integers(0, max(n - unit * crop, 0) + 1))
        pieces.append(slice(start, start + min(unit * crop, n // unit * unit)))
    return image[pieces[0], pieces[1]], factor * spacing[0]
