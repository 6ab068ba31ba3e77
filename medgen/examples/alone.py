"""Training examples cut from one scan alone, to fill in its own gaps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import convolve1d

from medgen.errors import TrainingError
from medgen.examples.augmentation import Augmentation
from medgen.examples.batches import fit_to, random_window
from medgen.examples.contexts import acquired_around, context_batch, to_levels
from medgen.examples.stacks import Slab, Stack, turned

# Fewest slices that leave some to train on when others are set aside.
FEWEST = 7
# Share of examples that lie along other axes, where there are any, and of all examples that are
# shown as if near an end of the scan.
OTHER_AXES, EDGE = 0.5, 0.2


def held_out(count: int) -> range:
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


@dataclass(frozen=True, eq=False)
class ScanExamples:
    """What a scan shows of its gaps, without the slices that are held out.

    Args:
        stack: all of its slices.
        held: indices of those held out.
        along: runs of the others. Every inner slice is to be found between its neighbours, at twice
            the scan's gap.
        across: the same voxels sliced along other axes and made as thick as the scan's slices, to
            be found across the scan's own gap. None where pixels would be too far from square:
            filled up by interpolation, they made a model worse.
    """

    stack: Stack
    held: range
    along: tuple[Slab, ...]
    across: tuple[Slab, ...]

    @classmethod
    def of(cls, stack: Stack, weights: Callable[[float], np.ndarray]) -> ScanExamples:
        """Examples of a scan.

        Args:
            stack: its slices, in their order.
            weights: slice profile at a spacing in mm, see `profiles.shape.SliceProfile`.

        Raises:
            TrainingError: too few slices.
        """
        count = len(stack.unit)
        held = held_out(count)
        runs = [Slab(stack, 0, held.start), Slab(stack, held.stop, count)]
        across = [_thick(slab, weights) for run in runs for slab in turned(run)]
        return cls(stack, held, tuple(run for run in runs if len(run) >= 3), tuple(across))

    @property
    def checksum(self) -> str:
        """SHA-256 of all that examples are cut from."""
        digest = hashlib.sha256()
        for stack in (self.stack, *(slab.stack for slab in self.across)):
            digest.update(repr((stack.unit.shape, stack.spacing_mm)).encode())
            digest.update(np.ascontiguousarray(stack.unit).data)
        return digest.hexdigest()

    def batch(
        self, *, levels: int, crop: int, size: int, context: int, seed: int, step: int
    ) -> dict[str, np.ndarray]:
        """Inputs of a PixelMiner; see `context_batch`."""
        gap = self.stack.spacing_mm[0]
        turned_size = round(OTHER_AXES * size) if self.across else 0
        parts = [
            context_batch(
                slabs,
                levels=levels,
                crop=crop,
                size=count,
                context=context,
                max_gap_mm=gap_mm,
                min_gap_mm=gap_mm,
                augmentation=Augmentation(edge=EDGE),
                seed=seed,
                step=step,
            )
            for slabs, count, gap_mm in (
                (self.along, size - turned_size, 2 * gap),
                (self.across, turned_size, gap),
            )
            if count
        ]
        batch = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        rng = np.random.default_rng([seed, 0xA10E, step])
        for i in np.flatnonzero(rng.integers(2, size=size)):  # rows for columns
            for key in ("target", "context"):
                batch[key][i] = batch[key][i].swapaxes(0, 1)
        return batch

    def held_batch(
        self, *, levels: int, crop: int, size: int, context: int, seed: int
    ) -> dict[str, np.ndarray]:
        """Windows of the slices held out, at twice the scan's gap; see `context_batch`."""
        rng = np.random.default_rng([seed, 0x4E1D])
        unit, gap = self.stack.unit, self.stack.spacing_mm[0]
        contexts, targets, present = [], [], []
        for i in range(size):
            k = self.held[i % len(self.held)]
            indices, there = acquired_around(k - 1, 2, context, 0, len(unit))
            windows = [random_window(rng, unit.shape[1:], crop) for _ in range(4)]
            window = max(windows, key=lambda window: unit[k][window].std())
            pieces = [to_levels(fit_to(unit[j][window], crop), levels) for j in (*indices, k)]
            contexts.append(np.stack(pieces[:-1], axis=-1))
            targets.append(pieces[-1])
            present.append(there)
        return {
            "target": np.stack(targets),
            "context": np.stack(contexts),
            "present": np.array(present, np.float32),
            "position": np.full(size, 0.5, np.float32),
            "gap_mm": np.full(size, 2 * gap, np.float32),
        }


def _thick(slab: Slab, weights: Callable[[float], np.ndarray]) -> Slab:
    stack = slab.stack
    unit = convolve1d(stack.unit, weights(stack.spacing_mm[0]), axis=0, mode="nearest")
    return replace(slab, stack=replace(stack, unit=unit))
