"""Training examples cut from one scan alone, to fill in its own gaps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import convolve1d

from medgen.errors import TrainingError
from medgen.examples.augmentation import Augmentation
from medgen.examples.contexts import context_batch
from medgen.examples.stacks import Slab, Stack

# Fewest slices that leave some to train on when others are set aside, and fewest that are enough
# rows of pixels for images along other axes.
FEWEST, FEWEST_ROWS = 7, 16
# The gap in pixels where other axes show it: there is something between, and the pixels of images
# along them, as long as the gap, are not too far from square.
LEAST_GAP, LARGEST_GAP = 1.5, 4.0
# Of the rows, one in so many is held out.
HELD_ROWS = 6
# Share of examples that are shown as if near an end of the scan.
EDGE = 0.2


@dataclass(frozen=True, eq=False)
class ScanExamples:
    """What a scan shows of gaps.

    Its *own* gap it shows along the other two axes, whose rows or columns of pixels lie nearer to
    each other than slices do, and are made as thick as these. *Twice* the gap it shows along its
    own axis, where every inner slice lies between its neighbours.

    Args:
        training: what examples are cut from.
        held: what validation is cut from, which trains nothing.
        indices: the rows (own gap) or slices (twice the gap) of the scan that are held out.
        steps: the gap in rows; None for examples of twice the gap.
        gap_mm: what examples are to be found across.
    """

    training: tuple[Slab, ...]
    held: Slab
    indices: range
    steps: int | None
    gap_mm: float

    @classmethod
    def own_gap(cls, stack: Stack, weights: Callable[[float], np.ndarray]) -> ScanExamples:
        """Examples of the scan's own gap.

        Args:
            stack: its slices, in their order.
            weights: slice profile at a spacing in mm, see `profiles.shape.SliceProfile`.

        Raises:
            TrainingError: the scan does not show it.
        """
        steps = gap_in_rows(stack)
        if steps is None:
            gap, *pixels = stack.spacing_mm
            raise TrainingError(
                f"A scan shows a model what lies in its gaps if it has {FEWEST_ROWS} slices or "
                f"more, {LEAST_GAP:g} to {LARGEST_GAP:g} pixels apart; got {len(stack.unit)} "
                f"slices {gap:.3g} mm apart of pixels of {pixels[0]:.3g} x {pixels[1]:.3g} mm. "
                "Fill it in by a model as it is."
            )
        held = held_rows(stack.unit.shape[1], steps)
        parts = [stack.unit[:, : held.start], stack.unit[:, held.stop :]]
        training = [_along(stack, part, axis, weights) for part in parts for axis in (1, 2)]
        band = _along(stack, stack.unit[:, held.start : held.stop], 1, weights)
        return cls(tuple(training), band, held, steps, steps * stack.spacing_mm[1])

    @classmethod
    def twice_the_gap(cls, stack: Stack) -> ScanExamples:
        """Examples of twice the gap, without those in which a slice held out is to be found.

        Raises:
            TrainingError: too few slices.
        """
        count = len(stack.unit)
        held = held_slices(count)
        runs = [Slab(stack, 0, held.start), Slab(stack, held.stop, count)]
        aside = Slab(stack, held.start - 1, held.stop + 1)
        training = tuple(run for run in runs if len(run) >= 3)
        return cls(training, aside, held, None, 2 * stack.spacing_mm[0])

    @property
    def checksum(self) -> str:
        """SHA-256 of all that examples are cut from."""
        digest = hashlib.sha256()
        for stack in (slab.stack for slab in (*self.training, self.held)):
            digest.update(repr((stack.unit.shape, stack.spacing_mm)).encode())
            digest.update(np.ascontiguousarray(stack.unit).data)
        return digest.hexdigest()

    def batch(
        self, *, levels: int, crop: int, size: int, context: int, seed: int, step: int
    ) -> dict[str, np.ndarray]:
        """Inputs of a PixelMiner; see `context_batch`.

        Where images are smaller than the crop, so are the examples, and there are more of them.
        """
        side = min(crop, *(min(slab.stack.unit.shape[1:]) for slab in self.training))
        count = round(size * (crop / side) ** 2)
        augmentation = Augmentation(edge=EDGE)
        batch = self._cut(self.training, levels, side, count, context, augmentation, seed, step)
        rng = np.random.default_rng([seed, 0xA10E, step])
        for i in np.flatnonzero(rng.integers(2, size=count)):  # rows for columns
            for key in ("target", "context"):
                batch[key][i] = batch[key][i].swapaxes(0, 1)
        return batch

    def held_batch(
        self, *, levels: int, crop: int, size: int, context: int, seed: int
    ) -> dict[str, np.ndarray]:
        """Windows of what is held out; see `context_batch`."""
        side = min(crop, *self.held.stack.unit.shape[1:])
        return self._cut((self.held,), levels, side, size, context, Augmentation(), seed, 2**31)

    def _cut(
        self,
        slabs: tuple[Slab, ...],
        levels: int,
        crop: int,
        size: int,
        context: int,
        augmentation: Augmentation,
        seed: int,
        step: int,
    ) -> dict[str, np.ndarray]:
        return context_batch(
            slabs,
            levels=levels,
            crop=crop,
            size=size,
            context=context,
            max_gap_mm=self.gap_mm * (1 + 1e-6),
            min_gap_mm=self.gap_mm * (1 - 1e-6),
            augmentation=augmentation,
            seed=seed,
            step=step,
        )


def gap_in_rows(stack: Stack) -> int | None:
    """The scan's gap in rows of pixels; None where other axes do not show it."""
    gap, rows, columns = stack.spacing_mm
    steps = round(gap / rows)
    square = abs(rows - columns) <= 0.01 * rows
    enough = len(stack.unit) >= FEWEST_ROWS and min(stack.unit.shape[1:]) >= 12 * steps
    if square and enough and LEAST_GAP <= gap / rows <= LARGEST_GAP * 1.001:
        return steps
    return None


def held_rows(count: int, steps: int) -> range:
    """Which of `count` rows stay out of training: a band in the middle, of three gaps or more."""
    size = max(count // HELD_ROWS, 3 * steps)
    first = (count - size) // 2
    return range(first, first + size)


def held_slices(count: int) -> range:
    """Which of `count` slices stay out of training: one to three in the middle.

    Raises:
        TrainingError: there are too few.
    """
    if count < FEWEST:
        raise TrainingError(
            f"A scan teaches a model from {FEWEST} slices on, got {count}; fill it in by a model "
            "as it is, or by a classical method."
        )
    size = 1 + (count >= 12) + (count >= 30)
    first = (count - size) // 2
    return range(first, first + size)


def thick(
    array: np.ndarray, spacing_mm: float, weights: Callable[[float], np.ndarray]
) -> np.ndarray:
    """Thin slices along axis 0 as slices of a profile would show them."""
    return convolve1d(array, weights(spacing_mm), axis=0, mode="nearest")


def _along(
    stack: Stack, unit: np.ndarray, axis: int, weights: Callable[[float], np.ndarray]
) -> Slab:
    """A part of a scan sliced along another axis, as thick as its own slices."""
    spacing = list(stack.spacing_mm)
    distance = spacing.pop(axis)
    image = thick(np.moveaxis(unit, axis, 0), distance, weights)
    down, across = spacing
    turned = replace(stack, unit=image, spacing_mm=(distance, down, across))
    return Slab(turned, 0, len(image))
