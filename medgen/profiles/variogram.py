"""How unlike the details of slices are, by how far they lie apart within and across slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

# Blocks of a scan that are looked at, at most, and the fewest that tell anything.
BLOCKS, FEWEST = 60, 6
# Limits of a block's sides in pixels, and how many distances of slices they should be.
SIDES, DISTANCES = (24, 64), 4
# Largest lag across slices, and slices of a block at most.
ACROSS, DEEP = 3, 48
# Lags within slices: so many pixels, and such multiples of the distance of slices.
NEAR, MULTIPLES = (1, 2, 3), (0.5, 0.75, 1.0, 1.5, 2.0)
# A block tells nothing where more than this share of its voxels has one value.
CONSTANT = 0.2


@dataclass(frozen=True, eq=False)
class Variograms:
    """Half the mean squared difference of voxels, for blocks of a scan.

    Args:
        within: lags within the slices, in pixels, `(2, m)`: along rows and along columns.
        within_mm: the same in mm.
        across: `(m,)` int, lags across the slices, in slices.
        values: `(blocks, 2, m)`, in units of each block's own contrast.
        distance_mm: of the slices.
    """

    within: np.ndarray
    within_mm: np.ndarray
    across: np.ndarray
    values: np.ndarray
    distance_mm: float


def variograms(slices: np.ndarray, spacing_mm: Sequence[float]) -> Variograms | None:
    """Variograms of blocks spread evenly over a scan.

    Of every slice its mean under a Gaussian of one slice distance is taken off first: large
    structures are few, so that chance, and anatomy, make them differ along the axes. Every block
    counts alike, so that bone, skin and air do not outweigh the rest: its values are divided by
    their mean at a lag of one distance of slices along each of the three axes, which no turning of
    its content changes.

    Args:
        slices: `(n, rows, cols)`. Blocks with voxels that are not finite, or with many of one
            value, as outside the patient, are passed over.
        spacing_mm: of slices, rows and columns.

    Returns:
        None if there are too few such blocks or slices, or slices lie nearer than pixels do.
    """
    distance, *pixels = spacing_mm
    steps = [distance / pixel for pixel in pixels]
    if len(slices) < 3 or min(steps) < 1:
        return None
    lags = np.array([[*NEAR, *(max(1, round(step * m)) for m in MULTIPLES)] for step in steps])
    lags = np.insert(lags, 0, 0, axis=1)
    pairs = [
        (i, k)
        for k in range(min(ACROSS, len(slices) - 2) + 1)
        for i in range(lags.shape[1])
        if i or k
    ]
    within, across = lags[:, [i for i, _ in pairs]], np.array([k for _, k in pairs])
    values = [
        found
        for block in _blocks(slices, steps)
        if (found := _of_block(block, within, across, steps)) is not None
    ]
    if len(values) < FEWEST:
        return None
    in_mm = within * np.array(pixels)[:, None]
    return Variograms(within, in_mm, across, np.array(values), distance)


def _blocks(slices: np.ndarray, steps: Sequence[float]) -> Iterator[np.ndarray]:
    depth = min(len(slices), DEEP)
    start = (len(slices) - depth) // 2
    rows, cols = (
        min(int(np.clip(DISTANCES * step, *SIDES)), n)
        for step, n in zip(steps, slices.shape[1:], strict=True)
    )
    places = [
        (r, c)
        for r in range(0, slices.shape[1] - rows + 1, rows)
        for c in range(0, slices.shape[2] - cols + 1, cols)
    ]
    blocks = (
        np.asarray(slices[start : start + depth, r : r + rows, c : c + cols], np.float64)
        for r, c in places
    )
    telling = [place for place, block in zip(places, blocks, strict=True) if _tells(block)]
    chosen = np.linspace(0, len(telling) - 1, min(BLOCKS, len(telling))).astype(int)
    details = _details(slices[start : start + depth], steps)
    for r, c in (telling[i] for i in chosen):
        yield details[:, r : r + rows, c : c + cols]


def _details(slices: np.ndarray, steps: Sequence[float]) -> np.ndarray:
    values = np.nan_to_num(np.asarray(slices, np.float32), posinf=0, neginf=0)
    return values - gaussian_filter(values, (0, *steps), truncate=3.0)


def _tells(block: np.ndarray) -> bool:
    if not np.isfinite(block).all():
        return False
    _, counts = np.unique(block, return_counts=True)
    return bool(counts.max() <= CONSTANT * block.size)


def _of_block(
    block: np.ndarray, within: np.ndarray, across: np.ndarray, steps: Sequence[float]
) -> np.ndarray | None:
    """`(2, m)`; None where there is no contrast."""
    unit = np.mean(
        [
            _half_square(block, 1, 0, 1),
            *(_half_square(block, 0, round(step), axis + 1) for axis, step in enumerate(steps)),
        ]
    )
    if unit <= 0:
        return None
    values = []
    for axis, lags in enumerate(within, start=1):
        pairs = list(zip(across, lags, strict=True))
        measured = {pair: _half_square(block, *pair, axis) for pair in set(pairs)}
        values.append([measured[pair] for pair in pairs])
    return np.array(values) / unit


def _half_square(block: np.ndarray, across: int, within: int, axis: int) -> float:
    """Half the mean squared difference at a lag along axis 0 and one along `axis`."""
    if within >= block.shape[axis]:
        return float("nan")
    n = block.shape[axis]
    one = block[across:].take(range(within, n), axis)
    other = block[: len(block) - across].take(range(n - within), axis)
    return float(np.mean((one - other) ** 2) / 2)
