"""Slices in grey levels around a prediction, as a PixelMiner draws them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Protocol

import numpy as np

from medgen.backends import device_bytes
from medgen.bundles.bundle import Bundle
from medgen.errors import BundleError
from medgen.examples.contexts import inputs_between
from medgen.families.pixelminer.sampler import sampler_of
from medgen.intensities.scale import Scale
from medgen.interpolation.contract import (
    AUTO,
    UNCERTAINTY,
    Filling,
    Interpolator,
    Progress,
    Temperature,
)
from medgen.interpolation.excess import restore_excess
from medgen.interpolation.matching import Texture
from medgen.processes import in_order
from medgen.sampling.randomness import PLACES, uniforms
from medgen.sampling.slices import ALIKE, DECODE, Drawn, SliceSampler
from medgen.sampling.uncertainty import Uncertainty
from medgen.volumes.volume import Volume

# The loop over pixels keeps one core busy, so two batches of slices are drawn side by side; each
# holds up to a gigabyte of conditioning.
WORKERS = 2
PIXELS_AT_ONCE = 2**21
# What an accelerator is asked for by each pixel of a batch, in bytes; it draws all slices of a scan
# at once if it can.
DEVICE_BYTES_A_PIXEL = 2**10
# Share kept by `auto` of what chance adds to the prediction. Matching the texture restores the
# power; the more of it comes from the prediction's own detail, the more of it the truth has, too.
SHARE_OF_CHANCE = 0.5


class LevelSampler(Protocol):
    """What draws slices in grey levels; see `sampling.slices.SliceSampler.fill`."""

    def fill(
        self,
        inputs: Mapping[str, np.ndarray],
        uniforms: Iterable[np.ndarray],
        uncertainty: bool = False,
    ) -> Drawn:
        """Slices for `uniforms` `(b, h, w, 2)`, once for each of these."""


@dataclass(frozen=True, eq=False)
class LevelInterpolator(Interpolator):
    """The base of what draws missing slices around a prediction, or gives the prediction.

    Intensities beyond the model's range come from the neighbours, see `restore_excess`. Nothing is
    computed outside the smallest box that holds all voxels above the lowest level: there a slice is
    that level, as its neighbours are.

    Args:
        bundle: the model.
        seed: the same seed gives the same slice at the same position, whatever else is sampled.
        temperature: of the draw; `auto` to draw at 1, bring what is drawn half way to the
            prediction (with `decode` mean: all the way), and give it the texture of the acquired
            slices beside it, see `Texture`.
        decode: `sample`, or `mean` for the prediction, which is smooth and does not vary.

    Raises:
        BundleError: `decode` unknown.
    """

    bundle: Bundle
    seed: int = 0
    temperature: Temperature = 1.0
    decode: str = "sample"
    _sampler: LevelSampler = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.decode not in DECODE:
            raise BundleError(f"decode must be one of {', '.join(DECODE)}, got {self.decode!r}.")
        object.__setattr__(self, "_sampler", self.make_sampler())

    def make_sampler(self) -> LevelSampler:
        """What draws, at `drawn_at` and as `decode` says."""
        raise NotImplementedError

    @property
    def context(self) -> int:
        """Acquired slices a side that the model reads."""
        raise NotImplementedError

    @property
    def drawn_at(self) -> float:
        """The temperature that is drawn at."""
        return 1.0 if self.temperature == AUTO else self.temperature

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.bundle.name

    @property
    def draws(self) -> bool:
        """Whether it draws its slices: the mean does not vary."""
        return self.decode != "mean"

    def prediction(self) -> Interpolator | None:
        """See `Interpolator`."""
        if not self.tells_uncertainty:
            return None
        return replace(self, decode="mean", temperature=1.0)

    def fill(
        self,
        stack: Volume,
        positions: np.ndarray,
        progress: Progress,
        *,
        samples: int = 1,
        uncertainty: bool = False,
    ) -> Iterator[Filling]:
        """Yield what belongs at each of `positions`; see `Interpolator.fill`.

        Raises:
            IntensityError: the scan is of another modality than the model's.
        """
        self.bundle.rule.require(stack.modality, stack.guess)
        levels, scale = self._levels(stack)
        box = _occupied(levels)
        at_once = max(1, _pixels_at_once() // max(1, levels[0][box].size))
        at_once = max(at_once - at_once % ALIKE, min(at_once, ALIKE))
        batches = np.split(positions, range(at_once, len(positions), at_once))

        @lru_cache(WORKERS)
        def texture(before: int) -> Texture:
            return Texture(stack.array[(slice(before, before + 2), *box)])

        def fillings(batch: np.ndarray) -> list[Filling]:
            drawn = self.levels_at(levels, batch, stack.spacing[0], box, samples, uncertainty)
            return [
                self._filling(drawn, i, stack, p, scale, box, texture) for i, p in enumerate(batch)
            ]

        done = 0
        with ThreadPoolExecutor(WORKERS) as pool:
            for filled in in_order(pool, fillings, batches, ahead=WORKERS + 1):
                for filling in filled:
                    done += 1
                    progress(done, len(positions))
                    yield filling

    def levels_at(
        self,
        levels: np.ndarray,
        positions: np.ndarray,
        gap_mm: float,
        box: tuple[slice, slice],
        samples: int = 1,
        uncertainty: bool = False,
    ) -> Drawn:
        """Levels of the slices at `positions` within `box`.

        Args:
            levels: of all acquired slices, `(n, rows, cols)`.
            positions: see `Interpolator.fill`.
            gap_mm: spacing of the acquired slices.
            box: rows and columns.
            samples: how often to draw them.
            uncertainty: whether to measure it.
        """
        rows, cols = levels.shape[1:]
        shape = (len(positions), *levels[0][box].shape)
        if 0 in shape:
            nothing = np.zeros(shape, np.float32)
            measured = Uncertainty(*[nothing] * 4) if uncertainty else None
            return Drawn(np.zeros((samples, *shape), np.int32), nothing, measured)
        context = self.context
        inputs = inputs_between(levels, positions, gap_mm, [box] * len(positions), context)
        places = np.rint(positions * PLACES).astype(np.int64)
        numbers = (
            uniforms(self.seed + k, places, (rows, cols, 2))[(slice(None), *box)]
            for k in range(samples)
        )
        return self._sampler.fill(inputs, numbers, uncertainty)

    def _filling(
        self,
        drawn: Drawn,
        i: int,
        stack: Volume,
        position: float,
        scale: Scale,
        box: tuple[slice, slice],
        texture: Callable[[int], Texture],
    ) -> Filling:
        """Slice `i` of what was drawn, whole and in physical units."""
        images = [_in_slice(levels[i], stack, position, scale, box) for levels in drawn.levels]
        if self.temperature == AUTO and images[0][box].size:
            shown, reference = texture(int(position)), None
            if drawn.prediction is not None:
                reference = _in_slice(drawn.prediction[i], stack, position, scale, box)[box]
            for image in images:
                piece = image[box]
                if reference is not None:
                    piece = reference + SHARE_OF_CHANCE * (piece - reference)
                image[box] = shown.given_to(piece, reference)
        maps = None
        if drawn.uncertainty is not None:
            maps = _maps(drawn.uncertainty, i, stack, position, scale, box)
        return Filling(np.stack(images), maps)

    def _levels(self, stack: Volume) -> tuple[np.ndarray, Scale]:
        """Levels of the acquired slices in the smallest dtype that holds them, and their scale."""
        scale = self.bundle.rule.scale_for(stack.array)
        levels = np.empty(stack.shape, np.min_scalar_type(scale.levels - 1))
        for k, image in enumerate(stack.array):
            levels[k] = scale.quantise(image)
        return levels, scale


@dataclass(frozen=True, eq=False)
class PixelMinerInterpolator(LevelInterpolator):
    """Writes missing slices level by level, or gives the mean of every pixel on its own.

    Within the box whole rows are drawn, without windows; see `LevelInterpolator`.

    Args:
        bundle: a PixelMiner.
        seed: float32 rounding, on another kind of processor, or when another number of slices is
            drawn (where they are larger than 512 x 512 pixels), can move a pixel to the next level,
            and then those it leads to.
        temperature: see `logistic_mixture_draw`.
        decode: see `LevelInterpolator`.
        sampler: `cached`, `fixed-point` or `wavefront`, see `sampling.slices.SliceSampler`.

    Raises:
        BundleError: the bundle is of another kind, or `decode` unknown.
        MedgenError: a negative temperature, or an unknown sampler.
    """

    sampler: str = "cached"

    def __post_init__(self) -> None:
        if "pixelminer" not in self.bundle.nets:
            raise BundleError(
                f"{self.bundle.name} is a {self.bundle.kind} model, not a PixelMiner; give "
                "one that train-pixelminer wrote."
            )
        super().__post_init__()

    def make_sampler(self) -> LevelSampler:
        """See `LevelInterpolator.make_sampler`."""
        return sampler_of(
            self.bundle.recipes["pixelminer"],
            self.bundle.nets["pixelminer"],
            temperature=self.drawn_at,
            decode=self.decode,
            method=self.sampler,
        )

    @property
    def context(self) -> int:
        """See `LevelInterpolator.context`."""
        return self.bundle.nets["pixelminer"].context

    @property
    def tells_uncertainty(self) -> bool:
        """Whether its net makes a prediction: not the published one."""
        return isinstance(self._sampler, SliceSampler)


def _pixels_at_once() -> int:
    free = device_bytes()
    if free is None:
        return PIXELS_AT_ONCE
    return max(PIXELS_AT_ONCE, free // (WORKERS * DEVICE_BYTES_A_PIXEL))


def _in_slice(
    values: np.ndarray, stack: Volume, position: float, scale: Scale, box: tuple[slice, slice]
) -> np.ndarray:
    """Levels within `box` as a whole slice in physical units."""
    image = np.full(stack.shape[1:], scale.low, stack.array.dtype)
    image[box] = scale.dequantise(values, image.dtype)
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
    occupied = np.any(levels, axis=0)
    sides = (np.flatnonzero(occupied.any(axis=axis)) for axis in (1, 0))
    rows, cols = (slice(side[0], side[-1] + 1) if side.size else slice(0, 0) for side in sides)
    return rows, cols
