"""Slices from a PixelMiner: acquired slices around the gap, levels pixel by pixel."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import tensorflow as tf

from medgen.errors import BundleError
from medgen.interpolation.engine import AUTO, Progress
from medgen.interpolation.excess import restore_excess
from medgen.interpolation.matching import matching_temperature
from medgen.interpolation.samples import UNCERTAINTY, Filling
from medgen.preprocessing.contexts import inputs_between
from medgen.preprocessing.intensity import Scale
from medgen.samplers.randomness import PLACES, uniforms
from medgen.samplers.slices import ALIKE, DECODE, SliceSampler
from medgen.samplers.uncertainty import Uncertainty
from medgen.samplers.windows import WindowSampler
from medgen.serving.bundle import Bundle, PixelModel
from medgen.volumes.volume import Volume

# The loop over pixels keeps one core busy, so two batches of slices are drawn side by side; each
# holds up to a gigabyte of conditioning.
WORKERS = 2
PIXELS_AT_ONCE = 2**21

Batch, Result = TypeVar("Batch"), TypeVar("Result")


@dataclass(frozen=True, eq=False)
class PixelMinerInterpolator:
    """Writes missing slices level by level, or gives the mean of every pixel on its own.

    Intensities beyond the model's range come from the neighbours, see `restore_excess`. Nothing is
    computed outside the smallest box that holds all voxels above the lowest level: there a slice is
    that level, as its neighbours are. Within it whole rows are drawn, without windows.

    Args:
        bundle: a PixelMiner.
        seed: the same seed gives the same slice at the same position, whatever else is sampled (in
            slices of more than 512 x 512 pixels but for float32 rounding, which can move a pixel to
            the next level, and then those it leads to, when another number of slices is drawn).
        temperature: see `logistic_mixture_draw`; `auto` for the one at which a scan's synthetic
            slices are as noisy as its own, see `settled`.
        decode: `sample`, or `mean` for the prediction, which is smooth and does not vary.
        sampler: `cached`, `fixed-point` or `wavefront`, see `samplers.slices.SliceSampler`.

    Raises:
        BundleError: the bundle is of another kind, `decode` unknown, or `auto` of what is not
            sampled.
        MedgenError: a negative temperature, or an unknown sampler.
    """

    bundle: Bundle
    seed: int = 0
    temperature: float | str = 1.0
    decode: str = "sample"
    sampler: str = "cached"
    _sampler: SliceSampler | WindowSampler | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.bundle.model, PixelModel):
            raise BundleError(
                f"{self.bundle.name} is a {self.bundle.model.kind} model, not a PixelMiner; give "
                "one that train-pixelminer wrote."
            )
        if self.decode not in DECODE:
            raise BundleError(f"decode must be one of {', '.join(DECODE)}, got {self.decode!r}.")
        if self.temperature == AUTO and self.decode == "mean":
            raise BundleError("The mean has no temperature; leave it out, or decode samples.")
        sampler = self.bundle.model.sampler(
            temperature=1.0 if self.temperature == AUTO else self.temperature,
            decode=self.decode,
            method=self.sampler,
        )
        object.__setattr__(self, "_sampler", sampler)

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.bundle.name

    @property
    def tells_uncertainty(self) -> bool:
        """Whether `fill_several` can measure it: not with the published net."""
        return isinstance(self._sampler, SliceSampler)

    def settled(
        self, stack: Volume, positions: np.ndarray, note: Callable[[str], None] | None = None
    ) -> PixelMinerInterpolator:
        """The same with a number for `auto`, for one scan.

        Args:
            stack: see `Interpolator.fill`.
            positions: likewise.
            note: called with a sentence where there is no noise to match.

        Returns:
            With the temperature that `matching_temperature` finds, or 1 where it finds none.
        """
        if self.temperature != AUTO:
            return self
        self.bundle.rule.require_modality(stack)
        levels, _ = self._levels(stack)
        found = matching_temperature(
            self.bundle.model.net, levels, positions, stack.spacing[0], self.seed
        )
        if found is None and note:
            note("No homogeneous tissue with noise to match; the temperature is 1.")
        return replace(self, temperature=1.0 if found is None else found)

    def fill(
        self, stack: Volume, positions: np.ndarray, progress: Progress
    ) -> Iterator[np.ndarray]:
        """Yield the slice at each of `positions`; see `Interpolator.fill`."""
        for filling in self.fill_several(stack, positions, progress):
            yield filling.images[0]

    def fill_several(
        self,
        stack: Volume,
        positions: np.ndarray,
        progress: Progress,
        *,
        samples: int = 1,
        uncertainty: bool = False,
    ) -> Iterator[Filling]:
        """Yield each slice several times; see `samples.SamplingInterpolator.fill_several`.

        Raises:
            BundleError: more than one sample of the mean.
            MedgenError: the uncertainty of a model that makes no prediction.
        """
        if self.decode == "mean" and samples > 1:
            raise BundleError("The mean does not vary; ask for one sample, or decode samples.")
        self.bundle.rule.require_modality(stack)
        settled = self.settled(stack, positions)
        levels, scale = self._levels(stack)
        box = _occupied(levels)
        at_once = max(1, PIXELS_AT_ONCE // max(1, levels[0][box].size))
        at_once = max(at_once - at_once % ALIKE, min(at_once, ALIKE))
        batches = np.split(positions, range(at_once, len(positions), at_once))
        drawn = _in_order(
            lambda batch: settled.levels_at(
                levels, batch, stack.spacing[0], box, samples, uncertainty
            ),
            batches,
        )
        done = 0
        for batch, (slices, measured) in zip(batches, drawn, strict=True):
            for i, position in enumerate(batch):
                images = [_in_slice(values[i], stack, position, scale, box) for values in slices]
                maps = _maps(measured, i, stack, position, scale, box) if uncertainty else None
                done += 1
                progress(done, len(positions))
                yield Filling(np.stack(images), maps)

    def levels_at(
        self,
        levels: np.ndarray,
        positions: np.ndarray,
        gap_mm: float,
        box: tuple[slice, slice],
        samples: int = 1,
        uncertainty: bool = False,
    ) -> tuple[np.ndarray, Uncertainty | None]:
        """Levels of the slices at `positions` within `box`.

        Args:
            levels: of all acquired slices, `(n, rows, cols)`.
            positions: see `Interpolator.fill`.
            gap_mm: spacing of the acquired slices.
            box: rows and columns.
            samples: how often to draw them.
            uncertainty: whether to measure it.

        Returns:
            `(samples, len(positions), ...)`, int32, or float32 from `decode` mean; and the
            uncertainty within `box`, or None.
        """
        rows, cols = levels.shape[1:]
        shape = (len(positions), *levels[0][box].shape)
        if 0 in shape:
            nothing = np.zeros(shape, np.float32)
            return np.zeros((samples, *shape), np.int32), Uncertainty(*[nothing] * 4)
        context = self.bundle.model.net.context
        inputs = inputs_between(levels, positions, gap_mm, [box] * len(positions), context)
        places = tf.constant(np.rint(positions * PLACES), tf.int64)
        numbers = (
            uniforms(self.seed + k, places, (rows, cols, 2))[(slice(None), *box)]
            for k in range(samples)
        )
        return self._sampler.fill(inputs, numbers, uncertainty)

    def _levels(self, stack: Volume) -> tuple[np.ndarray, Scale]:
        """Levels of the acquired slices in the smallest dtype that holds them, and their scale."""
        scale = self.bundle.rule.scale_for(stack.array)
        levels = np.empty(stack.shape, np.min_scalar_type(scale.levels - 1))
        for k, image in enumerate(stack.array):
            levels[k] = scale.quantise(image)
        return levels, scale


def _in_order(work: Callable[[Batch], Result], batches: Iterable[Batch]) -> Iterator[Result]:
    """Results of `work`, `WORKERS` at a time and at most one ahead of who takes them."""
    with ThreadPoolExecutor(WORKERS) as pool:
        under_way = deque()
        try:
            for batch in batches:
                under_way.append(pool.submit(work, batch))
                if len(under_way) > WORKERS:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:  # where nobody takes the rest
            pool.shutdown(wait=False, cancel_futures=True)


def _in_slice(
    values: np.ndarray, stack: Volume, position: float, scale: Scale, box: tuple[slice, slice]
) -> np.ndarray:
    """Levels within `box` as a whole slice in physical units."""
    image = np.full(stack.shape[1:], scale.low, np.float32)
    image[box] = scale.dequantise(values)
    return restore_excess(image, stack, position, scale)


def _maps(
    measured: Uncertainty,
    i: int,
    stack: Volume,
    position: float,
    scale: Scale,
    box: tuple[slice, slice],
) -> dict[str, np.ndarray]:
    """Uncertainty of slice `i` by name, in physical units and bits; none outside `box`."""
    spread = np.zeros((2, *stack.shape[1:]), np.float32)
    spread[(0, *box)] = measured.deviation[i] * scale.step
    spread[(1, *box)] = measured.entropy[i]
    ends = (_in_slice(end[i], stack, position, scale, box) for end in (measured.low, measured.high))
    return dict(zip(UNCERTAINTY, (*spread, *ends), strict=True))


def _occupied(levels: np.ndarray) -> tuple[slice, slice]:
    """Smallest box of rows and columns outside which all slices are at the lowest level."""
    occupied = levels.any(axis=0)
    sides = (np.flatnonzero(occupied.any(axis=axis)) for axis in (1, 0))
    return tuple(slice(side[0], side[-1] + 1) if side.size else slice(0, 0) for side in sides)
