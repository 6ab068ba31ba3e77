"""Parts of a wanted slice that are known: a net in training is shown all but a band."""

from __future__ import annotations

import numpy as np

# Stands for a level that is not known.
UNKNOWN = -1
# Share of examples of which nothing is known, as between the slices of a scan.
ALL_UNKNOWN = 0.5
# Smallest and largest width of a band, as shares of the side.
WIDTHS = (1 / 16, 1 / 2)


def around_bands(
    target: np.ndarray, seed: int, step: int, all_unknown: float = ALL_UNKNOWN
) -> np.ndarray:
    """What is known of each slice when a random band of rows or columns is not.

    Args:
        target: levels `(b, h, w)`.
        seed: of the run.
        step: of the run.
        all_unknown: share of slices of which nothing is known.

    Returns:
        `(b, h, w)` int32: the levels, and `UNKNOWN` within the bands.
    """
    rng = np.random.default_rng([seed, 0xBA2D, step])
    known = np.array(target, np.int32)
    for image in known:
        if rng.random() < all_unknown:
            image[:] = UNKNOWN
            continue
        upright = image if rng.integers(2) else image.T
        side = len(upright)
        width = max(1, round(side * rng.uniform(*WIDTHS)))
        start = int(rng.integers(0, side - width + 1))
        upright[start : start + width] = UNKNOWN
    return known
