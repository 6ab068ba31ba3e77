"""Training batches of grey levels: a target slice among acquired ones at random distances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medgen.errors import TrainingError
from medgen.examples.augmentation import (
    Augmentation,
    add_noise,
    change_kernel,
    random_zoom,
    resized,
    slice_profile,
)
from medgen.examples.batches import ATTEMPTS, FLAT, choose_slab, fit_to, random_window
from medgen.examples.stacks import Slab, turned

NO_AUGMENTATION = Augmentation()


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


def inputs_between(
    levels: np.ndarray,
    positions: np.ndarray,
    gap_mm: float,
    windows: Sequence[tuple[slice, slice]],
    context: int,
) -> dict[str, np.ndarray]:
    """Inputs of a PixelMiner for slices to be written, or for pieces of them.

    Args:
        levels: of all acquired slices, `(n, rows, cols)`.
        positions: `(b,)` in units of acquired slices, `0 < p < n - 1`, none an integer.
        gap_mm: spacing of the acquired slices.
        windows: rows and columns of each, all of one size `(h, w)`.
        context: acquired slices a side that the net reads.

    Returns:
        As `nets.pixelminer_lean.PixelMinerLean` takes them, without `target`.
    """
    before = positions.astype(int)
    around = [acquired_around(i, 1, context, 0, len(levels)) for i in before]
    pieces = [levels[(i, *window)] for (i, _), window in zip(around, windows, strict=True)]
    return {
        "context": np.moveaxis(np.stack(pieces), 1, -1).astype(np.int32),
        "present": np.stack([present for _, present in around]).astype(np.float32),
        "position": (positions - before).astype(np.float32),
        "gap_mm": np.full(len(positions), gap_mm, np.float32),
    }


def inputs_left_out(
    levels: np.ndarray, k: int, before: int, step: int, gap_mm: float, context: int
) -> dict[str, np.ndarray]:
    """Inputs of a PixelMiner for a slice that is there, with its `target`, as if it were not.

    Args:
        levels: of all slices, `(n, rows, cols)`.
        k: the slice left out.
        before: the nearest slice before it that counts as acquired.
        step: distance of slices that do, in slices.
        gap_mm: the same distance in mm.
        context: acquired slices a side that the net reads.
    """
    around, present = acquired_around(before, step, context, 0, len(levels))
    return {
        "target": levels[None, k],
        "context": np.moveaxis(levels[around], 0, -1)[None],
        "present": present[None].astype(np.float32),
        "position": np.array([(k - before) / step], np.float32),
        "gap_mm": np.array([gap_mm], np.float32),
    }


def context_batch(
    slabs: Sequence[Slab],
    *,
    levels: int,
    crop: int,
    size: int,
    context: int,
    max_gap_mm: float,
    min_gap_mm: float = 0.0,
    augmentation: Augmentation = NO_AUGMENTATION,
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
        augmentation: changes to the examples.
        seed: of the run.
        step: of the run.

    Returns:
        Inputs of `nets.pixelminer_lean.PixelMinerLean`: `target` `(size, crop, crop)` and `context`
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
    turned_slabs = []
    if augmentation.other_axes:
        turned_slabs = [other for slab in slabs for other in turned(slab) if len(other) >= 3]
    rng = np.random.default_rng([seed, 0xC027, step])
    batch = {
        "target": np.empty((size, crop, crop), np.int32),
        "context": np.empty((size, crop, crop, 2 * context), np.int32),
        "present": np.empty((size, 2 * context), np.float32),
        "position": np.empty(size, np.float32),
        "gap_mm": np.empty(size, np.float32),
    }
    for i in range(size):
        magnified = random_zoom(augmentation.zoom, rng)
        side = round(crop / magnified)
        for _ in range(ATTEMPTS):
            other = turned_slabs and rng.random() < augmentation.other_axes
            slab = choose_slab(rng, turned_slabs if other else slabs)
            gap = _random_gap(rng, slab, min_gap_mm, max_gap_mm)
            before, offset, window = _random_place(rng, slab, gap, side)
            if slab.stack.unit[before + offset][window].std() > FLAT:
                break
        indices, present = acquired_around(before, gap, context, slab.start, slab.stop)
        if context > 1 and rng.random() < augmentation.edge:
            _hide_beyond_an_end(rng, present, context)
        profile = slice_profile(gap, augmentation.thickness, rng)
        pieces = [
            fit_to(_thick(slab, k, window, profile), side) for k in (*indices, before + offset)
        ]
        images = resized(np.stack(pieces), crop)
        images = add_noise(images, augmentation.noise, rng)
        images = change_kernel(images, augmentation.kernel, rng)
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


def _random_gap(rng: np.random.Generator, slab: Slab, min_gap_mm: float, max_gap_mm: float) -> int:
    """A distance in slices, at least 2, within the limits where spacing and length allow."""
    spacing = slab.stack.spacing_mm[0]
    largest = min(len(slab) - 1, max(2, int(max_gap_mm / spacing)))
    smallest = min(largest, max(2, int(np.ceil(min_gap_mm / spacing))))
    return int(rng.integers(smallest, largest + 1))


def _random_place(
    rng: np.random.Generator, slab: Slab, gap: int, side: int
) -> tuple[int, int, tuple[slice, slice]]:
    """The slice before a gap, how far behind it the target lies, and a window."""
    before = int(rng.integers(slab.start, slab.stop - gap))
    offset = int(rng.integers(1, gap))
    return before, offset, random_window(rng, slab.stack.unit.shape[1:], side)


def _hide_beyond_an_end(rng: np.random.Generator, present: np.ndarray, context: int) -> None:
    """Make slices absent in place, as near the first or the last slice of a scan."""
    hidden = int(rng.integers(1, context))
    present[slice(None, hidden) if rng.integers(2) else slice(-hidden, None)] = False


def _thick(slab: Slab, index: int, window: tuple[slice, slice], profile: np.ndarray) -> np.ndarray:
    """Window of a slice averaged with those around it, the last of the slab standing in beyond."""
    reach = len(profile) // 2
    around = np.clip(np.arange(index - reach, index + reach + 1), slab.start, slab.stop - 1)
    return np.tensordot(profile, slab.stack.unit[(around, *window)], 1).astype(np.float32)
