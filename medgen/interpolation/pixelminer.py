"""Slices from a PixelMiner: acquired slices around the gap, levels pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from medgen.errors import BundleError
from medgen.interpolation.engine import Progress
from medgen.interpolation.excess import restore_excess
from medgen.preprocessing.contexts import acquired_around
from medgen.samplers.randomness import PLACES, uniforms
from medgen.samplers.slices import SliceSampler, prediction
from medgen.serving.bundle import Bundle, PixelModel
from medgen.volumes.volume import Volume

DECODE = ("sample", "mean")
# The loop over pixels keeps one core busy, so two batches of slices are drawn side by side; each
# holds up to a gigabyte of conditioning.
WORKERS = 2
PIXELS_AT_ONCE = 2**21


@dataclass(frozen=True, eq=False)
class PixelMinerInterpolator:
    """Writes missing slices level by level, or gives the mean of every pixel on its own.

    Intensities beyond the model's range come from the neighbours, see `restore_excess`. Nothing is
    computed outside the smallest box that holds all voxels above the lowest level: there a slice is
    that level, as its neighbours are.

    Args:
        bundle: a PixelMiner.
        seed: the same seed gives the same slice at the same position, whatever else is sampled (but
            for float32 rounding, which can move a pixel to the next level, and then those it leads
            to, when another number of slices is drawn).
        temperature: see `logistic_mixture_draw`.
        decode: `sample`, or `mean` for the prediction, which is smooth and does not vary.

    Raises:
        BundleError: the bundle is of another kind, or `decode` unknown.
        MedgenError: a negative temperature.
    """

    bundle: Bundle
    seed: int = 0
    temperature: float = 1.0
    decode: str = "sample"
    _sampler: SliceSampler = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.bundle.model, PixelModel):
            raise BundleError(
                f"{self.bundle.name} is a {self.bundle.model.kind} model, not a PixelMiner; give "
                "one that train-pixelminer wrote."
            )
        if self.decode not in DECODE:
            raise BundleError(f"decode must be one of {', '.join(DECODE)}, got {self.decode!r}.")
        sampler = SliceSampler(self.bundle.model.net, self.temperature)
        object.__setattr__(self, "_sampler", sampler)

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.bundle.name

    def fill(
        self, stack: Volume, positions: np.ndarray, progress: Progress
    ) -> Iterator[np.ndarray]:
        """Yield the slice at each of `positions`; see `Interpolator.fill`."""
        self.bundle.rule.require_modality(stack)
        scale = self.bundle.rule.scale_for(stack.array)
        levels = scale.quantise(stack.array)
        box = _occupied(levels)
        at_once = max(1, PIXELS_AT_ONCE // max(1, levels[0][box].size))
        batches = np.split(positions, range(at_once, len(positions), at_once))
        image = np.full(stack.shape[1:], scale.low, np.float32)
        done = 0
        with ThreadPoolExecutor(WORKERS) as pool:
            drawn = pool.map(
                lambda batch: self.levels_at(levels, batch, stack.spacing[0], box), batches
            )
            for batch, slices in zip(batches, drawn, strict=True):
                for position, values in zip(batch, slices, strict=True):
                    image[box] = scale.dequantise(values)
                    done += 1
                    progress(done, len(positions))
                    yield restore_excess(image, stack, position, scale)

    def levels_at(
        self,
        levels: np.ndarray,
        positions: np.ndarray,
        gap_mm: float,
        box: tuple[slice, slice],
    ) -> np.ndarray:
        """Levels of the slices at `positions` within `box`.

        Args:
            levels: of all acquired slices, `(n, rows, cols)`.
            positions: see `Interpolator.fill`.
            gap_mm: spacing of the acquired slices.
            box: rows and columns.

        Returns:
            `(len(positions), ...)`: int32, or float32 from `decode` mean.
        """
        rows, cols = levels.shape[1:]
        if not levels[0][box].size:
            return np.zeros((len(positions), *levels[0][box].shape), np.int32)
        net = self.bundle.model.net
        before = positions.astype(int)
        around = [acquired_around(i, 1, net.context, 0, len(levels)) for i in before]
        indices, present = (np.stack(values) for values in zip(*around, strict=True))
        inputs = {
            "context": np.moveaxis(levels[(indices, *box)], 1, -1),
            "present": present.astype(np.float32),
            "position": (positions - before).astype(np.float32),
            "gap_mm": np.full(len(positions), gap_mm, np.float32),
        }
        if self.decode == "mean":
            return prediction(net, inputs)
        places = tf.constant(np.rint(positions * PLACES), tf.int64)
        numbers = uniforms(self.seed, places, (rows, cols, 2))[(slice(None), *box)]
        return self._sampler(inputs, numbers)


def _occupied(levels: np.ndarray) -> tuple[slice, slice]:
    """Smallest box of rows and columns outside which all slices are at the lowest level."""
    occupied = levels.any(axis=0)
    sides = (np.flatnonzero(occupied.any(axis=axis)) for axis in (1, 0))
    return tuple(slice(side[0], side[-1] + 1) if side.size else slice(0, 0) for side in sides)
