"""Training windows made where the net is: what `examples.contexts` gives, without the host.

A host cuts and augments some tens of windows a second, an accelerator trains on thousands. Volumes
lie there as int16; windows are a function of the run's seed and the step, compiled into the step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np
from keras import ops

from medgen.backends import Tensor, random_numbers, whole_products
from medgen.errors import TrainingError
from medgen.examples.augmentation import (
    KERNEL_SIGMAS,
    NOISE_SIGMAS,
    THIN,
    UNTOUCHED,
    Augmentation,
    profile_reach,
    resizing,
    zoom_limit,
)
from medgen.examples.batches import ATTEMPTS, FLAT
from medgen.examples.contexts import NO_AUGMENTATION, Choice, Pool, gap_limits
from medgen.examples.stacks import Slab

# Steps of an int16 over the unit range: 32 for each of 2048 levels.
INT16_STEPS = 2**16 - 2
MOST_VOXELS = 2**31 - 1
# Reach of a Gaussian, in sigmas, as SciPy has it.
TRUNCATE = 4.0

Tensors = Mapping[str, Tensor]


class WindowsOnDevice:
    """`examples.contexts.context_batch` in tensors, with the same distribution of examples.

    Args:
        slabs: see there, as all others.
        levels: likewise.
        crop: likewise.
        size: likewise.
        context: likewise.
        max_gap_mm: likewise.
        augmentation: likewise.
        seed: likewise.

    Attributes:
        tensors: what `__call__` reads, to be handed to it: a compiler takes what is not handed in
            for a constant, and may spend hours on it.

    Raises:
        TrainingError: no slab has three slices, or there are too many voxels to be counted.
    """

    def __init__(
        self,
        slabs: Sequence[Slab],
        *,
        levels: int,
        crop: int,
        size: int,
        context: int,
        max_gap_mm: float,
        augmentation: Augmentation = NO_AUGMENTATION,
        seed: int,
    ):
        self.levels, self.crop, self.size, self.context = levels, crop, size, context
        self.augmentation = augmentation
        words = np.random.SeedSequence([seed, 0xDE71]).generate_state(3)
        self._seeds = [int(word >> 1) for word in words]
        pool = Pool.of(slabs, augmentation.other_axes)
        voxels, places = laid_out(pool.slabs)
        gaps = np.array([gap_limits(slab, (0.0, max_gap_mm)) for slab in pool.slabs])
        self._reach = profile_reach(max(THIN, augmentation.thickness * gaps.max() / 2))
        limit = zoom_limit(augmentation.zoom)
        self._sides = range(round(crop * np.exp(-limit)), round(crop * np.exp(limit)) + 1)
        resizings = np.zeros((len(self._sides), crop, self._sides[-1]), np.float32)
        for matrix, side in zip(resizings, self._sides, strict=True):
            matrix[:, :side] = resizing(side, crop)
        host = {
            "voxels": voxels,
            "places": places,
            "gaps": gaps.astype(np.int32),
            "spacing": np.array([slab.stack.spacing_mm[0] for slab in pool.slabs], np.float32),
            "reached": np.cumsum(pool.probabilities()).astype(np.float32),
            "resizings": resizings,
        }
        self.tensors: dict[str, Tensor] = {key: ops.convert_to_tensor(x) for key, x in host.items()}

    def __call__(self, tensors: Tensors, step: Tensor | int) -> dict[str, Tensor]:
        """The batch of a step, see `context_batch`; `tensors` are those of this object."""
        return self.cut(tensors, self.choose(tensors, step))

    def choose(self, tensors: Tensors, step: Tensor | int) -> Choice:
        """What chance decides of the examples of a step, each field `(size, ...)`."""
        changes = self.augmentation
        uniform = partial(random_numbers, step=step)
        numbers = iter(ops.unstack(uniform((16, self.size), self._seeds[0])))

        def touched(largest: float, value: Tensor, untouched: float) -> Tensor:
            """`value` for the examples that a change is made to."""
            left = next(numbers) < (UNTOUCHED if largest else 1.0)
            return ops.where(left, untouched, value)

        limit = zoom_limit(changes.zoom)
        zoom = ops.exp(_between(next(numbers), -limit, limit))
        zoom = touched(changes.zoom, zoom, 1.0)
        side = ops.cast(ops.round(self.crop / zoom), "int32")
        side = ops.clip(side, self._sides[0], self._sides[-1])
        places = ops.unstack(uniform((6, ATTEMPTS, self.size), self._seeds[1]))
        slab, gap, before, offset, row, column = self._place(tensors, places, side)
        hidden = ops.zeros_like(side)
        if self.context > 1:
            outer = _integer(next(numbers), 1, self.context)
            outer = ops.where(next(numbers) < 0.5, outer, -outer)
            hidden = ops.where(next(numbers) < changes.edge, outer, 0)
        half = next(numbers) * changes.thickness * ops.cast(gap, "float32") / 2
        half = touched(changes.thickness, ops.maximum(half, THIN), THIN)
        strength = touched(changes.noise, next(numbers) * changes.noise, 0.0)
        sigma = _between(next(numbers), *NOISE_SIGMAS)
        amount = _between(next(numbers), -changes.kernel, changes.kernel)
        amount = touched(changes.kernel, amount, 0.0)
        kernel_sigma = _between(next(numbers), *KERNEL_SIGMAS)
        shape = (self.size, 2 * self.context + 1, self.crop, self.crop)
        white = uniform(shape, self._seeds[2], normal=True)
        place = (slab, gap, before, offset, row, column, side, hidden)
        turns = (next(numbers) < 0.5 for _ in range(3))
        return Choice(*place, half, strength, sigma, white, amount, kernel_sigma, *turns)

    def cut(self, tensors: Tensors, choice: Choice) -> dict[str, Tensor]:
        """The examples that were chosen, as `examples.contexts.cut` gives each."""
        count, gap = self._shape(tensors, choice.slab)[:, :1], choice.gap
        steps = np.arange(2 * self.context) - self.context + 1
        indices = choice.before[:, None] + gap[:, None] * steps
        present = (indices >= 0) & (indices < count) & ~self._hidden(choice.hidden)
        target = (choice.before + choice.offset)[:, None]
        indices = ops.concatenate([ops.clip(indices, 0, count - 1), target], axis=1)
        with whole_products():
            images = self._images(tensors, choice, indices)
        images = _where(choice.mirrored_rows, ops.flip(images, 2), images)
        images = _where(choice.mirrored_columns, ops.flip(images, 3), images)
        down = choice.upside_down
        acquired = _where(down, ops.flip(images[:, :-1], 1), images[:, :-1])
        present = _where(down, ops.flip(present, 1), present)
        offset = ops.where(down, gap - choice.offset, choice.offset)
        return {
            "target": self._to_levels(images[:, -1]),
            "context": self._to_levels(ops.moveaxis(acquired, 1, -1)),
            "present": ops.cast(present, "float32"),
            "position": ops.cast(offset, "float32") / ops.cast(gap, "float32"),
            "gap_mm": ops.cast(gap, "float32") * ops.take(tensors["spacing"], choice.slab),
        }

    def _place(self, tensors: Tensors, numbers: Sequence[Tensor], side: Tensor) -> Sequence[Tensor]:
        """Of the places tried, the first that is not flat, or else the last."""
        which, *numbers = numbers  # (attempts, b) each
        slab = ops.searchsorted(tensors["reached"], ops.reshape(which, (-1,)), side="right")
        slab = ops.minimum(ops.cast(slab, "int32"), tensors["reached"].shape[0] - 1)
        slab = ops.reshape(slab, which.shape)
        gaps, shape = ops.take(tensors["gaps"], slab, axis=0), self._shape(tensors, slab)
        gap = _integer(numbers[0], gaps[..., 0], gaps[..., 1] + 1)
        before = _integer(numbers[1], 0, shape[..., 0] - gap)
        offset = _integer(numbers[2], 1, gap)
        row, column = (
            _integer(numbers[3 + i], 0, ops.maximum(shape[..., 1 + i] - side, 0) + 1)
            for i in range(2)
        )
        found = [slab, gap, before, offset, row, column]
        flat = self._deviation(tensors, (slab, before + offset, row, column), side) <= FLAT
        chosen = [values[-1] for values in found]
        for i in reversed(range(ATTEMPTS - 1)):
            chosen = [ops.where(flat[i], c, v[i]) for c, v in zip(chosen, found, strict=True)]
        return chosen

    def _deviation(self, tensors: Tensors, place: Sequence[Tensor], side: Tensor) -> Tensor:
        """Standard deviation in windows of slices, in the unit range, `(attempts, b)`."""
        several = place[0].shape
        place = [ops.reshape(x, (-1,)) for x in place]
        slab, index, *corner = place
        side = ops.tile(side, several[0])
        pixels = self._windows(tensors, slab, index[:, None], corner, side)[:, 0]
        sides = ops.minimum(self._shape(tensors, slab)[:, 1:], side[:, None])
        inside = [np.arange(self._sides[-1]) < sides[:, i, None] for i in range(2)]
        inside = ops.cast(inside[0][:, :, None] & inside[1][:, None], "float32")
        weights = inside / ops.sum(inside, axis=(1, 2), keepdims=True)
        mean = ops.sum(weights * pixels, axis=(1, 2), keepdims=True)
        variance = ops.sum(weights * (pixels - mean) ** 2, axis=(1, 2))
        return ops.reshape(ops.sqrt(variance), several)

    def _images(self, tensors: Tensors, choice: Choice, indices: Tensor) -> Tensor:
        """Slices `(b, n, crop, crop)` in the unit range: thick, zoomed, with noise and kernel."""
        taps = np.arange(-self._reach, self._reach + 1)
        weights = ops.clip(choice.half[:, None] + 0.5 - np.abs(taps).astype(np.float32), 0, 1)
        weights = weights / ops.sum(weights, axis=1, keepdims=True)
        count = self._shape(tensors, choice.slab)[:, 0]
        images: Tensor = 0.0
        for i, tap in enumerate(taps):
            slices = ops.clip(indices + int(tap), 0, count[:, None] - 1)
            corner = choice.row, choice.column
            windows = self._windows(tensors, choice.slab, slices, corner, choice.side)
            images = images + weights[:, i, None, None, None] * windows
        resizings = ops.take(tensors["resizings"], choice.side - self._sides[0], axis=0)
        images = _on_both_sides(resizings, images)
        if self.augmentation.noise:
            noise = _on_both_sides(_smoothing(choice.sigma, self.crop, "wrap"), choice.white)
            deviation = ops.maximum(ops.std(noise, axis=(1, 2, 3)), 1e-6)  # 0 where there is none
            images = images + (choice.strength / deviation)[:, None, None, None] * noise
        if self.augmentation.kernel:
            smoothing = _smoothing(choice.kernel_sigma, self.crop, "symmetric")
            detail = images - _on_both_sides(smoothing, images)
            images = images + choice.amount[:, None, None, None] * detail
        return images

    def _windows(
        self, tensors: Tensors, slab: Tensor, slices: Tensor, corner: Sequence[Tensor], side: Tensor
    ) -> Tensor:
        """Windows of slices `(b, n)`, `(b, n, s, s)` in the unit range, edges repeated beyond."""
        places = ops.take(tensors["places"], slab, axis=0)  # (b, 7)
        first, strides, shape = places[:, 0], places[:, 1:4], places[:, 4:]

        def address(start: Tensor, i: int) -> Tensor:
            """Of every row or column of the windows, from the slice's first pixel."""
            last = ops.minimum(side, shape[:, i]) - 1
            pixel = ops.minimum(np.arange(self._sides[-1], dtype=np.int32), last[:, None])
            return (start[:, None] + pixel) * strides[:, i, None]

        rows, columns = (address(start, 1 + i) for i, start in enumerate(corner))
        slices = first[:, None] + slices * strides[:, 0, None]
        where = slices[:, :, None, None] + rows[:, None, :, None] + columns[:, None, None]
        return ops.cast(ops.take(tensors["voxels"], where), "float32") * (1 / INT16_STEPS)

    def _shape(self, tensors: Tensors, slab: Tensor) -> Tensor:
        return ops.take(tensors["places"][:, 4:], slab, axis=0)

    def _hidden(self, hidden: Tensor) -> Tensor:
        """Which slices are, `(b, 2 * context)`."""
        number, hidden = np.arange(2 * self.context), hidden[:, None]
        return (number < hidden) | (number >= 2 * self.context + hidden)

    def _to_levels(self, unit: Tensor) -> Tensor:
        nearest = ops.round((unit + 0.5) * (self.levels - 1))
        return ops.cast(ops.clip(nearest, 0, self.levels - 1), "int32")


def laid_out(slabs: Sequence[Slab]) -> tuple[np.ndarray, np.ndarray]:
    """All voxels in a row, each once, whatever slabs share them, and where those of a slab lie.

    Returns:
        `(voxels,)` int16, steps of `INT16_STEPS` over the unit range, and `(slabs, 7)` int32: the
        first voxel, by how many voxels one lies behind the other along each axis, and the shape.

    Raises:
        TrainingError: there are more voxels than `MOST_VOXELS`.
    """
    owners: dict[int, tuple[int, np.ndarray]] = {}
    total, places = 0, []
    for slab in slabs:
        unit = slab.stack.unit[slab.start : slab.stop]
        owner = _owner(unit)
        if not owner.flags.forc:
            owner = unit = np.ascontiguousarray(unit)
        if id(owner) not in owners:
            owners[id(owner)] = (total, owner)
            total += owner.size
        offset = (_address(unit) - _address(owner)) // unit.itemsize
        strides = [stride // unit.itemsize for stride in unit.strides]
        places.append([owners[id(owner)][0] + offset, *strides, *unit.shape])
    if total > MOST_VOXELS:
        raise TrainingError(
            f"A device holds {MOST_VOXELS:,} voxels to train on, got {total:,}; leave scans out."
        )
    voxels = np.empty(total, np.int16)
    for begin, owner in owners.values():
        voxels[begin : begin + owner.size] = np.rint(owner.ravel(order="K") * INT16_STEPS)
    return voxels, np.array(places, np.int32)


def _owner(unit: np.ndarray) -> np.ndarray:
    """The array that `unit` is a view of."""
    while isinstance(unit.base, np.ndarray) and unit.base.dtype == unit.dtype:
        unit = unit.base
    return unit


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _smoothing(sigma: Tensor, side: int, mode: Literal["wrap", "symmetric"]) -> Tensor:
    """Matrices `(b, side, side)` that smooth a row of pixels by a Gaussian, as SciPy's filter."""
    reach = int(TRUNCATE * max(*NOISE_SIGMAS, *KERNEL_SIGMAS) + 0.5)
    taps = np.arange(-reach, reach + 1)
    # For each tap, which pixel it takes for another: `np.pad` knows what lies beyond the ends.
    pixels = np.pad(np.arange(side), reach, mode=mode)
    taken = pixels[reach + taps[:, None] + np.arange(side)]  # (taps, side)
    taken = (taken[..., None] == np.arange(side)).astype(np.float32)
    sigma = ops.maximum(sigma, 1e-3)[:, None]
    weights = ops.exp(-0.5 * (taps.astype(np.float32) / sigma) ** 2)
    weights = ops.where(np.abs(taps) <= ops.floor(TRUNCATE * sigma + 0.5), weights, 0.0)
    return ops.einsum("bk,kij->bij", weights / ops.sum(weights, axis=1, keepdims=True), taken)


def _on_both_sides(matrices: Tensor, images: Tensor) -> Tensor:
    """`M x Mᵀ` of every image x `(b, n, s, s)` with the matrix `(b, r, s)` of its example."""
    matrices = matrices[:, None]
    return ops.matmul(ops.matmul(matrices, images), ops.swapaxes(matrices, 2, 3))


def _where(which: Tensor, if_true: Tensor, if_false: Tensor) -> Tensor:
    """By example, `(b,)`."""
    return ops.where(ops.reshape(which, (-1, *[1] * (len(if_true.shape) - 1))), if_true, if_false)


def _between(number: Tensor, low: float, high: float) -> Tensor:
    return low + number * (high - low)


def _integer(number: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """From `low` to below `high`, of a number from 0 to below 1."""
    drawn = ops.floor(number * ops.cast(high - low, "float32"))
    return low + ops.minimum(ops.cast(drawn, "int32"), high - low - 1)
