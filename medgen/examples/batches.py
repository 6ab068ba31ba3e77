"""Training batches drawn at random from slabs: the same seed and step give the same batch."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from medgen.errors import TrainingError
from medgen.examples.stacks import Slab

# Crops flatter than this (standard deviation in the unit range) are mostly passed over.
FLAT = 0.01
ATTEMPTS = 4

AnySlab = TypeVar("AnySlab", bound=Sized)


def choose_slab(rng: np.random.Generator, slabs: Sequence[AnySlab]) -> AnySlab:
    """A slab, in proportion to the square root of its number of slices."""
    return slabs[rng.choice(len(slabs), p=slab_weights(slabs))]


def slab_weights(slabs: Sequence[Sized]) -> np.ndarray:
    """Probabilities of slabs, in proportion to the square root of their numbers of slices."""
    weights = np.sqrt([len(slab) for slab in slabs])
    return weights / weights.sum()


def random_window(
    rng: np.random.Generator, shape: tuple[int, int], crop: int
) -> tuple[slice, slice]:
    """A square of `crop` pixels within `shape`, or all of a side that is shorter."""
    starts = [int(rng.integers(0, max(n - crop, 0) + 1)) for n in shape]
    rows, columns = (slice(s, s + crop) for s in starts)
    return rows, columns


def fit_to(image: np.ndarray, crop: int) -> np.ndarray:
    """Extend an image `(rows, cols, ...)` smaller than the crop by repeating its edges."""
    pads = [(0, max(0, crop - n)) for n in image.shape[:2]] + [(0, 0)] * (image.ndim - 2)
    return np.pad(image, pads, mode="edge")


def image_batch(slabs: Sequence[Slab], *, crop: int, size: int, seed: int, step: int) -> np.ndarray:
    """Random crops of random slices, turned by one of the eight symmetries of the square.

    Args:
        slabs: where to draw from.
        crop: side in pixels; smaller slices are extended by repeating their edges.
        size: images a batch.
        seed: of the run.
        step: of the run.

    Returns:
        `(size, crop, crop, c)` float32 in −0.5…0.5, of `c` channels.
    """
    rng = np.random.default_rng([seed, 0x1A6E, step])
    channels = len(slabs[0].stack.channels) or 1
    batch = np.empty((size, crop, crop, channels), np.float32)
    for i in range(size):
        for _ in range(ATTEMPTS):
            slab = choose_slab(rng, slabs)
            image = slab.stack.unit[rng.integers(slab.start, slab.stop)]
            image = fit_to(image[random_window(rng, image.shape[:2], crop)], crop)
            if image.std() > FLAT:
                break
        image = np.rot90(image, int(rng.integers(4)))
        image = image.swapaxes(0, 1) if rng.integers(2) else image
        batch[i] = image.reshape(crop, crop, channels)
    return batch


@dataclass(frozen=True, eq=False)
class CodeSlab:
    """Codes of consecutive slices under the four in-plane flips, `(4, n, h, w)`."""

    name: str
    codes: np.ndarray = field(repr=False)
    spacing_mm: float

    def __len__(self) -> int:
        return self.codes.shape[1]

    def reach(self, max_gap_mm: float) -> int:
        """Largest distance in slices between the neighbours of a triplet (at least 2)."""
        return min(len(self) - 1, max(2, int(max_gap_mm / self.spacing_mm)))


def triplet_batch(
    slabs: Sequence[CodeSlab],
    *,
    crop: int,
    size: int,
    max_gap_mm: float,
    unknown: int,
    unconditional: float,
    seed: int,
    step: int,
) -> dict[str, np.ndarray]:
    """Random triplets (previous, wanted, next) of code maps at random distances.

    Args:
        slabs: where to draw from; those of fewer than three slices are passed over.
        crop: side in codes; smaller maps are extended by repeating their edges.
        size: triplets a batch.
        max_gap_mm: largest distance of previous and next, where the spacing allows.
        unknown: the code that stands for a neighbour of which nothing is known.
        unconditional: share of triplets whose neighbours are made unknown.
        seed: of the run.
        step: of the run.

    Returns:
        Inputs of `nets.pixelcnn.PixelCNN`: `codes`, `previous`, `next` `(size, crop, crop)` int32,
        `position` and `gap_mm` `(size,)` float32.

    Raises:
        TrainingError: no slab has three slices.
    """
    slabs = [slab for slab in slabs if len(slab) >= 3]
    if not slabs:
        raise TrainingError(
            "No scan, of those to train or of those to validate on, has three slices in a row; "
            "give scans with more slices."
        )
    rng = np.random.default_rng([seed, 0x7219, step])
    batch: dict[str, np.ndarray] = {
        key: np.empty((size, crop, crop), np.int32) for key in ("codes", "previous", "next")
    }
    batch |= {key: np.empty(size, np.float32) for key in ("position", "gap_mm")}
    for i in range(size):
        slab = choose_slab(rng, slabs)
        gap = int(rng.integers(2, slab.reach(max_gap_mm) + 1))
        before = int(rng.integers(1, gap))
        first = int(rng.integers(0, len(slab) - gap))
        stack = slab.codes[rng.integers(4)]
        triplet = [first, first + before, first + gap]
        if rng.integers(2):  # the scan upside down
            triplet.reverse()
            before = gap - before
        window = random_window(rng, stack.shape[1:], crop)
        for key, index in zip(("previous", "codes", "next"), triplet, strict=True):
            batch[key][i] = fit_to(stack[index][window], crop)
        if rng.random() < unconditional:
            batch["previous"][i] = batch["next"][i] = unknown
        batch["position"][i] = before / gap
        batch["gap_mm"][i] = gap * slab.spacing_mm
    return batch
