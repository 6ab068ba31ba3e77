"""Neighbouring grey tone difference matrix (NGTDM): a voxel against the mean of its neighbours."""

from __future__ import annotations

import numpy as np

from medgen.evaluation.texture.levels import half_directions, neighbour_slices

COARSEST = 1e6


def tone_differences(levels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Voxels of each level, and the sum of their absolute differences from their neighbours' mean.

    Neighbours are the voxels of the region that touch, also by edge or corner; voxels without any
    are left out. Slices are merged by adding both results.

    Args:
        levels: 1 ... `count` in the region, 0 outside; 2-D or 3-D.
        count: number of grey levels `n`.

    Returns:
        Counts and summed differences, both float64 `(n,)`.
    """
    total = np.zeros(levels.shape, np.int64)
    number = np.zeros(levels.shape, np.int64)
    inside = levels > 0
    for offset in half_directions(levels.ndim):
        for here, there in (neighbour_slices(offset), neighbour_slices(offset)[::-1]):
            total[here] += levels[there]
            number[here] += inside[there]
    valid = inside & (number > 0)
    own = levels[valid]
    difference = np.abs(own - total[valid] / number[valid])
    counts = np.bincount(own, minlength=count + 1)[1:]
    return counts.astype(np.float64), np.bincount(own, difference, minlength=count + 1)[1:]


def ngtdm_features(counts: np.ndarray, differences: np.ndarray) -> dict[str, float]:
    """The 5 NGTDM features of PyRadiomics (and IBSI 3.10).

    Args:
        counts: voxels of each level `(n,)`.
        differences: their summed differences `(n,)`.

    Returns:
        Name -> value; NaN if no voxel has a neighbour. In a flat region, where all are 0 / 0,
        Coarseness is 10^6 and the others are 0.
    """
    present = counts > 0
    if not present.any():
        names = ("Coarseness", "Contrast", "Busyness", "Complexity", "Strength")
        return dict.fromkeys(names, float("nan"))
    level = np.flatnonzero(present) + 1.0
    n, s = counts[present], differences[present]
    total, present_levels = n.sum(), level.size
    p = n / total
    weighted = p @ s
    gap = level[:, None] - level  # (levels, levels)
    both = p[:, None] + p
    busyness = np.abs((level * p)[:, None] - level * p).sum()
    complexity = (np.abs(gap) * ((p * s)[:, None] + p * s) / both).sum() / total
    ordered_pairs = present_levels * (present_levels - 1)
    return {
        "Coarseness": float(1 / weighted if weighted > 0 else COARSEST),
        "Contrast": float(p @ gap**2 @ p / ordered_pairs * s.sum() / total if ordered_pairs else 0),
        "Busyness": float(weighted / busyness if busyness > 0 else 0),
        "Complexity": float(complexity),
        "Strength": float((both * gap**2).sum() / s.sum() if s.sum() > 0 else 0),
    }
