"""Training batches of grey levels: a target slice among acquired ones at random distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from medgen.errors import TrainingError
from medgen.examples.augmentation import (
    Augmentation,
    add_noise,
    change_kernel,
    random_half_thickness,
    random_kernel,
    random_noise,
    random_zoom,
    resized,
    slice_profile,
)
from medgen.examples.batches import ATTEMPTS, FLAT, fit_to, random_window, slab_weights
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
    pool = Pool.of(slabs, augmentation.other_axes)
    rng = np.random.default_rng([seed, 0xC027, step])
    batch = {
        "target": np.empty((size, crop, crop), np.int32),
        "context": np.empty((size, crop, crop, 2 * context), np.int32),
        "present": np.empty((size, 2 * context), np.float32),
        "position": np.empty(size, np.float32),
        "gap_mm": np.empty(size, np.float32),
    }
    for i in range(size):
        choice = _choose(rng, pool, (min_gap_mm, max_gap_mm), crop, context, augmentation)
        example = cut(pool.slabs[choice.slab], choice, crop, context, levels)
        for key, values in example.items():
            batch[key][i] = values
    return batch


@dataclass(frozen=True, eq=False)
class Pool:
    """Slabs that examples come from, those along other axes last.

    Args:
        slabs: all of them.
        straight: how many are along the axis of their scan.
        other_axes: share of the examples that come from the others, 0 if there are none.
    """

    slabs: tuple[Slab, ...]
    straight: int
    other_axes: float

    @classmethod
    def of(cls, slabs: Sequence[Slab], other_axes: float) -> Pool:
        """The pool of scans, of those slabs that have three slices.

        Raises:
            TrainingError: none has.
        """
        straight = [slab for slab in slabs if len(slab) >= 3]
        if not straight:
            raise TrainingError(
                "No scan, of those to train or of those to validate on, has three slices in a row; "
                "give scans with more slices."
            )
        others: list[Slab] = []
        if other_axes:
            others = [other for slab in straight for other in turned(slab) if len(other) >= 3]
        return cls((*straight, *others), len(straight), other_axes if others else 0.0)

    def probabilities(self) -> np.ndarray:
        """Of each slab."""
        shares = slab_weights(self.slabs[: self.straight]) * (1 - self.other_axes)
        if not self.other_axes:
            return shares
        return np.append(shares, slab_weights(self.slabs[self.straight :]) * self.other_axes)


class Choice(NamedTuple):
    """All that chance decides of an example; of several, where the fields are arrays.

    Args:
        slab: which one of a pool.
        gap: slices between acquired ones, and to the next of them.
        before: the nearest acquired slice before the target, from the slab's first.
        offset: how far behind it the target lies.
        row: first of the window.
        column: likewise.
        side: of the window, in pixels; it is brought to that of the example.
        hidden: outer slices shown as absent, from the first on, or from the last where negative.
        half: half a slice's thickness, see `augmentation.slice_profile`.
        strength: of the noise, with `sigma` and `white`, see `augmentation.add_noise`.
        sigma: of the noise.
        white: the noise, for the acquired slices in their order, then for the target.
        amount: of the change of kernel, see `augmentation.change_kernel`.
        kernel_sigma: its sigma.
        mirrored_rows: whether rows are in reverse order.
        mirrored_columns: likewise.
        upside_down: whether slices are.
    """

    slab: Any
    gap: Any
    before: Any
    offset: Any
    row: Any
    column: Any
    side: Any
    hidden: Any
    half: Any
    strength: Any
    sigma: Any
    white: Any
    amount: Any
    kernel_sigma: Any
    mirrored_rows: Any
    mirrored_columns: Any
    upside_down: Any


def cut(slab: Slab, choice: Choice, crop: int, context: int, levels: int) -> dict[str, np.ndarray]:
    """The example that was chosen, as `context_batch` gives it, without an axis for examples."""
    before, gap = slab.start + choice.before, choice.gap
    indices, present = acquired_around(before, gap, context, slab.start, slab.stop)
    present[_outer(choice.hidden)] = False
    profile = slice_profile(choice.half)
    rows, columns = (slice(start, start + choice.side) for start in (choice.row, choice.column))
    pieces = [
        fit_to(_thick(slab, k, (rows, columns), profile), choice.side)
        for k in (*indices, before + choice.offset)
    ]
    images = resized(np.stack(pieces), crop)
    images = add_noise(images, choice.strength, choice.sigma, choice.white)
    images = change_kernel(images, choice.amount, choice.kernel_sigma)
    images = images[:, :: _step(choice.mirrored_rows), :: _step(choice.mirrored_columns)]
    acquired, offset = images[:-1], choice.offset
    if choice.upside_down:
        acquired, present, offset = acquired[::-1], present[::-1], gap - offset
    return {
        "target": to_levels(images[-1], levels),
        "context": to_levels(np.moveaxis(acquired, 0, -1), levels),
        "present": present.astype(np.float32),
        "position": np.asarray(offset / gap, np.float32),
        "gap_mm": np.asarray(gap * slab.stack.spacing_mm[0], np.float32),
    }


def to_levels(unit: np.ndarray, levels: int) -> np.ndarray:
    """Nearest level of each value of the unit range, int32; exact where the values are levels."""
    nearest = np.rint((np.asarray(unit, np.float32) + 0.5) * (levels - 1))
    return np.clip(nearest, 0, levels - 1).astype(np.int32)


def gap_limits(slab: Slab, gaps_mm: tuple[float, float]) -> tuple[int, int]:
    """Smallest and largest distance in slices, at least 2, where spacing and length allow."""
    spacing = slab.stack.spacing_mm[0]
    largest = min(len(slab) - 1, max(2, int(gaps_mm[1] / spacing)))
    return min(largest, max(2, int(np.ceil(gaps_mm[0] / spacing)))), largest


def _choose(
    rng: np.random.Generator,
    pool: Pool,
    gaps_mm: tuple[float, float],
    crop: int,
    context: int,
    augmentation: Augmentation,
) -> Choice:
    side = round(crop / random_zoom(augmentation.zoom, rng))
    for _ in range(ATTEMPTS):
        index = _choose_slab(rng, pool)
        slab = pool.slabs[index]
        smallest, largest = gap_limits(slab, gaps_mm)
        gap = int(rng.integers(smallest, largest + 1))
        before = int(rng.integers(slab.start, slab.stop - gap))
        offset = int(rng.integers(1, gap))
        window = random_window(rng, slab.stack.unit.shape[1:], side)
        if slab.stack.unit[before + offset][window].std() > FLAT:
            break
    hidden = 0
    if context > 1 and rng.random() < augmentation.edge:
        hidden = int(rng.integers(1, context))
        hidden = hidden if rng.integers(2) else -hidden
    half = random_half_thickness(gap, augmentation.thickness, rng)
    noise = random_noise(augmentation.noise, (2 * context + 1, crop, crop), rng)
    kernel = random_kernel(augmentation.kernel, rng)
    mirrored = (rng.choice((True, False)) for _ in range(2))
    rows, columns = window
    place = (index, gap, before - slab.start, offset, rows.start, columns.start, side)
    changes = (hidden, half, *noise, *kernel)
    return Choice._make((*place, *changes, *mirrored, bool(rng.integers(2))))


def _choose_slab(rng: np.random.Generator, pool: Pool) -> int:
    """Index of a slab, in proportion to the square roots of their numbers of slices."""
    first, last = 0, pool.straight
    if pool.other_axes and rng.random() < pool.other_axes:
        first, last = last, len(pool.slabs)
    return first + int(rng.choice(last - first, p=slab_weights(pool.slabs[first:last])))


def _outer(hidden: int) -> slice:
    """The first slices, or the last where negative."""
    return slice(hidden) if hidden >= 0 else slice(hidden, None)


def _step(mirrored: bool) -> int:
    return -1 if mirrored else 1


def _thick(slab: Slab, index: int, window: tuple[slice, slice], profile: np.ndarray) -> np.ndarray:
    """Window of a slice averaged with those around it, the last of the slab standing in beyond."""
    reach = len(profile) // 2
    around = np.clip(np.arange(index - reach, index + reach + 1), slab.start, slab.stop - 1)
    return np.tensordot(profile, slab.stack.unit[(around, *window)], 1).astype(np.float32)
